"""Corruptions of manifests and their expected results, for the corruption matrices of all tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
        rows: failing ids; empty if the whole table fails.
        says: text in the explanation.
        gate: bounds that differ from the defaults.
        unchecked: expectations that can no longer be checked.
        profile: the accepted profile, if there is one.
    """

    fails: str
    corrupt: Corruption
    rows: set[str] = field(default_factory=set)
    says: str = ""
    gate: dict[str, object] = field(default_factory=dict)
    unchecked: set[str] = field(default_factory=set)
    profile: Mapping[str, Any] | None = None


def put(row: int, **values: object) -> Corruption:
    """Change values of one row."""

    def corrupt(table: pd.DataFrame) -> pd.DataFrame:
        for column, value in values.items():
            old = table[column]
            new = pd.Series([value if position == row else kept for position, kept in enumerate(old)], dtype=object)
            table[column] = new if old.dtype == object or isinstance(value, str) else new.infer_objects()
        return table

    return corrupt


def copy(column: str, source: int, to: int) -> Corruption:
    """Copy a value from one row to another."""
    return lambda table: put(to, **{column: table.loc[source, column]})(table)


def cast(column: str, dtype: str) -> Corruption:
    """Change the type of a column."""
    return lambda table: table.astype({column: dtype})


def wrong_types(text: Iterable[str], casts: Mapping[str, str], row: str) -> dict[str, tuple[Corruption, set[str]]]:
    """Return a corruption of the type of each column, and the failing ids.

    Args:
        text: text columns except the id: the second row gets a number.
        casts: type that each numeric column is cast to; the whole table fails.
        row: id of the second row.
    """
    return {
        **{column: (put(1, **{column: 7}), {row}) for column in text},
        "id": (put(0, id=7), {"7"}),
        **{column: (cast(column, dtype), set()) for column, dtype in casts.items()},
    }


def broken_names(row: str, rows: int) -> dict[str, Case]:
    """Return corruptions of id and hashes of the first row, with the id `row`, of a manifest of `rows` rows."""
    return {
        "an id twice": Case("unique-id", copy("id", 0, 1), {row}, f"rows at fault: 2 of {rows}"),
        "a digest cut short": Case("form-sha256", put(0, sha256="abc"), {row}, "(abc)"),
        "a key in capitals": Case("form-key", put(0, key="A" * 64), {row}),
    }


def broken_photo(row: str) -> dict[str, Case]:
    """Return corruptions of the photo of the first row, with the id `row`."""
    return {
        "a hash of another size": Case("form-perceptual-hash", put(0, perceptual_hash="0" * 32), {row}),
        "a thumbnail": Case("shortest-side", put(0, width=96, height=31), {row}, "(31)", gate={"odd_size": None}),
        "a panorama file": Case("longest-side", put(0, width=12001), {row}, "(12001)", gate={"odd_size": None}),
        "a tall strip": Case("aspect", put(0, aspect=0.1), {row}, "(0.1)"),
        "a wide strip": Case("aspect", put(0, aspect=9.5), {row}, "(9.5)"),
        "a strange colour mode": Case("colour-mode", put(0, mode="LAB"), {row}, "(LAB)"),
        "a black photo": Case("brightness", put(0, brightness=0.001), {row}, "(0.001)"),
        "a white photo": Case("brightness", put(0, brightness=0.999), {row}, "(0.999)"),
        "one flat colour": Case("contrast", put(0, contrast=0.0), {row}, "(0.0)"),
        "noise": Case("contrast", put(0, contrast=0.7), {row}, "(0.7)"),
        "underexposed": Case("dark", put(0, highlights=0.2), {row}, "(0.2)"),
        "overexposed": Case("light", put(0, shadows=0.95), {row}, "(0.95)"),
        "out of focus": Case("blurred", put(0, sharpness=0.2), {row}, "(0.2)"),
        "grain": Case("noisy", put(0, noise=0.3), {row}, "(0.3)"),
        "an empty page": Case("low-information", put(0, variety=0.02), {row}, "(0.02)"),
        "no colour": Case("grey", put(0, saturation=0.0), {row}, "(0.0)"),
        "a letterbox": Case("margins", put(0, margin=0.4), {row}, "(0.4)"),
        "another size than all others": Case("odd-size", put(0, width=64, height=48), {row}, "(64 × 48)"),
        "no end marker": Case("complete", put(0, complete=False), {row}, "(False)"),
        "another format than the name says": Case("suffix", put(0, format="GIF"), {row}, "(GIF)"),
        "turned by EXIF": Case("upright", put(0, orientation=6), {row}, "(6)"),
    }


def look_alike(of: int, row: int) -> Corruption:
    """Give a row nearly the look of another."""

    def corrupt(table: pd.DataFrame) -> pd.DataFrame:
        value = int(table.loc[of, "perceptual_hash"], 16) ^ 0b101
        return put(row, perceptual_hash=f"{value:016x}", thumbnail=table.loc[of, "thumbnail"])(table)

    return corrupt


def given_splits(*others: Corruption) -> Corruption:
    """Give 6 of 10 rows the split train, the others test, after other corruptions."""

    def corrupt(table: pd.DataFrame) -> pd.DataFrame:
        for other in others:
            table = other(table)
        splits = ["train" if position % 5 < 3 else "test" for position in range(len(table))]
        return table.assign(attributes=[f'{{"split": "{split}"}}' for split in splits])

    return corrupt


def in_test(**values: object) -> Corruption:
    """Set values in the rows of the split test of `given_splits`."""

    def corrupt(table: pd.DataFrame) -> pd.DataFrame:
        for column, value in values.items():
            table = table.assign(**{column: table[column].where(pd.Series(range(len(table))) % 5 < 3, value)})
        return table

    return corrupt


def profile(
    rows: int, labels: Mapping[str, int] | None = None, vocabulary: Iterable[str] = (), **medians: float
) -> dict[str, Any]:
    """Return a profile with these medians, and an interquartile range of a tenth of each."""
    around = {"min": 0.5, "p05": 0.9, "p25": 0.95, "p50": 1.0, "p75": 1.05, "p95": 1.1, "max": 2.0}
    numeric = {column: {name: median * factor for name, factor in around.items()} for column, median in medians.items()}
    return {"rows": rows, "labels": dict(labels or {}), "numeric": numeric, "vocabulary": dict.fromkeys(vocabulary, 1) or None}


@dataclass(frozen=True)
class Matrix:
    """Corruptions of a valid manifest: each fails one expectation, and together they fail every expectation of a task.

    Attributes:
        task: the task's name.
        manifest: function that returns a valid manifest.
        gate: default bounds.
        cases: corruptions of values.
        types: corruptions of types by column, with the failing ids.
        never_null: columns whose type changes with a null, or that can have a null.
    """

    task: str
    manifest: Callable[[], pd.DataFrame]
    gate: Mapping[str, object]
    cases: Mapping[str, Case]
    types: Mapping[str, tuple[Corruption, set[str]]]
    never_null: set[str]

    @property
    def suite(self) -> Path:
        """The suite's file."""
        return REPOSITORY / suite_path(self.task)

    def check(self, table: pd.DataFrame, accepted: Mapping[str, Any] | None = None, **bounds: object) -> Verdict:
        """Check a table with default bounds, some of them changed, and an accepted profile."""
        return check(table, self.suite, Gate(**{**self.gate, **bounds}), accepted=accepted)

    def assert_fails_alone(self, case: Case) -> None:
        """Assert that the corrupted table fails only the expectation of the case, with the failing rows and the advice."""
        verdict = self.check(case.corrupt(self.manifest()), case.profile, **case.gate)
        [result] = verdict.with_outcome(FAILED)
        assert result.name == case.fails
        assert {row["id"] for row in result.rows} == case.rows
        assert {one.name for one in verdict.with_outcome(NOT_CHECKED)} == case.unchecked
        assert result.count == len(result.rows)
        text = verdict.in_words()
        assert advice(self.suite, case.fails) in text
        assert case.says in text
        assert all(row in text for row in sorted(case.rows)[:5])

    def assert_wrong_types_fail_alone(self) -> Verdict:
        """Assert that a table with a wrong type in every column fails only the expectations of types; return the verdict."""
        table = self.manifest()
        for corrupt, _ in self.types.values():
            table = corrupt(table)
        verdict = self.check(table)
        assert rows_by_name(verdict) == {f"type-{column}": rows for column, (_, rows) in self.types.items()}
        return verdict

    def assert_nulls_fail_alone(self) -> None:
        """Assert that a table with a null in every column, in different rows, fails only the expectations of nulls."""
        table = self.manifest()
        rows = {column: position and 1 + (position - 1) % (len(table) - 1) for position, column in enumerate(table)}
        rows = {column: row for column, row in rows.items() if column not in self.never_null}
        ids = {f"not-null-{column}": {table.loc[row, "id"] if column != "id" else "(no id)"} for column, row in rows.items()}
        for column, row in rows.items():
            table = put(row, **{column: None})(table)
        verdict = self.check(table, undecodable=1)
        assert rows_by_name(verdict) == ids
        assert verdict.with_outcome(NOT_CHECKED) == []

    def assert_complete(self) -> None:
        """Assert that every expectation of the suite has a corruption."""
        nulls = {f"not-null-{column}" for column in self.manifest() if column not in self.never_null}
        types = {f"type-{column}" for column in self.types}
        assert {case.fails for case in self.cases.values()} | nulls | types == {
            one["meta"]["name"] for one in canonical.read_json(self.suite)["expectations"]
        }


def advice(suite: Path, name: str) -> str:
    """Return the advice of an expectation."""
    [found] = [one["meta"]["advice"] for one in canonical.read_json(suite)["expectations"] if one["meta"]["name"] == name]
    return str(found)


def rows_by_name(verdict: Verdict) -> dict[str, set[str]]:
    """Return the failing ids of each failed expectation."""
    return {result.name: {row["id"] for row in result.rows} for result in verdict.with_outcome(FAILED)}
