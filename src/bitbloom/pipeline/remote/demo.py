"""`make remote DEMO=1`: the path from data in a bucket to the gate and a prediction, on this machine alone.

An emulator serves a bucket on loopback; its objects stay in `.bitbloom/remote-demo/bucket`. This checkout pushes, and a second
clone pulls, checks the data and predicts. The configuration of this checkout does not change.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import build
from bitbloom.pipeline.recovery import STATE
from bitbloom.pipeline.remote import push
from bitbloom.pipeline.remote.emulator import running
from bitbloom.pipeline.remote.settings import CONFIG, LOCAL, Remote

PLACE = STATE / "remote-demo"
BUCKET = "bitbloom-demo"
PRIVATE = 0o600


def run(target: str) -> None:
    """Push a built target to the emulated bucket, and show a second clone. Raises BitBloomError."""
    with running(BUCKET, PLACE / "emulator.log", _folder()) as address:
        remote = Remote("demo", f"gs://{BUCKET}/dvc", {"endpointurl": address, "allow_anonymous_login": "true"})
        _say(f"an emulator of Google Cloud Storage serves {remote.url} on {address}")
        _say(f"bitbloom push {target}")
        print(push.in_words(target, push.push(target, remote=remote), remote.url), flush=True)
        clone = _clone(remote)
        _say(f"a second clone, {clone}, without data and without cache:")
        _show(clone, "build", target, "--until", "validate")
        print(_verdict(clone, target), flush=True)
        _show(clone, "data-status", target, "--until", "validate")
        _show(clone, "pull", target)
        photo = next(iter(sorted((clone / "data/raw" / target).rglob("*.jpg"))), None)
        if photo:
            _show(clone, "predict", target, photo.relative_to(clone).as_posix())
    _say(f"the bucket's objects stay in {PLACE / 'bucket'}: the next demonstration sends what is new")


def _folder() -> Path:
    folder = PLACE / "bucket"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _clone(remote: Remote) -> Path:
    """A clone of this checkout, with its uncommitted changes, this venv and this remote. Raises BitBloomError."""
    clone = PLACE / "clone"
    shutil.rmtree(clone, ignore_errors=True)
    for name in _listed():
        if Path(name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(name, clone / name)
    subprocess.run(["git", "init", "--quiet"], cwd=clone, check=True)
    options = {"url": remote.url, "verify": "true", **remote.options}
    lines = [
        "[core]",
        f"    remote = {remote.name}",
        f"['remote \"{remote.name}\"']",
        *(f"    {k} = {v}" for k, v in options.items()),
    ]
    (clone / LOCAL).touch(mode=PRIVATE)
    (clone / LOCAL).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return clone


def _verdict(clone: Path, target: str) -> str:
    """The gate's verdict on the pulled data, on one line."""
    found = canonical.read_json(clone / "reports" / target / "validation.json")
    return (
        f"The gate {'passed' if found['success'] else 'failed'}: {len(found['expectations'])} expectations, {found['rows']} rows"
    )


def _listed() -> list[str]:
    """The files that git knows or would add. Raises BitBloomError without git."""
    try:
        command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError) as error:
        raise BitBloomError(f"the demonstration clones this checkout, and git finds none here: {CONFIG}") from error


def _show(clone: Path, *arguments: str) -> None:
    """Run a command of the clone's code, and print it before its output. Raises BitBloomError."""
    _say(f"bitbloom {' '.join(arguments)}")
    own = {
        "PYTHONPATH": str((clone / "src").resolve()),
        "BENTOML_HOME": str((clone / ".bitbloom/bentoml").resolve()),
        "DVC_SITE_CACHE_DIR": str((clone / ".bitbloom/dvc").resolve()),
        "BITBLOOM_TRACK": "0",
    }
    if subprocess.run(_command(arguments), cwd=clone, env=build.environ("portable") | own).returncode:
        raise BitBloomError(f"bitbloom {arguments[0]} failed in {clone}; see the message above")


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "bitbloom", *arguments]


def _say(line: str) -> None:
    print(f"\n# {line}" if os.environ.get("NO_COLOR") or not sys.stdout.isatty() else f"\n\033[1m# {line}\033[0m", flush=True)
