"""Sources of raw data: one module per source in this folder, with a typed `Config` and a function `fetch`.

A source writes files and returns their names; it never decodes them as images or text. The content of a file
is the concern of the task, so a source can serve several tasks.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from omegaconf import OmegaConf

from bitbloom.core.errors import BitBloomError


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A sample of a source: a file, or a row of a file.

    Attributes:
        path: POSIX path relative to the destination folder.
        label: its declared class.
        attributes: further properties, JSON-serialisable.
        row: name of a row, which is then the sample's id (the id of a whole file is its path).
        content: the row's bytes, which the task describes.
    """

    path: str
    label: str
    attributes: Mapping[str, object] = field(default_factory=dict)
    row: str = ""
    content: bytes | None = None

    @property
    def id(self) -> str:
        """The sample's id."""
        return self.row or self.path

    def read(self, folder: Path) -> bytes:
        """The sample's bytes."""
        return (folder / self.path).read_bytes() if self.content is None else self.content


class Source(Protocol):
    """The interface of a module of this package."""

    Config: type[Any]

    def fetch(self, config: Any, destination: Path, workers: int = 1) -> list[SourceFile]:
        """Write the raw files below `destination` and return them sorted by path."""
        ...


class StreamingSource(Source, Protocol):
    """A source that also yields its files one after another, for data whose list of files should not be in memory."""

    def stream(self, config: Any, destination: Path, workers: int = 1) -> Iterator[SourceFile]:
        """Write the raw files and yield them in the order of their ids; shows the progress."""
        ...


class OwnDataSource(Source, Protocol):
    """A source of the user's own data: its `Config` has a `path`, which an import fills.

    Attributes:
        GIVEN: example of the argument to make (`PHOTOS=path/to/photos`).
        TAKES: description of the accepted data.

    A module whose `collect` depends on the configuration names these keys in `COLLECT_KEYS`.
    """

    GIVEN: str
    TAKES: str

    def collect(self, given: Path, destination: Path, **options: Any) -> object:
        """Copy the data of a file or folder to `destination`; the options are the values of COLLECT_KEYS.

        Raises:
            BitBloomError: the data has the wrong form.
        """
        ...


FOLDER = Path(__file__).parent


def kinds() -> list[str]:
    """Return the names of all sources: the modules and packages of this folder, sorted."""
    return sorted(
        path.stem
        for path in FOLDER.iterdir()
        if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").is_file()
    )


def load(kind: str) -> Source:
    """Load a source module. Raises BitBloomError if there is none of that name."""
    if kind not in kinds():
        raise BitBloomError(f"source.kind '{kind}' is none of {', '.join(kinds())}")
    return cast(Source, importlib.import_module(f"{__name__}.{kind}"))


def in_order(config: Any, destination: Path, workers: int) -> Iterable[SourceFile]:
    """Write the raw files of a source and return them in the order of their ids: as a list, or as a stream if it has one."""
    module = load(config.kind)
    if hasattr(module, "stream"):
        return cast(StreamingSource, module).stream(config, destination, workers)
    return sorted(module.fetch(config, destination, workers), key=lambda file: file.id)


def configured(section: Mapping[str, Any]) -> Any:
    """Convert a plain `source` section to the `Config` of its kind. Raises BitBloomError for an unknown kind."""
    return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(load(str(section.get("kind"))).Config), dict(section)))


def collect_options(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a plain `source` section that the import depends on, with their values."""
    config = configured(section)
    return {key: getattr(config, key) for key in getattr(load(config.kind), "COLLECT_KEYS", ())}


def own_data(kind: str) -> OwnDataSource:
    """Load a source module for the user's own data."""
    return cast(OwnDataSource, load(kind))
