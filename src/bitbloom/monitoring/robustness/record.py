"""The rows of a measurement that was stopped: the next one with the same models, samples and code goes on after them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitbloom.core import canonical
from bitbloom.core.digests import file_digest, listing_digest

if TYPE_CHECKING:
    from bitbloom.monitoring.robustness.subject import Subject

FOLDER = Path(".bitbloom/robustness")


class Record:
    """Rows by their names, in a file that is removed when the measurement is complete."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, Any] = canonical.read_json(path) if path.exists() else {}

    @classmethod
    def of(cls, subjects: Sequence[Subject]) -> Record:
        """The record of models on their test samples, by this code."""
        facts = {path.name: file_digest(path) for path in Path(__file__).parent.rglob("*.py")}
        for number, subject in enumerate(subjects):
            facts |= {f"{number} {len(subject.test.samples)}": f"{subject.digest} {subject.trained.data_digest}"}
        return cls(FOLDER / f"{subjects[0].target.name}-{listing_digest(facts)[:12]}.json")

    def row(self, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The row of this name, measured if it is not there yet."""
        if name not in self.rows:
            self.rows[name] = measure()
            canonical.write_json(self.path, self.rows)
        found: dict[str, Any] = self.rows[name]
        return found

    def close(self) -> None:
        """Remove the file: the rows are in the report."""
        self.path.unlink(missing_ok=True)
