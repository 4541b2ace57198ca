"""The interface to Great Expectations: run expectations on the batches of a table.

Importing the library takes seconds, so it is imported only when a table is checked.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from bitbloom.core.errors import BitBloomError
from bitbloom.validation.suite import columns_of

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult
    from great_expectations.data_context.data_context.abstract_data_context import AbstractDataContext

    from bitbloom.validation.suite import Expectation

Result = dict[str, Any]
"""An expectation's result in Great Expectations: `success`, `expectation_config`, `result`, `exception_info`."""

SITE = "gate"
"""Name of the Data Docs site."""
LARGE = 5_000
"""Rows from which each set of columns is a batch of its own: below, the copies cost less than the batches."""
ROWS_KEPT = 200
"""Failing rows of an expectation in its result; the limit of Great Expectations, and more than a verdict names."""
RESULT_FORMAT = {"result_format": "BASIC", "include_unexpected_rows": True, "partial_unexpected_count": ROWS_KEPT}
"""The counts of all rows, and the first failing rows: the ids of all of them would take a dictionary for each row."""


def new_context(site: Path | None = None) -> AbstractDataContext:
    """Create a context in memory, without project folder and analytics. With `site`, Data Docs are written to that folder."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults, ProgressBarsConfig

    sites = {}
    if site is not None:
        store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(site.resolve())}
        index = {"class_name": "DefaultSiteIndexBuilder"}
        sites[SITE] = {"class_name": "SiteBuilder", "store_backend": store, "site_index_builder": index}
    # Without these defaults, each context would leave a temporary folder behind.
    defaults = InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
    config = DataContextConfig(
        store_backend_defaults=defaults,
        data_docs_sites=sites,
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )
    return gx.get_context(mode="ephemeral", project_config=config)


def run(
    context: AbstractDataContext,
    name: str,
    table: pd.DataFrame,
    expectations: Sequence[Expectation],
    parameters: Mapping[str, Any],
) -> dict[str, Result]:
    """Return results by the expectations' names, in their order.

    A result has the number of failing rows, and the first of them in the order of the table as `unexpected_index_list`: so a
    table of a million damaged rows needs no more memory than a valid one. Great Expectations copies and hashes the whole table
    for each metric. In a large table it therefore sees, for each set of columns that expectations read, these columns alone.

    Args:
        context: result of `new_context`; each name can be used once.
        name: name of the suite.
        table: one row per sample with the index 0, 1, …; failing rows are identified by the column `id`, if it exists.
        expectations: expectations, each with a `meta.name`.
        parameters: values of the `$PARAMETER`s.

    Raises:
        BitBloomError: an expectation cannot be evaluated, which is a mistake in the suite and not in the data.
    """
    import great_expectations as gx
    from great_expectations.validator.v1_validator import Validator

    asset = context.data_sources.add_pandas(name).add_dataframe_asset("manifest")
    definition = asset.add_batch_definition_whole_dataframe("all rows")
    context.suites.add(gx.ExpectationSuite(name=name, expectations=[dict(one) for one in expectations]))
    parts = _by_columns(expectations) if len(table) >= LARGE else {frozenset[str](): list(expectations)}
    validated = []
    for columns, part in parts.items():
        given = {"dataframe": _narrow(table, columns)}
        validator = Validator(batch_definition=definition, batch_parameters=given, result_format=dict(RESULT_FORMAT))
        suite = gx.ExpectationSuite(name=name, expectations=[dict(one) for one in part])
        validated.append(validator.validate_expectation_suite(suite, dict(parameters)))
    position = {one["meta"]["name"]: at for at, one in enumerate(expectations)}
    found = [_with_ids(one, table) for result in validated for one in result.results]
    found.sort(key=lambda one: position[_config(one)["meta"]["name"]])
    _store(context, name, validated, found)
    results = [cast(Result, one.to_json_dict()) for one in found]
    for result in results:
        _require_evaluated(result)
    return {result["expectation_config"]["meta"]["name"]: result for result in results}


def _by_columns(expectations: Sequence[Expectation]) -> dict[frozenset[str], list[Expectation]]:
    """Group expectations by the columns that they read; those about the table read none."""
    parts: dict[frozenset[str], list[Expectation]] = {}
    for one in expectations:
        parts.setdefault(frozenset(columns_of(one)), []).append(one)
    return parts


def _narrow(table: pd.DataFrame, columns: frozenset[str]) -> pd.DataFrame:
    """Return these columns; all without columns."""
    return table[[name for name in table.columns if name in columns]] if columns else table


def _with_ids(validated: ExpectationValidationResult, table: pd.DataFrame) -> ExpectationValidationResult:
    """Add the first failing rows to a result as `unexpected_index_list`: `{"id": …, column: value}`, if the table has ids."""
    rows = validated.result.pop("unexpected_rows", None)
    if rows is not None and "id" in table:
        config = _config(validated)
        read = columns_of(config | {"kwargs": config["kwargs"] | {"row_condition": None}})
        found = rows[[name for name in rows.columns if name in read and name != "id"]]
        ids = table["id"].loc[rows.index]
        validated.result["unexpected_index_list"] = found.assign(id=ids).to_dict("records")
        validated.result["unexpected_index_column_names"] = ["id"]
    return validated


def _config(validated: ExpectationValidationResult) -> Expectation:
    """The expectation of a result."""
    assert validated.expectation_config is not None
    return cast("Expectation", validated.expectation_config.to_json_dict())


def _store(
    context: AbstractDataContext,
    name: str,
    validated: Sequence[ExpectationSuiteValidationResult],
    results: Sequence[ExpectationValidationResult],
) -> None:
    """Keep the results of all batches as one, for Data Docs."""
    from great_expectations.core import ExpectationSuiteValidationResult, RunIdentifier
    from great_expectations.data_context.types.resource_identifiers import ExpectationSuiteIdentifier, ValidationResultIdentifier

    held = sum(bool(one.success) for one in results)
    statistics = {
        "evaluated_expectations": len(results),
        "successful_expectations": held,
        "unsuccessful_expectations": len(results) - held,
        "success_percent": 100 * held / len(results) if results else None,
    }
    run = RunIdentifier(run_time=datetime.now(UTC))
    meta = {**validated[0].meta, "run_id": run, "validation_time": run.run_time} if validated else {}
    whole = ExpectationSuiteValidationResult(held == len(results), list(results), name, statistics=statistics, meta=meta)
    suite = ExpectationSuiteIdentifier(name=name)
    context.validation_results_store.set(ValidationResultIdentifier(suite, run, f"{name}-manifest"), whole)


def _require_evaluated(result: Result) -> None:
    """Raise BitBloomError for an exception in an expectation: `exception_info` can have one record per metric."""
    info = result["exception_info"]
    if info.get("raised_exception") is False:
        return
    record = info if "raised_exception" in info else next(iter(info.values()))
    config = result["expectation_config"]
    reason = str(record["exception_message"]).splitlines()[0]
    raise BitBloomError(
        f"expectation '{config['meta']['name']}' ({config['type']}) cannot be evaluated: {reason}; correct it in expectations/"
    )
