"""The result of the gate, as canonical JSON and as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bitbloom.validation.suite import CRITICAL

if TYPE_CHECKING:
    from bitbloom.validation.checkpoint import Result
    from bitbloom.validation.suite import Expectation

ROWS_NAMED = 50
"""Largest number of failing rows in the report of an expectation; it counts all of them."""
ROWS_PRINTED, VALUES_PRINTED = 5, 120

PASSED, FAILED, NOT_CHECKED = "passed", "failed", "not checked"

WORDS = {
    "type_": "type",
    "column_set": "columns",
    "value_set": "one of",
    "regex": "the form",
    "min_value": "at least",
    "max_value": "at most",
    "mostly": "in a fraction of rows of at least",
}
"""Descriptions of the arguments that are bounds."""


@dataclass(frozen=True)
class Check:
    """The result of one expectation.

    Attributes:
        outcome: `passed`, `failed`, or `not checked` because a column that it reads is missing or of a wrong type.
        kwargs: its arguments, with the values of the bounds.
        observed: a summary of the data.
        count: number of failing rows, including tolerated ones.
        rows: some of them by id: `{"id": …, "value": …}`.
        severity: `critical`, `warning` or `info`.
    """

    name: str
    type: str
    notes: str
    advice: str
    outcome: str
    kwargs: dict[str, Any]
    observed: dict[str, Any] = field(default_factory=dict)
    count: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    severity: str = CRITICAL

    @property
    def held(self) -> bool:
        """Whether it was checked and passed."""
        return self.outcome == PASSED

    def as_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {
            "name": self.name,
            "expectation": self.type,
            "notes": self.notes,
            "advice": self.advice,
            "severity": self.severity,
            "outcome": self.outcome,
            "success": self.held,
            "kwargs": self.kwargs,
            "observed": self.observed,
            "rows_at_fault": {"count": self.count, "first": self.rows},
        }

    def in_words(self) -> str:
        """Describe the expectation, the observed values, the failing rows, and what to do."""
        expected = _in_words({WORDS[key]: value for key, value in self.kwargs.items() if key in WORDS})
        found = _in_words({key: value for key, value in self.observed.items() if key != "rows_checked"})
        kind = "" if self.severity == CRITICAL else f", {self.severity}"
        lines = [f"  ✗ {self.notes} [{self.name}{kind}]"]
        lines += [f"    expected: {expected}"] if expected else []
        lines += [f"    found: {found}"] if found else []
        if self.count:
            named = [f"{row['id']} ({row['value']})" for row in self.rows[:ROWS_PRINTED]]
            more = f" and {self.count - len(named)} more" if self.count > len(named) else ""
            lines.append(f"    rows at fault: {self.count} of {self.observed['rows_checked']}: {', '.join(named)}{more}")
        return "\n".join([*lines, f"    what to do: {self.advice}"])


@dataclass(frozen=True)
class Verdict:
    """The results of all expectations on a manifest, in the order of the suite."""

    suite: str
    rows: int
    checks: Sequence[Check]
    left_out: Sequence[str]

    @property
    def passed(self) -> bool:
        """Whether every critical expectation was checked and passed."""
        return all(check.held for check in self.checks if check.severity == CRITICAL)

    @property
    def held(self) -> int:
        """Number of expectations that were checked and passed."""
        return sum(check.held for check in self.checks)

    @property
    def all_held(self) -> bool:
        """Whether every expectation was checked and passed, also those that are not critical."""
        return self.held == len(self.checks)

    def with_outcome(self, outcome: str) -> list[Check]:
        """Return the results with that outcome."""
        return [check for check in self.checks if check.outcome == outcome]

    def as_json(self) -> dict[str, Any]:
        """Return the content of `validation.json`."""
        return {
            "suite": self.suite,
            "success": self.passed,
            "rows": self.rows,
            "expectations": [check.as_json() for check in self.checks],
            "left_out": list(self.left_out),
        }

    def in_words(self) -> str:
        """Describe every failed expectation with its rows and advice, then list the unchecked ones."""
        failed, unchecked = self.with_outcome(FAILED), self.with_outcome(NOT_CHECKED)
        paragraphs = [check.in_words() for check in failed]
        if unchecked:
            names = ", ".join(check.name for check in unchecked)
            paragraphs.append(f"  ? not checked, because a column they read is missing or of a wrong type: {names}")
        return "\n".join([f"{len(failed)} of {len(self.checks)} expectations fail on {self.rows} rows", *paragraphs])


def check(expectation: Expectation, result: Result | None) -> Check:
    """Summarise the result of an expectation; None means that it was not checked."""
    meta = expectation["meta"]
    texts = {
        "name": meta["name"],
        "type": expectation["type"],
        "notes": expectation["notes"],
        "advice": meta["advice"],
        "severity": expectation.get("severity", CRITICAL),
    }
    if result is None:
        return Check(**texts, outcome=NOT_CHECKED, kwargs=expectation["kwargs"])
    kwargs = {key: value for key, value in result["expectation_config"]["kwargs"].items() if key != "batch_id"}
    rows = _rows(result, kwargs.get("column"))
    return Check(
        **texts,
        outcome=PASSED if result["success"] else FAILED,
        kwargs=kwargs,
        observed=_observed(result["result"]),
        count=result["result"].get("unexpected_count", 0),
        rows=rows[:ROWS_NAMED],
    )


def _rows(result: Result, column: str | None) -> list[dict[str, Any]]:
    """Return failing rows, sorted by id: Great Expectations lists each as `{"id": …, column: value}`."""
    listed = result["result"].get("unexpected_index_list") or []
    rows = [{"id": str(row["id"] or "(no id)"), "value": _finite(row.get(column))} for row in listed if isinstance(row, dict)]
    return sorted(rows, key=lambda row: (row["id"], str(row["value"])))


def _observed(result: dict[str, Any]) -> dict[str, Any]:
    """Return the observed values of a result, in an order that does not depend on the order of the rows."""
    observed: dict[str, Any] = {}
    if "element_count" in result:
        observed["rows_checked"] = result["element_count"]
    mismatched = result.get("details", {}).get("mismatched", {})
    observed.update({f"{key}_columns": sorted(names) for key, names in mismatched.items()})
    if not mismatched and isinstance(result.get("observed_value"), str | int | float):
        observed["value"] = _finite(result["observed_value"])
    if "missing_count" in result and "partial_missing_list" in result:
        observed["missing_count"] = result["missing_count"]
        # The list is truncated in an arbitrary order: include the missing values only if it is complete.
        if result["missing_count"] == len(result["partial_missing_list"]):
            observed["missing"] = sorted(result["partial_missing_list"])
    return observed


def _in_words(facts: dict[str, Any]) -> str:
    """Format facts as `key value; key value`, lists without brackets."""
    texts = {key: _listed(value) if isinstance(value, list) else str(value) for key, value in facts.items()}
    return "; ".join(f"{key.replace('_', ' ')} {text}" for key, text in sorted(texts.items()))


def _listed(values: list[Any]) -> str:
    """The first VALUES_PRINTED values, and the number of the others."""
    more = f" and {len(values) - VALUES_PRINTED:,} more" if len(values) > VALUES_PRINTED else ""
    return ", ".join(map(str, values[:VALUES_PRINTED])) + more


def _finite(value: Any) -> Any:
    """Replace NaN and infinities, which JSON does not have, by None."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
