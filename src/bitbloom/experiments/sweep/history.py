"""The history of a search: canonical JSON lines. Equal searches have equal bytes, so the digest of the file names the search.

    .bitbloom/sweeps/<name>/history.jsonl

The first line has the space and the digests of its inputs; then there is one line for each trial in order, and at the
end of a whole search the winner. Every generation that ends replaces the file, unless that has all of its
rows and more: a search that resumes, or has fewer trials than before, loses none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.sweep import study
from bitbloom.experiments.sweep.study import Progress, Row
from bitbloom.pipeline.recovery import STATE

SWEEPS = STATE / "sweeps"
FILE = "history.jsonl"


@dataclass(frozen=True)
class History:
    """A search as its file has it."""

    head: Mapping[str, Any]
    rows: Sequence[Row]
    whole: bool = False
    """Whether all trials have their row."""

    def is_of(self, head: Mapping[str, Any]) -> bool:
        """Whether it is of the search with this first line, of any number of trials."""
        ours, theirs = searched(self.head["space"]), searched(head["space"])
        return bool(self.head["inputs"] == head["inputs"] and ours == theirs)

    def begins(self, longer: History) -> bool:
        """Whether the other one is of the same search, with these rows and more."""
        same = longer.is_of(self.head) and text_of(self.rows) == text_of(longer.rows[: len(self.rows)])
        return same and len(longer.rows) > len(self.rows)

    @property
    def winner(self) -> Row | None:
        """The best complete trial so far."""
        return study.best(self.rows, self.head["space"]["direction"])

    def text(self) -> str:
        """The content of the file."""
        end = {"trials": len(self.rows), "winner": self.winner.number if self.winner else None}
        last = canonical.json_line(end) if self.whole else ""
        return canonical.json_line(dict(self.head)) + text_of(self.rows) + last

    def digest(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def row(self, number: int | None) -> Row:
        """A trial by its number; None means the winner. Raises BitBloomError when there is none."""
        if number is None:
            if not self.winner:
                raise BitBloomError(f"sweep '{self.head['sweep']}' has no complete trial, so it has no winner")
            return self.winner
        if not 0 <= number < len(self.rows):
            raise BitBloomError(f"sweep '{self.head['sweep']}' has no trial {number}: it has {len(self.rows)}, from 0")
        return self.rows[number]

    def known(self) -> dict[tuple[str, ...], Progress]:
        """Overrides of a trial → what its row tells of it. Of a pruned one, the curve up to there."""
        return {
            tuple(row.overrides): Progress(
                tuple(row.curve),
                row.state != study.PRUNED,
                row.value if row.state == study.COMPLETE else None,
                row.sha256,
                row.failure,
            )
            for row in self.rows
        }


def folder(name: str) -> Path:
    """The folder of a search."""
    return SWEEPS / name


def text_of(rows: Sequence[Row]) -> str:
    """The lines of trials."""
    return "".join(canonical.json_line(asdict(row)) for row in rows)


def searched(space: Mapping[str, Any]) -> dict[str, Any]:
    """What of a space has to stay: a longer search goes on with the trials of a shorter one."""
    return {**json.loads(canonical.json_text(space)), "trials": 0}


def write(history: History) -> History:
    """Replace the file of a search, unless it begins with these rows and has more. Returns what it holds now."""
    path = folder(history.head["sweep"]) / FILE
    if path.exists() and history.begins(before := parse(path)):
        return before
    canonical.write_text(path, history.text())
    return history


def read(name: str) -> History:
    """Read the history of a search. Raises BitBloomError when it is missing or damaged."""
    path = folder(name) / FILE
    if not path.is_file():
        known = ", ".join(sorted(file.parent.name for file in SWEEPS.glob(f"*/{FILE}")))
        raise BitBloomError(f"no sweep '{name}' ran here; there are: {known or 'none'} (make sweep SPACE=conf/sweep/….yaml)")
    return parse(path)


def parse(path: Path) -> History:
    """Read a file of history. Raises BitBloomError when it is damaged."""
    try:
        text = path.read_text(encoding="utf-8")
        head, *lines = [json.loads(line) for line in text.splitlines()]
        rows = [_row(line) for line in lines if "winner" not in line]
        found = History(head, rows, whole=len(rows) < len(lines))
        if found.text() != text:
            raise ValueError("it was changed by hand")
        return found
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BitBloomError(f"{path} is not a history: {error}; remove it, and run the sweep again") from error


def _row(line: Mapping[str, Any]) -> Row:
    return Row(**{**line, "overrides": tuple(line["overrides"]), "curve": tuple(line["curve"])})
