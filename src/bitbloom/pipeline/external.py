"""The user's own data: imported by content, then tracked by DVC (`data/external/<target>.dvc`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bitbloom.core.errors import BitBloomError
from bitbloom.data import kaggle, sources
from bitbloom.data.importing import import_data
from bitbloom.pipeline import build, composition, conflicts, graph
from bitbloom.pipeline.recovery import recover


def take(target: str, source: str, overrides: Sequence[str] = ()) -> None:
    """Import the user's own data for a target, or a variant of it, from a path or `kaggle:COMPETITION`.

    Raises:
        BitBloomError: the target's source does not read own data, the data has another form, or DVC cannot add it.
    """
    tree = composition.compose(target, overrides)
    folders = graph.external(tree)
    if not folders:
        raise BitBloomError(f"target '{target}' takes no own data (its source is '{tree.source.kind}'){_instead()}")
    with build.build_lock(), kaggle.opened(source) as given:
        conflicts.require_readable()
        options = sources.collect_options(tree.source)
        found = import_data(given, Path(folders[0]), sources.own_data(str(tree.source.kind)), **options)
        print(f"{folders[0]}: {found['files']:,} files" + ("" if found["changed"] else ", nothing new"))
        if found["changed"] or not Path(f"{folders[0]}.dvc").exists():
            recover(Path(), [target])
            build.record_external(folders[0], tree)


def _instead() -> str:
    """The targets that take own data, as the end of a message."""
    names = [name for name in composition.targets() if graph.external(composition.compose(name))]
    return f"; use {' or '.join(names)}" if names else ""
