"""Where raw data comes from: one module a source, found in this folder, with a typed `Config` and one function `fetch`.

A source writes files and says what they are called; it never opens them as images or text. What a file
holds is the task's business, so a source serves any task whose files it can bring.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from omegaconf import OmegaConf

from bitbloom.core.errors import BitBloomError


@dataclass(frozen=True)
class SourceFile:
    """One sample that a source brought: a file of its own, or a row of one.

    Attributes:
        path: POSIX path relative to the destination folder.
        label: the class it is declared to have.
        attributes: what else the source knows of it, JSON-able.
        row: for a row of the file, its name, which is then the sample's id (that of a whole file is its path).
        content: the row's bytes, from which the task describes it.
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
    """What a module of this package offers."""

    Config: type[Any]

    def fetch(self, config: Any, destination: Path, workers: int = 1) -> list[SourceFile]:
        """Write the raw files below `destination` and return them sorted by path."""
        ...


class OwnDataSource(Source, Protocol):
    """A source whose `Config` has a `path`: what the user brought, taken there by an import.

    Attributes:
        GIVEN: how it is given to make, as an example (`PHOTOS=path/to/photos`).
        TAKES: what may be given, in words.
    """

    GIVEN: str
    TAKES: str

    def collect(self, given: Path, destination: Path) -> object:
        """Copy what the source needs of a file or folder to `destination`. Raises BitBloomError when it is not of its form."""
        ...


FOLDER = Path(__file__).parent


def kinds() -> list[str]:
    """Names of the modules and packages of this folder, sorted: each is a source."""
    return sorted(
        path.stem
        for path in FOLDER.iterdir()
        if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").is_file()
    )


def load(kind: str) -> Source:
    """The source module of that name. Raises BitBloomError when there is none."""
    if kind not in kinds():
        raise BitBloomError(f"source.kind '{kind}' is none of {', '.join(kinds())}")
    return cast(Source, importlib.import_module(f"{__name__}.{kind}"))


def configured(section: Mapping[str, Any]) -> Any:
    """A plain `source` section as the `Config` of its kind. Raises BitBloomError for an unknown kind."""
    return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(load(str(section.get("kind"))).Config), dict(section)))


def own_data(kind: str) -> OwnDataSource:
    """The source module of that name, which reads the user's own data."""
    return cast(OwnDataSource, load(kind))
