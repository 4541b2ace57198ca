"""A small search of petals-tiny, with a file for each thing that it depends on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from bitbloom.experiments.sweep.run import Sweep
from support.tiny import REPOSITORY, STORED, dataset

SPACE = Path("conf/sweep/small.yaml")


def write(folder: Path, given: dict[str, Any]) -> None:
    """Write a checkout's files, prepared data and the space `given`. The current folder has to be `folder`."""
    for name in ("requirements.lock", "weights.lock"):
        shutil.copyfile(REPOSITORY / name, folder / name)
    shutil.copytree(REPOSITORY / "conf", folder / "conf")
    (folder / "src").symlink_to(REPOSITORY / "src")
    (folder / SPACE).write_text(yaml.safe_dump(given))
    dataset(side=STORED).save(Path("data/processed/petals-tiny"))


def begun() -> Sweep:
    """The search, begun or resumed with the data that is here."""
    sweep = Sweep(SPACE)
    sweep.folder.mkdir(parents=True, exist_ok=True)
    sweep.workspaces.keep(sweep.tree, Path())
    sweep.begin()
    return sweep
