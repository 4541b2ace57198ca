"""A task's expectation suite, read from JSON and matched with a target's bounds."""

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
"""One expectation as Great Expectations writes it: `type`, `kwargs`, `notes`, and ours in `meta`: `name`, `advice`."""

SCHEMA_TYPES = frozenset(
    {
        "expect_table_columns_to_match_set",
        "expect_table_columns_to_match_ordered_list",
        "expect_column_to_exist",
        "expect_column_values_to_be_of_type",
        "expect_column_values_to_be_in_type_list",
    }
)
"""Expectations about columns and their types; all others rely on these."""


@dataclass(frozen=True)
class Suite:
    """The expectations that apply to one target, in the order of the file.

    Attributes:
        name: the task's.
        expectations: those whose bounds the target gives.
        left_out: names of those with a bound that the target sets to null.
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
    """Suite parameters: each bound by its name, and what an expectation of a manifest of `rows` rows makes of it.

    A pair of numbers becomes `<name>_min` and `<name>_max`. A whole number also gives `all_but_<name>`, the share of
    the rows that is left when so many are tolerated: an argument for `mostly`.
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
    """Read a suite and leave out the expectations with a bound that is null.

    Raises:
        BitBloomError: no such file, no JSON, an expectation without a name of its own or advice, or an unknown bound.
    """
    try:
        content = canonical.read_json(path)
    except FileNotFoundError as error:
        raise BitBloomError(f"{path} is missing: every task needs a suite of expectations") from error
    except ValueError as error:
        raise BitBloomError(f"{path} is no JSON: {error}") from error
    expectations: list[Expectation] = content["expectations"]
    _require_names_and_advice(path, expectations)
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
    """Columns that an expectation reads, the one in its row condition too."""
    kwargs = expectation["kwargs"]
    columns = {kwargs[key] for key in ("column", "column_A", "column_B") if key in kwargs}
    columns.update(kwargs.get("column_list", ()))
    if condition := kwargs.get("row_condition"):
        columns.add(condition["column"]["name"])
    return columns


def _parameters_of(expectation: Expectation) -> set[str]:
    """Names in the expectation's `$PARAMETER`s, which Great Expectations also allows to be arithmetic (`2 * class_rows`)."""
    values = [
        value["$PARAMETER"] for value in expectation["kwargs"].values() if isinstance(value, dict) and "$PARAMETER" in value
    ]
    return {name for value in values for name in re.findall(r"[A-Za-z]\w*", value)}


def _require_names_and_advice(path: Path, expectations: list[Expectation]) -> None:
    seen: set[str] = set()
    for position, expectation in enumerate(expectations):
        meta = expectation.get("meta", {})
        missing = [key for key in ("name", "advice") if not meta.get(key)] + ([] if expectation.get("notes") else ["notes"])
        if missing:
            raise BitBloomError(f"{path}: expectation {position + 1} ({expectation.get('type')}) lacks {', '.join(missing)}")
        if meta["name"] in seen:
            raise BitBloomError(f"{path}: two expectations are named '{meta['name']}'")
        seen.add(meta["name"])
