"""The user's own data: imported by content, then kept by DVC (`data/external/<target>.dvc`)."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from bitbloom.core.errors import BitBloomError
from bitbloom.data import kaggle, sources
from bitbloom.data.importing import import_data
from bitbloom.pipeline import build, composition, graph
from bitbloom.pipeline.recovery import recover


def take(target: str, source: str, overrides: Sequence[str] = ()) -> None:
    """Import data for a target, or a variant of it, whose source is the user's own data: a path, or `kaggle:COMPETITION`.

    Raises:
        BitBloomError: the target does not read such data, the data is not as it expects, or DVC cannot add it.
    """
    tree = composition.compose(target, overrides)
    places = graph.external(tree)
    if not places:
        raise BitBloomError(f"target '{target}' takes no data of yours (its source is '{tree.source.kind}'){_instead()}")
    with build.only_one(), kaggle.opened(source) as given:
        found = import_data(given, Path(places[0]), sources.own_data(str(tree.source.kind)))
        print(f"{places[0]}: {found['files']:,} files" + ("" if found["changed"] else ", nothing new"))
        if found["changed"] or not Path(f"{places[0]}.dvc").exists():
            recover(Path(), [target])
            done = subprocess.run(["dvc", "add", "--quiet", places[0]], env=build.environ(tree.numerics.profile))
            if done.returncode:
                raise BitBloomError(f"dvc add {places[0]} failed; the reason is said above")


def _instead() -> str:
    """The targets that do."""
    names = [name for name in composition.targets() if graph.external(composition.compose(name))]
    return f"; use {' or '.join(names)}" if names else ""
