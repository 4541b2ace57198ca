"""Great Expectations, and nothing else: run some expectations over a table by a checkpoint.

Importing the library takes seconds, so it happens when a table is checked and not before.
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
"""One expectation's result as Great Expectations gives it: `success`, `expectation_config`, `result`, `exception_info`."""

SITE = "gate"
"""Name of the Data Docs site."""


def new_context(site: Path | None = None) -> AbstractDataContext:
    """A context in memory: no project folder, no analytics. With `site`, its Data Docs are written to that folder."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults, ProgressBarsConfig

    sites = {}
    if site is not None:
        store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(site.resolve())}
        index = {"class_name": "DefaultSiteIndexBuilder"}
        sites[SITE] = {"class_name": "SiteBuilder", "store_backend": store, "site_index_builder": index}
    # Without these defaults each context would leave a temporary folder for a site of its own behind.
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
    """Results by the expectations' names.

    Args:
        context: from `new_context`; a context runs a name once.
        name: of the suite, the validation and the checkpoint.
        table: one row a sample; rows at fault are named by its column `id`, if it has one.
        expectations: with a `meta.name` each.
        parameters: what their `$PARAMETER`s stand for.

    Raises:
        BitBloomError: an expectation that cannot be evaluated, which is a mistake in the suite and not in the data.
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
    """An exception inside an expectation: `exception_info` holds one record a metric instead of a plain one."""
    info = result["exception_info"]
    if info.get("raised_exception") is False:
        return
    record = info if "raised_exception" in info else next(iter(info.values()))
    config = result["expectation_config"]
    reason = str(record["exception_message"]).splitlines()[0]
    raise BitBloomError(
        f"expectation '{config['meta']['name']}' ({config['type']}) cannot be evaluated: {reason}; mend it in expectations/"
    )
