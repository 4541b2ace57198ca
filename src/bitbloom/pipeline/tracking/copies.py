"""Copies of what a build made: the tracking process reads them while the next build changes the outputs."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

from bitbloom.config.target import params_path
from bitbloom.core import canonical
from bitbloom.pipeline import build, conflicts, graph
from bitbloom.pipeline.recovery import STATE

COPIES = STATE / "tracking"
"""Each folder in it is a copy of what a build made, with the paths of a workspace. The tracking process removes its copy."""
COPY_SECONDS = 86400
"""Age of a copy that a later build removes: its process was killed."""


def copy(target: str, workspace: Path) -> Path:
    """Copy what `log` reads, while no build runs, and return the folder. Outputs are hard links where possible.

    DVC and the stages replace outputs, so a link keeps its content. DVC writes `dvc.lock` in place, so that is a copy.
    """
    COPIES.mkdir(parents=True, exist_ok=True)
    for old in COPIES.iterdir():
        if old.is_dir() and old.stat().st_mtime < time.time() - COPY_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    place = Path(tempfile.mkdtemp(prefix=f"{target}-", dir=COPIES))
    try:
        with build.reading():
            conflicts.require_readable()
            for path in (params_path(target), graph.lock(target), Path("overrides.txt")):
                if (workspace / path).exists():
                    canonical.write_bytes(place / path, (workspace / path).read_bytes())
            for folder in (Path("data/processed"), Path("models"), Path("reports")):
                if (workspace / folder / target).exists():
                    shutil.copytree(workspace / folder / target, place / folder / target, copy_function=_link)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return place


def _link(source: str, link: str) -> None:
    try:
        os.link(source, link)
    except OSError:  # a file system without hard links, or another one
        shutil.copy2(source, link)
