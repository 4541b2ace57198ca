"""Known vulnerabilities and licences of what the lock names.

    bitbloom ci audit .bitbloom/ci/audit         # what `make audit` calls

pip-audit asks a vulnerability database over the network. Without one nothing is known, and the audit says so and fails.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bitbloom.ci import markdown
from bitbloom.ci.update import PIN
from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError

LOCKS = ("requirements.lock", "requirements-serve.lock")
"""What builds and what serves; tools of development reach no one."""
REVIEWED = Path(".github/licences.json")
"""Packages whose licence was looked at, and why it is no obstacle."""
STRONG = re.compile(r"\bA?GPL|General Public License|Affero|SSPL", re.IGNORECASE)
LESSER = re.compile(r"\bLGPL[-v\d.+ a-z]*|(Library or )?Lesser General Public License[^;]*", re.IGNORECASE)
TOOLS = Path(".bitbloom/workflows-venv/bin")


def pins(locks: Sequence[str] = LOCKS) -> dict[str, str]:
    """Name → version of every package in some locks; a build's own label (`+cpu`) is dropped, databases know the release."""
    found: dict[str, str] = {}
    for lock in locks:
        found |= {name: version.partition("+")[0] for name, version in PIN.findall(Path(lock).read_text(encoding="utf-8"))}
    return dict(sorted(found.items()))


def report(folder: Path) -> bool:
    """Write the report. Gives whether there is nothing to do: no vulnerability, every package asked about, no new licence."""
    locked = pins()
    known, problem = vulnerabilities(locked, folder)
    text, sound = vulnerability_section(known, problem, len(locked))
    licence_text, allowed = licence_section(licences(locked), canonical.read_json(REVIEWED))
    markdown.write(folder, f"## Audit of the lock\n\n{text}\n{licence_text}")
    return sound and allowed


def vulnerabilities(locked: Mapping[str, str], folder: Path) -> tuple[list[dict[str, Any]], str]:
    """What pip-audit knows of each package; or nothing, and its last words when it could not ask."""
    folder.mkdir(parents=True, exist_ok=True)
    asked, answer = folder / "asked.txt", folder / "vulnerabilities.json"
    asked.write_text("".join(f"{name}=={version}\n" for name, version in locked.items()), encoding="utf-8")
    answer.unlink(missing_ok=True)
    options = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json", "--output", str(answer)]
    command = [str(TOOLS / "pip-audit"), *options, "--requirement", str(asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return list(json.loads(answer.read_text(encoding="utf-8"))["dependencies"]), ""
    except (OSError, ValueError, KeyError):
        return [], (done.stderr.strip() or f"pip-audit ended with {done.returncode}").splitlines()[-1]


def vulnerability_section(known: Sequence[Mapping[str, Any]], problem: str, asked: int) -> tuple[str, bool]:
    """What is known, and whether that is nothing bad about every package."""
    if problem:
        words = "**Not checked: no vulnerability database could be asked.** This says nothing about the packages."
        return f"### Vulnerabilities\n\n{words}\n\n{markdown.fenced(problem)}", False
    rows = [
        (entry["name"], entry["version"], found["id"], ", ".join(found.get("fix_versions", [])) or "none yet")
        for entry in known
        for found in entry.get("vulns", [])
    ]
    skipped = [(entry["name"], entry["skip_reason"]) for entry in known if "skip_reason" in entry]
    parts = ["### Vulnerabilities\n", f"{len(rows)} known in {asked} packages; {len(skipped)} could not be asked about.\n"]
    parts += [markdown.table(("package", "version", "vulnerability", "fixed in"), rows)] if rows else []
    parts += [markdown.table(("not checked", "because"), skipped)] if skipped else []
    return "\n".join(parts), not rows and not skipped


def licences(locked: Mapping[str, str]) -> dict[str, str]:
    """Name → licence of the locked packages that are installed."""
    command = [
        str(TOOLS / "pip-licenses"),
        "--python",
        ".venv/bin/python",
        "--with-system",
        "--from",
        "mixed",
        "--format",
        "json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BitBloomError(f"pip-licenses could not read .venv: {done.stderr.strip()[-300:]}")
    listed = {_plain(entry["Name"]): str(entry["License"]) for entry in json.loads(done.stdout)}
    return {name: listed[_plain(name)] for name in locked if _plain(name) in listed}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def licence_section(found: Mapping[str, str], reviewed: Mapping[str, str]) -> tuple[str, bool]:
    """How many have which licence, and those that someone has to look at first."""
    strict = {name: licence for name, licence in found.items() if needs_review(licence)}
    new = {name: licence for name, licence in strict.items() if name not in reviewed}
    counts = Counter(licence.splitlines()[0] if licence else "" for licence in found.values())
    parts = ["### Licences\n", f"{len(found)} packages; {len(strict)} with strong copyleft or an unknown licence.\n"]
    parts += [f"Not reviewed (see {REVIEWED}):\n", markdown.table(("package", "licence"), sorted(new.items()))] if new else []
    reviewed_rows = [(name, licence, reviewed[name]) for name, licence in sorted(strict.items()) if name in reviewed]
    parts += [markdown.table(("package", "licence", "reviewed"), reviewed_rows)] if reviewed_rows else []
    parts.append(markdown.table(("licence", "packages"), counts.most_common()))
    return "\n".join(parts), not new


def needs_review(licence: str) -> bool:
    """Strong copyleft, or nothing known; the lesser GPL is not strong."""
    return licence.strip().upper() in ("", "UNKNOWN") or bool(STRONG.search(LESSER.sub("", licence)))
