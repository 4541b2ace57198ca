"""The interface to Great Expectations: run expectations on a table by a checkpoint.

Importing the library takes seconds, so it is imported only when a table is checked.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from bitbloom.core.errors import BitBloomError

if TYPE_CHECKING:
    from great_expectations.data_context.data_context.abstract_data_context import AbstractDataContext

    from bitbloom.validation.suite import Expectation

Result = dict[str, Any]
"""An expectation's result in Great Expectations: `success`, `expectation_config`, `result`, `exception_info`."""

SITE = "gate"
"""Name of the Data Docs site."""


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
    """Return results by the expectations' names.

    Args:
        context: result of `new_context`; each name can be used once.
        name: name of the suite, the validation and the checkpoint.
        table: one row per sample; failing rows are identified by the column `id`, if it exists.
        expectations: expectations, each with a `meta.name`.
        parameters: values of the `$PARAMETER`s.

    Raises:
        BitBloomError: an expectation cannot be evaluated, which is a mistake in the suite and not in the data.
    """
    import great_expectations as gx

    data = context.data_sources.add_pandas(name).add_dataframe_asset("manifest").add_batch_definition_whole_dataframe("all rows")
    suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=[dict(one) for one in expectations]))
    validation = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=data, suite=suite))
    result_format = {"result_format": "COMPLETE", "return_unexpected_index_query": False}
    if "id" in table:
        result_format["unexpected_index_column_names"] = ["id"]
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(name=name, validation_definitions=[validation], result_format=result_format)
    )
    outcome = checkpoint.run(batch_parameters={"dataframe": table}, expectation_parameters=dict(parameters))
    [validated] = outcome.run_results.values()
    results = [cast(Result, result.to_json_dict()) for result in validated.results]
    for result in results:
        _require_evaluated(result)
    return {result["expectation_config"]["meta"]["name"]: result for result in results}


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
