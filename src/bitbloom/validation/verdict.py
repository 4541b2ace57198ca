"""What the gate found: the same facts as canonical JSON and in plain words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bitbloom.validation.checkpoint import Result
    from bitbloom.validation.suite import Expectation

ROWS_NAMED = 50
"""Rows at fault that the report names a failed expectation; it counts all of them."""
ROWS_PRINTED = 5

PASSED, FAILED, NOT_CHECKED = "passed", "failed", "not checked"

WORDS = {
    "type_": "type",
    "column_set": "columns",
    "value_set": "one of",
    "regex": "the form",
    "min_value": "at least",
    "max_value": "at most",
    "mostly": "in a share of rows of at least",
}
"""Arguments of expectations that are bounds, in plain words."""


@dataclass(frozen=True)
class Finding:
    """One expectation and what came of it.

    Attributes:
        outcome: `passed`, `failed`, or `not checked` because a column it reads is missing or of a wrong type.
        kwargs: its arguments, bounds filled in.
        observed: a summary of what the data holds.
        count: number of rows at fault, tolerated ones too.
        rows: some of them by id: `{"id": …, "value": …}`.
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

    def as_json(self) -> dict[str, Any]:
        """The finding as plain values."""
        return {
            "name": self.name,
            "expectation": self.type,
            "notes": self.notes,
            "advice": self.advice,
            "outcome": self.outcome,
            "success": self.outcome == PASSED,
            "kwargs": self.kwargs,
            "observed": self.observed,
            "rows_at_fault": {"count": self.count, "first": self.rows},
        }

    def in_words(self) -> str:
        """What was expected, what was found in which rows, and what to do."""
        expected = _in_words({WORDS[key]: value for key, value in self.kwargs.items() if key in WORDS})
        found = _in_words({key: value for key, value in self.observed.items() if key != "rows_checked"})
        lines = [f"  ✗ {self.notes} [{self.name}]"]
        lines += [f"    expected: {expected}"] if expected else []
        lines += [f"    found: {found}"] if found else []
        if self.count:
            named = [f"{row['id']} ({row['value']})" for row in self.rows[:ROWS_PRINTED]]
            more = f" and {self.count - len(named)} more" if self.count > len(named) else ""
            lines.append(f"    rows at fault: {self.count} of {self.observed['rows_checked']}: {', '.join(named)}{more}")
        return "\n".join([*lines, f"    what to do: {self.advice}"])


@dataclass(frozen=True)
class Verdict:
    """All findings on a manifest, in the order of the suite."""

    suite: str
    rows: int
    findings: Sequence[Finding]
    left_out: Sequence[str]

    @property
    def passed(self) -> bool:
        """Whether every expectation was checked and holds."""
        return all(finding.outcome == PASSED for finding in self.findings)

    def with_outcome(self, outcome: str) -> list[Finding]:
        """The findings with that outcome."""
        return [finding for finding in self.findings if finding.outcome == outcome]

    def as_json(self) -> dict[str, Any]:
        """The content of `validation.json`."""
        return {
            "suite": self.suite,
            "success": self.passed,
            "rows": self.rows,
            "expectations": [finding.as_json() for finding in self.findings],
            "left_out": list(self.left_out),
        }

    def in_words(self) -> str:
        """Every failed expectation with its rows and advice, then the names of those that could not be checked."""
        failed, unchecked = self.with_outcome(FAILED), self.with_outcome(NOT_CHECKED)
        paragraphs = [finding.in_words() for finding in failed]
        if unchecked:
            names = ", ".join(finding.name for finding in unchecked)
            paragraphs.append(f"  ? not checked, because a column they read is missing or of a wrong type: {names}")
        return "\n".join([f"{len(failed)} of {len(self.findings)} expectations fail on {self.rows} rows", *paragraphs])


def finding(expectation: Expectation, result: Result | None) -> Finding:
    """The finding on one expectation; without a result it was not checked."""
    meta = expectation["meta"]
    texts = {"name": meta["name"], "type": expectation["type"], "notes": expectation["notes"], "advice": meta["advice"]}
    if result is None:
        return Finding(**texts, outcome=NOT_CHECKED, kwargs=expectation["kwargs"])
    kwargs = {key: value for key, value in result["expectation_config"]["kwargs"].items() if key != "batch_id"}
    rows = _rows(result, kwargs.get("column"))
    return Finding(
        **texts,
        outcome=PASSED if result["success"] else FAILED,
        kwargs=kwargs,
        observed=_observed(result["result"]),
        count=result["result"].get("unexpected_count", 0),
        rows=rows[:ROWS_NAMED],
    )


def _rows(result: Result, column: str | None) -> list[dict[str, Any]]:
    """Rows at fault, sorted by id: Great Expectations lists each as `{"id": …, column: value}`."""
    listed = result["result"].get("unexpected_index_list") or []
    rows = [{"id": str(row["id"] or "(no id)"), "value": _finite(row.get(column))} for row in listed if isinstance(row, dict)]
    return sorted(rows, key=lambda row: (row["id"], str(row["value"])))


def _observed(result: dict[str, Any]) -> dict[str, Any]:
    """The part of a result that says what the data holds, in an order that does not depend on the rows'."""
    observed: dict[str, Any] = {}
    if "element_count" in result:
        observed["rows_checked"] = result["element_count"]
    mismatched = result.get("details", {}).get("mismatched", {})
    observed.update({f"{key}_columns": sorted(names) for key, names in mismatched.items()})
    if not mismatched and isinstance(result.get("observed_value"), str | int | float):
        observed["value"] = _finite(result["observed_value"])
    if "missing_count" in result and "partial_missing_list" in result:
        observed["missing_count"] = result["missing_count"]
        # The list is cut off in an arbitrary order: name the missing values only where it is whole.
        if result["missing_count"] == len(result["partial_missing_list"]):
            observed["missing"] = sorted(result["partial_missing_list"])
    return observed


def _in_words(facts: dict[str, Any]) -> str:
    """`key value, key value`, lists without their brackets."""
    texts = {key: ", ".join(map(str, value)) if isinstance(value, list) else str(value) for key, value in facts.items()}
    return "; ".join(f"{key.replace('_', ' ')} {text}" for key, text in sorted(texts.items()))


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
