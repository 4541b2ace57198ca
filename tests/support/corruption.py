"""How a manifest is corrupted, and what has to be said of it: shared by the corruption matrices of all tasks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from bitbloom.config.sections.gate import Gate
from bitbloom.core import canonical
from bitbloom.validation.check import check
from bitbloom.validation.verdict import FAILED, NOT_CHECKED, Verdict

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
    return lambda table: table.astype({column: dtype})


def assert_fails_alone(case: Case, table: pd.DataFrame, suite: Path, gate: Mapping[str, object]) -> None:
    """The corrupted table fails the expectation of the case and no other, which names the rows at fault and what to do."""
    verdict = check(case.corrupt(table), suite, Gate(**{**gate, **case.gate}))
    [finding] = verdict.with_outcome(FAILED)
    assert finding.name == case.fails
    assert {row["id"] for row in finding.rows} == case.rows
    assert {one.name for one in verdict.with_outcome(NOT_CHECKED)} == case.unchecked
    assert finding.count == len(finding.rows)
    text = verdict.in_words()
    assert advice(suite, case.fails) in text
    assert case.says in text
    assert all(row in text for row in sorted(case.rows)[:5])


def advice(suite: Path, name: str) -> str:
    """What the suite says to do when an expectation fails."""
    [found] = [one["meta"]["advice"] for one in canonical.read_json(suite)["expectations"] if one["meta"]["name"] == name]
    return str(found)


def rows_by_name(verdict: Verdict) -> dict[str, set[str]]:
    return {finding.name: {row["id"] for row in finding.rows} for finding in verdict.with_outcome(FAILED)}
