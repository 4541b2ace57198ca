"""Corrected labels: `conf/relabel/<target>.csv` has the samples whose label differs from that of the source.

`make relabel` writes the file, ingest applies it, and git keeps its versions.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bitbloom.core.errors import BitBloomError

if TYPE_CHECKING:
    from bitbloom.data.sources import SourceFile

RELABELS = Path("conf/relabel")
"""One CSV file for each target whose labels were corrected; a dependency of ingest where it exists."""
COLUMNS = ("id", "before", "label")


@dataclass(frozen=True)
class Relabel:
    """A corrected label of a sample, and the one that the source gives."""

    before: str
    label: str


@dataclass(frozen=True)
class Relabels:
    """The corrected labels of a target.

    Attributes:
        file: their file, which need not exist.
        wanted: corrected labels by the id of the sample.
        applied: ids of samples that the source has.
    """

    file: Path
    wanted: Mapping[str, Relabel]
    applied: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, target: str) -> Relabels:
        """Read those of a target; none without a file. Raises BitBloomError if the file has another form."""
        return cls.read(RELABELS / f"{target}.csv")

    @classmethod
    def read(cls, file: Path) -> Relabels:
        """Read a file; none if it does not exist. Raises BitBloomError if it has another form."""
        return cls(file, _read(file) if file.exists() else {})

    def apply(self, files: Iterable[SourceFile]) -> Iterator[SourceFile]:
        """Yield the files with their corrected labels.

        Raises:
            BitBloomError: the source gives a sample another label than when it was corrected.
        """
        return map(self._relabelled, files)

    def check_applied(self) -> None:
        """Raise BitBloomError when the source does not have a sample any more."""
        for id in self.wanted:
            if id not in self.applied:
                raise BitBloomError(f"{self.file}: the source has no sample '{id}' any more: remove its row")

    def _relabelled(self, file: SourceFile) -> SourceFile:
        relabel = self.wanted.get(file.id)
        if relabel is None:
            return file
        if file.label not in (relabel.before, relabel.label):
            raise BitBloomError(
                f"{self.file}: '{file.id}' was corrected from '{relabel.before}' to '{relabel.label}', and the source now says "
                f"'{file.label}': remove its row if that is right"
            )
        self.applied.add(file.id)
        return replace(file, label=relabel.label)


def _read(file: Path) -> dict[str, Relabel]:
    with file.open(encoding="utf-8", newline="") as stream:
        header, *rows = list(csv.reader(stream)) or [[]]
    if tuple(header) != COLUMNS:
        raise BitBloomError(f"{file} has the columns {', '.join(header)}, not {', '.join(COLUMNS)}: restore it from git")
    found: dict[str, Relabel] = {}
    for number, row in enumerate(rows, 2):
        if len(row) != len(COLUMNS) or not all(row):
            raise BitBloomError(
                f"{file}, row {number}: not a value for each of {', '.join(COLUMNS)}: restore the row, or remove it"
            )
        if row[0] in found:
            raise BitBloomError(f"{file}, row {number}: '{row[0]}' has a second label: remove one of the rows")
        found[row[0]] = Relabel(row[1], row[2])
    return found
