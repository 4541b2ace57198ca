"""A task's expectation suite, read from JSON and combined with a target's bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError

if TYPE_CHECKING:
    from bitbloom.config.sections.gate import Gate

Expectation = dict[str, Any]
"""An expectation in the format of Great Expectations: `type`, `severity`, `kwargs`, `notes`; `name` and `advice` in `meta`."""

CRITICAL = "critical"
SEVERITIES = (CRITICAL, "warning", "info")
"""Severities of Great Expectations. Only a failed critical expectation stops a build; an expectation without one is critical."""

SCHEMA_TYPES = frozenset(
    {
        "expect_table_columns_to_match_set",
        "expect_table_columns_to_match_ordered_list",
        "expect_column_to_exist",
        "expect_column_values_to_be_of_type",
        "expect_column_values_to_be_in_type_list",
    }
)
"""Expectations about columns and their types; all others depend on them."""


@dataclass(frozen=True)
class Suite:
    """The expectations for a target, in the order of the file.

    Attributes:
        name: name of the task.
        expectations: expectations with bounds.
        left_out: names of expectations whose bound is null.
    """

    name: str
    expectations: list[Expectation]
    left_out: list[str]

    @property
    def schema(self) -> list[Expectation]:
        """The expectations about columns and types."""
        return [expectation for expectation in self.expectations if expectation["type"] in SCHEMA_TYPES]

    @property
    def content(self) -> list[Expectation]:
        """The expectations about values."""
        return [expectation for expectation in self.expectations if expectation["type"] not in SCHEMA_TYPES]


def parameters(gate: Gate, rows: int) -> dict[str, Any]:
    """Return the suite parameters for a manifest of `rows` rows.

    A pair of numbers becomes `<name>_min` and `<name>_max`. An integer also gives `all_but_<name>`, the fraction of rows
    that have to pass if this number of failures is tolerated: an argument for `mostly`.
    """
    filled: dict[str, Any] = {}
    for name, value in asdict(gate).items():
        if isinstance(value, list) and len(value) == 2 and all(isinstance(number, int | float) for number in value):
            filled[f"{name}_min"], filled[f"{name}_max"] = value
        else:
            filled[name] = value
        if isinstance(value, int):
            filled[f"all_but_{name}"] = max(rows - value, 0) / max(rows, 1)
    return filled


def load(path: Path, bounds: Mapping[str, Any]) -> Suite:
    """Read a suite, and omit the expectations whose bound is null.

    Raises:
        BitBloomError: the file is missing or not JSON, an expectation has no unique name or no advice, or a bound or a severity
            is unknown.
    """
    try:
        content = canonical.read_json(path)
    except FileNotFoundError as error:
        raise BitBloomError(f"{path} is missing: every task needs a suite of expectations") from error
    except ValueError as error:
        raise BitBloomError(f"{path} is not JSON: {error}") from error
    expectations: list[Expectation] = content["expectations"]
    _require_valid(path, expectations)
    kept, left_out = [], []
    for expectation in expectations:
        name = expectation["meta"]["name"]
        used = _parameters_of(expectation)
        if unknown := used - set(bounds):
            raise BitBloomError(f"{path}: '{name}' uses {sorted(unknown)}; the bounds are {', '.join(sorted(bounds))}")
        if any(bounds[key] is None for key in used):
            left_out.append(name)
        else:
            kept.append(expectation)
    return Suite(content["name"], kept, left_out)


def columns_of(expectation: Expectation) -> set[str]:
    """Return the columns that an expectation reads, including its row condition."""
    kwargs = expectation["kwargs"]
    columns = {kwargs[key] for key in ("column", "column_A", "column_B") if key in kwargs}
    columns.update(kwargs.get("column_list", ()))
    if condition := kwargs.get("row_condition"):
        columns.add(condition["column"]["name"])
    return columns


def _parameters_of(expectation: Expectation) -> set[str]:
    """Return the names in the expectation's `$PARAMETER`s, which can be arithmetic (`2 * class_rows`)."""
    values = [
        value["$PARAMETER"] for value in expectation["kwargs"].values() if isinstance(value, dict) and "$PARAMETER" in value
    ]
    return {name for value in values for name in re.findall(r"[A-Za-z]\w*", value)}


def _require_valid(path: Path, expectations: list[Expectation]) -> None:
    seen: set[str] = set()
    for position, expectation in enumerate(expectations):
        meta = expectation.get("meta", {})
        missing = [key for key in ("name", "advice") if not meta.get(key)] + ([] if expectation.get("notes") else ["notes"])
        if missing:
            raise BitBloomError(f"{path}: expectation {position + 1} ({expectation.get('type')}) lacks {', '.join(missing)}")
        if (severity := expectation.get("severity", CRITICAL)) not in SEVERITIES:
            raise BitBloomError(f"{path}: '{meta['name']}' has severity {severity!r}; the severities are {', '.join(SEVERITIES)}")
        if meta["name"] in seen:
            raise BitBloomError(f"{path}: two expectations are named '{meta['name']}'")
        seen.add(meta["name"])
