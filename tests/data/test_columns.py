"""The columns of a manifest, which the gate reads when an expectation needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitbloom.config.sections.gate import Gate
from bitbloom.core import canonical
from bitbloom.validation import checkpoint, derived, profile
from bitbloom.validation.check import check, suite_path
from bitbloom.validation.columns import Columns
from support.synthetic_manifest import LABELS, manifest

SUITE = suite_path("petals").resolve()
GATE = Gate(labels=LABELS, rows=[30, 40])


def faulty() -> pd.DataFrame:
    """A manifest in the order of its ids: a repeated file, photos that look alike, dark ones, wide ones, given splits."""
    table = manifest()
    table.loc[8, "sha256"] = table.loc[3, "sha256"]
    table.loc[[0, 14, 30], "perceptual_hash"] = "0123456789abcdef"
    table.loc[20:28, "brightness"] = 0.0
    table.loc[30:, "attributes"] = '{"split": "test"}'
    table.loc[:29, "attributes"] = '{"split": "train"}'
    table.loc[30:, "width"] = 4000
    return table


def with_texts() -> pd.DataFrame:
    """The same with the columns of texts and captions."""
    words = [f"a fire near {label} {number % 5}" for number, label in enumerate(faulty()["label"])]
    return faulty().assign(text=words, normalised=words, keyword="flood", captions="[]")


def profile_with(numeric: str) -> dict[str, Any]:
    quantiles = {"p05": 1.0, "p25": 2.0, "p50": 3.0, "p75": 4.0, "p95": 5.0}
    return {"rows": 40, "labels": {"rose": 40}, "numeric": {numeric: quantiles}, "vocabulary": {"fire": 9}}


@pytest.mark.parametrize("column", derived.COLUMNS, ids=lambda column: column.name)
def test_column_is_the_same_from_its_sources_alone(column: derived.Derived) -> None:
    table = with_texts()
    [found] = derived.add(Columns.of_frame(table), GATE).frame([column.name]).to_dict("series").values()
    pd.testing.assert_series_equal(found, column.compute(table, GATE), check_names=False)


@pytest.mark.parametrize("numeric", ["width", "absent"])
def test_columns_about_the_profile_are_those_of_the_whole_table(numeric: str) -> None:
    table, accepted = with_texts(), profile_with(numeric)
    found = profile.add(Columns.of_frame(table), accepted, GATE).frame(["value_drift", "label_drift", "unknown_words"])
    expected = {
        "value_drift": profile.value_drift(table, accepted, GATE),
        "label_drift": profile.label_drift(table, accepted, GATE),
        "unknown_words": profile.unknown_words(table, accepted),
    }
    pd.testing.assert_frame_equal(found, pd.DataFrame(expected))


def test_report_of_a_file_is_that_of_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "LARGE", 0)
    faulty().to_parquet(tmp_path / "manifest.parquet", index=False)
    of_table, of_file = check(faulty(), SUITE, GATE), check(tmp_path / "manifest.parquet", SUITE, GATE)
    assert canonical.json_text(of_file.as_json()) == canonical.json_text(of_table.as_json())
    assert not of_file.passed


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=st.sets(st.sampled_from(["bytes", "id", "mode", "none of them", "width"])))
def test_columns_of_a_file_and_of_a_table_are_the_same(tmp_path: Path, wanted: set[str]) -> None:
    file, table = tmp_path / "manifest.parquet", manifest()
    if not file.exists():
        table.to_parquet(file, index=False)
    for columns in (Columns.of_file(file), Columns.of_frame(table)):
        pd.testing.assert_frame_equal(
            columns.frame(wanted), table[[name for name in table if name in wanted]], check_column_type=False
        )
        left = columns.without(wanted)
        assert left.names == [name for name in table if name not in wanted]
        assert (list(left.outline()), len(left.outline())) == (left.names, len(table))


def test_computed_column_is_computed_once_and_only_if_it_is_read() -> None:
    calls = []

    def area() -> pd.Series:
        calls.append("area")
        return table["width"] * table["height"]

    table = manifest()
    columns = Columns.of_frame(table).extended({"area": area})
    columns.frame(["id"])
    assert calls == []
    assert list(columns.frame(["area"])["area"]) == list(columns.frame(["id", "area"])["area"]) == [96 * 72] * len(table)
    assert calls == ["area"]
