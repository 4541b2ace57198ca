"""The page of all make targets, from the `##` comments of the Makefile and `make/*.mk`, as `make help-all` shows them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from docsite import mirror

SECTION = re.compile(r"##@ (?P<title>[^(\n]+?)(?: \((?P<note>.*)\))?")
TARGET = re.compile(r"(?P<name>[a-z][\w-]*):.*?## (?P<words>.*)")
INCLUDE = re.compile(r"include (?P<files>make/.*)")
LISTED = 3
"""Pages that a row links to."""
LISTS = {"AGENTS.md", "docs/status.md"}
"""Pages that name targets without describing them."""
HEAD = """\
# Every make target

`make TARGET` in the root of the repository. `make help` lists the main ones, `make help-all` all, with the words
below. A variable is given as `make all TARGET=tweets`; the line below a heading names those of its targets.
"""


@dataclass
class Section:
    """Targets below one heading of the help; `note` names their variables."""

    title: str
    note: str
    targets: dict[str, str] = field(default_factory=dict)
    """Name → description."""


def sections(root: Path) -> list[Section]:
    """The sections, in the order of the help: that of the Makefile with its includes in their places."""
    found: list[Section] = []
    for line in _lines(root):
        if heading := SECTION.fullmatch(line):
            found.append(Section(heading["title"], heading["note"] or ""))
        elif (target := TARGET.fullmatch(line)) and found:
            found[-1].targets[target["name"]] = target["words"]
    return found


def _lines(root: Path) -> Iterator[str]:
    """The lines of the Makefile, then those of the files that it includes at its end."""
    lines = (root / "Makefile").read_text(encoding="utf-8").splitlines()
    yield from lines
    for include in filter(None, map(INCLUDE.fullmatch, lines)):
        for name in include["files"].split():
            yield from (root / name).read_text(encoding="utf-8").splitlines()


def mentions(root: Path) -> dict[str, list[str]]:
    """The pages that name a target most often, at most LISTED: target → their paths."""
    counts: dict[str, Counter[str]] = {}
    for page in sorted(name for name in mirror.reachable(root) if name.endswith(".md") and name not in LISTS):
        for name in re.findall(r"\bmake ([a-z][\w-]*)", (root / page).read_text(encoding="utf-8")):
            counts.setdefault(name, Counter())[page] += 1
    return {name: [page for page, _ in found.most_common(LISTED)] for name, found in counts.items()}


def page(root: Path) -> str:
    """The page as Markdown."""
    where = mentions(root)
    parts = [HEAD]
    for section in sections(root):
        parts.append(f"## {section.title}\n")
        if section.note:
            parts.append(f"`{section.note}`\n" if "=" in section.note or section.note.isupper() else f"{section.note}\n")
        parts.append("| target | what it does | pages |\n| --- | --- | --- |")
        parts += [
            f"| `make {name}` | {words} | {', '.join(_link(root, page) for page in where.get(name, []))} |"
            for name, words in section.targets.items()
        ]
        parts.append("")
    return "\n".join(parts)


def _link(root: Path, page: str) -> str:
    """A link to a page, from `docs/reference/`, by its heading."""
    heading = re.search(r"^#+ (.*)$", (root / page).read_text(encoding="utf-8"), re.MULTILINE)
    return f"[{heading[1].replace('`', '') if heading else page}](../../{page})"
