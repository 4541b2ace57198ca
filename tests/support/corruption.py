"""How a manifest is corrupted, and what has to be said of it: shared by the corruption matrices of all tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from bitbloom.config.sections.gate import Gate
from bitbloom.core import canonical
from bitbloom.validation.check import check, suite_path
from bitbloom.validation.verdict import FAILED, NOT_CHECKED, Verdict

REPOSITORY = Path(__file__).parents[2]
Corruption = Callable[[pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True)
class Case:
    """A corruption of a valid manifest that fails one expectation.

    Attributes:
        fails: the expectation's name.
        corrupt: the corruption.
        rows: ids at fault; empty where the fault is the table's.
        says: text that the explanation must hold.
        gate: bounds that differ from the usual ones.
        unchecked: expectations that cannot be checked any more.
    """

    fails: str
    corrupt: Corruption
    rows: set[str] = field(default_factory=set)
    says: str = ""
    gate: dict[str, object] = field(default_factory=dict)
    unchecked: set[str] = field(default_factory=set)


def put(row: int, **values: object) -> Corruption:
    """Other values in one row."""

    def corrupt(table: pd.DataFrame) -> pd.DataFrame:
        for column, value in values.items():
            old = table[column]
            new = pd.Series([value if position == row else kept for position, kept in enumerate(old)], dtype=object)
            table[column] = new if old.dtype == object or isinstance(value, str) else new.infer_objects()
        return table

    return corrupt


def copy(column: str, source: int, to: int) -> Corruption:
    """The value of one row in another."""
    return lambda table: put(to, **{column: table.loc[source, column]})(table)


def cast(column: str, dtype: str) -> Corruption:
    """Another type of a column."""
    return lambda table: table.astype({column: dtype})


def wrong_types(text: Iterable[str], casts: Mapping[str, str], row: str) -> dict[str, tuple[Corruption, set[str]]]:
    """For each column a corruption that gives it another type, and the ids at fault.

    Args:
        text: columns of text, besides the id: the second row gets a number.
        casts: type that each column of numbers is cast to; the fault is the table's.
        row: id of the second row.
    """
    return {
        **{column: (put(1, **{column: 7}), {row}) for column in text},
        "id": (put(0, id=7), {"7"}),
        **{column: (cast(column, dtype), set()) for column, dtype in casts.items()},
    }


def broken_names(row: str, rows: int) -> dict[str, Case]:
    """What can be wrong with the id and the hashes of the first row, whose id is `row`, of a manifest of so many rows."""
    return {
        "an id twice": Case("unique-id", copy("id", 0, 1), {row}, f"rows at fault: 2 of {rows}"),
        "a digest cut short": Case("form-sha256", put(0, sha256="abc"), {row}, "(abc)"),
        "a key in capitals": Case("form-key", put(0, key="A" * 64), {row}),
    }


def broken_photo(row: str) -> dict[str, Case]:
    """What can be wrong with the photo of the first row, whose id is `row`."""
    return {
        "a hash of another size": Case("form-perceptual-hash", put(0, perceptual_hash="0" * 32), {row}),
        "a thumbnail": Case("shortest-side", put(0, width=96, height=31), {row}, "(31)"),
        "a panorama file": Case("longest-side", put(0, width=12001), {row}, "(12001)"),
        "a tall strip": Case("aspect", put(0, aspect=0.1), {row}, "(0.1)"),
        "a wide strip": Case("aspect", put(0, aspect=9.5), {row}, "(9.5)"),
        "a strange colour mode": Case("colour-mode", put(0, mode="LAB"), {row}, "(LAB)"),
        "a black photo": Case("brightness", put(0, brightness=0.001), {row}, "(0.001)"),
        "a white photo": Case("brightness", put(0, brightness=0.999), {row}, "(0.999)"),
        "one flat colour": Case("contrast", put(0, contrast=0.0), {row}, "(0.0)"),
        "noise": Case("contrast", put(0, contrast=0.7), {row}, "(0.7)"),
    }


@dataclass(frozen=True)
class Matrix:
    """Corruptions of a valid manifest that together break every expectation of a task, each alone.

    Attributes:
        task: whose expectations they are.
        manifest: makes a valid manifest.
        gate: the usual bounds.
        cases: corruptions of values.
        types: corruptions of types by column, with the ids at fault.
        never_null: columns that a null would give another type, or that may hold one.
    """

    task: str
    manifest: Callable[[], pd.DataFrame]
    gate: Mapping[str, object]
    cases: Mapping[str, Case]
    types: Mapping[str, tuple[Corruption, set[str]]]
    never_null: set[str]

    @property
    def suite(self) -> Path:
        """The expectations."""
        return REPOSITORY / suite_path(self.task)

    def check(self, table: pd.DataFrame, **bounds: object) -> Verdict:
        """The verdict on a table, with some bounds that differ from the usual ones."""
        return check(table, self.suite, Gate(**{**self.gate, **bounds}))

    def assert_fails_alone(self, case: Case) -> None:
        """The corrupted table fails the expectation of the case and no other, which names the rows at fault and what to do."""
        verdict = self.check(case.corrupt(self.manifest()), **case.gate)
        [finding] = verdict.with_outcome(FAILED)
        assert finding.name == case.fails
        assert {row["id"] for row in finding.rows} == case.rows
        assert {one.name for one in verdict.with_outcome(NOT_CHECKED)} == case.unchecked
        assert finding.count == len(finding.rows)
        text = verdict.in_words()
        assert advice(self.suite, case.fails) in text
        assert case.says in text
        assert all(row in text for row in sorted(case.rows)[:5])

    def assert_wrong_types_fail_alone(self) -> Verdict:
        """A table in which every column has another type fails the expectations of types and no other; its verdict."""
        table = self.manifest()
        for corrupt, _ in self.types.values():
            table = corrupt(table)
        verdict = self.check(table)
        assert rows_by_name(verdict) == {f"type-{column}": rows for column, (_, rows) in self.types.items()}
        return verdict

    def assert_nulls_fail_alone(self) -> None:
        """A table with a null in every column, each in a row of its own, fails the expectations of nulls and no other."""
        table = self.manifest()
        rows = {column: position for position, column in enumerate(table) if column not in self.never_null}
        ids = {f"not-null-{column}": {table.loc[row, "id"] if column != "id" else "(no id)"} for column, row in rows.items()}
        for column, row in rows.items():
            table = put(row, **{column: None})(table)
        verdict = self.check(table, undecodable=1)
        assert rows_by_name(verdict) == ids
        assert verdict.with_outcome(NOT_CHECKED) == []

    def assert_complete(self) -> None:
        """Every expectation of the suite is broken by a corruption."""
        nulls = {f"not-null-{column}" for column in self.manifest() if column not in self.never_null}
        types = {f"type-{column}" for column in self.types}
        assert {case.fails for case in self.cases.values()} | nulls | types == {
            one["meta"]["name"] for one in canonical.read_json(self.suite)["expectations"]
        }


def advice(suite: Path, name: str) -> str:
    """What the suite says to do when an expectation fails."""
    [found] = [one["meta"]["advice"] for one in canonical.read_json(suite)["expectations"] if one["meta"]["name"] == name]
    return str(found)


def rows_by_name(verdict: Verdict) -> dict[str, set[str]]:
    """The ids at fault of each expectation that fails."""
    return {finding.name: {row["id"] for row in finding.rows} for finding in verdict.with_outcome(FAILED)}
