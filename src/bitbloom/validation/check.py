"""Check a manifest against a task's suite: first its schema, then the content of valid columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from bitbloom.validation import checkpoint, derived, profile, suite, verdict
from bitbloom.validation.verdict import Verdict

if TYPE_CHECKING:
    from great_expectations.data_context.data_context.abstract_data_context import AbstractDataContext

    from bitbloom.config.sections.gate import Gate
    from bitbloom.validation.profile import Profile
    from bitbloom.validation.suite import Expectation

EXPECTATIONS = Path("expectations")


def suite_path(task: str) -> Path:
    """Return expectations/<task>.json."""
    return EXPECTATIONS / f"{task}.json"


def read_manifest(path: Path) -> pd.DataFrame:
    """Read a manifest; its Arrow columns are freed one by one, because texts take several times their memory in pandas."""
    table: pd.DataFrame = pq.read_table(path).to_pandas(split_blocks=True, self_destruct=True)
    return table


def check(
    manifest: pd.DataFrame,
    path: Path,
    gate: Gate,
    context: AbstractDataContext | None = None,
    accepted: Profile | None = None,
) -> Verdict:
    """Check a manifest (one row per sample) against the suite at `path`, with a target's bounds and its accepted profile.

    One mistake gives one failure: an expectation about a column that is missing or of a wrong type is reported as not
    checked, and columns are derived only from valid ones.

    Raises:
        BitBloomError: the suite cannot be read or evaluated.
    """
    with pd.option_context("mode.copy_on_write", True):  # or each step would copy the table
        return _checked(manifest, path, gate, context or checkpoint.new_context(), accepted)


def _checked(manifest: pd.DataFrame, path: Path, gate: Gate, context: AbstractDataContext, accepted: Profile | None) -> Verdict:
    """Check the schema, then the content."""
    bounds = suite.parameters(gate, len(manifest)) | profile.parameters(accepted, gate)
    expected = suite.load(path, bounds)
    table = in_canonical_order(manifest)
    results = _run(context, "schema", table, expected.schema, bounds)
    valid = table.drop(columns=sorted(_broken(expected.schema, results) & set(table)))
    complete = profile.add(derived.add(valid, gate), accepted, gate)
    results |= _run(context, "content", complete, expected.content, bounds)
    checks = [verdict.check(one, results.get(one["meta"]["name"])) for one in expected.expectations]
    return Verdict(expected.name, len(manifest), checks, expected.left_out)


def in_canonical_order(manifest: pd.DataFrame) -> pd.DataFrame:
    """Sort rows by all columns, id first, so that their original order does not matter.

    A manifest is written in the order of its ids, and then is returned as it is. Only rows of equal ids are compared by the
    other columns, because texts of all values of a large table would need more memory than the table.
    """
    ids = manifest["id"].astype(str) if "id" in manifest else pd.Series("", index=manifest.index)
    if ids.is_monotonic_increasing and ids.is_unique:
        return manifest.reset_index(drop=True)
    tied = ids.duplicated(keep=False).to_numpy()
    ranks = np.zeros(len(manifest), dtype=np.int64)
    rows = manifest[tied].reset_index(drop=True)
    columns = sorted(rows.columns, key=lambda column: (column != "id", column))
    ordered = rows.sort_values(columns, key=lambda column: column.astype(str), kind="stable").index
    ranks[np.flatnonzero(tied)[ordered]] = np.arange(len(rows))
    order = np.lexsort((ranks, pd.factorize(ids, sort=True)[0]))
    return manifest.iloc[order].reset_index(drop=True)


def _run(
    context: AbstractDataContext,
    name: str,
    table: pd.DataFrame,
    expectations: Sequence[Expectation],
    bounds: Mapping[str, Any],
) -> dict[str, checkpoint.Result]:
    """Return results by name of the expectations whose columns exist."""
    possible = [one for one in expectations if one["type"] == "expect_column_to_exist" or _has(table, suite.columns_of(one))]
    return checkpoint.run(context, name, table, possible, bounds)


def _has(table: pd.DataFrame, columns: Collection[str]) -> bool:
    return set(columns) <= set(table.columns)


def _broken(expectations: Sequence[Expectation], results: Mapping[str, checkpoint.Result]) -> set[str]:
    """Return the columns whose schema expectation fails."""
    failed = [one for one in expectations if not results.get(one["meta"]["name"], {"success": False})["success"]]
    return {column for one in failed for column in suite.columns_of(one)}
