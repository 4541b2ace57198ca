"""The manifest that ingest writes from a stream of rows."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from bitbloom.core import bounded
from bitbloom.core.errors import BitBloomError
from bitbloom.data import manifest

TEXTS = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
ROWS = st.fixed_dictionaries(
    {
        "id": TEXTS,
        "label": st.sampled_from(["rose", "iris", "daisy"]),
        "error": TEXTS,
        "bytes": st.integers(0, 1 << 40),
        "aspect": st.floats(0, 9),
        "decodable": st.booleans(),
    }
)


def row(number: int, **values: Any) -> dict[str, Any]:
    return {"id": f"{number:04d}", "label": "ab"[number % 2], **values}


def as_pandas_writes(rows: list[dict[str, Any]]) -> bytes:
    stream = io.BytesIO()
    pd.DataFrame(rows).to_parquet(stream, index=False)
    return stream.getvalue()


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROWS, min_size=1, max_size=30), batch=st.integers(1, 31))
def test_stream_has_the_bytes_of_a_table_of_all_rows_for_any_batch(tmp_path: Path, rows: list[Any], batch: int) -> None:
    counts = manifest.write(iter(rows), tmp_path / "manifest.parquet", batch)
    assert (tmp_path / "manifest.parquet").read_bytes() == as_pandas_writes(rows)
    assert counts == (len(rows), len({row["label"] for row in rows}))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROWS, min_size=8, max_size=30), one=st.integers(1, 31), other=st.integers(1, 31))
def test_several_row_groups_have_the_same_bytes_for_any_batch(tmp_path: Path, rows: list[Any], one: int, other: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(manifest, "GROUP", 8)
        for batch in (one, other):
            manifest.write(iter(rows), tmp_path / f"{batch}.parquet", batch)
    assert (tmp_path / f"{one}.parquet").read_bytes() == (tmp_path / f"{other}.parquet").read_bytes()
    assert parquet.read_table(tmp_path / f"{one}.parquet").to_pylist() == rows


def test_text_that_is_missing_in_the_first_row_group_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "GROUP", 4)
    manifest.write((row(number, error="cut" if number == 5 else None) for number in range(6)), tmp_path / "file")
    found = parquet.ParquetFile(tmp_path / "file")
    assert [found.metadata.row_group(number).num_rows for number in range(found.num_row_groups)] == [4, 2]
    assert found.schema_arrow.field("error").type == pyarrow.string()
    assert found.read()["error"].to_pylist() == [None] * 5 + ["cut"]


def test_source_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BitBloomError, match="the source has no samples"):
        manifest.write([], tmp_path / "file")


@settings(deadline=None)
@given(count=st.integers(0, 60), chunk=st.integers(1, 9))
def test_one_worker_gives_the_results_in_order(count: int, chunk: int) -> None:
    assert list(bounded.spread(str, iter(range(count)), 1, chunk)) == list(map(str, range(count)))


def test_workers_read_a_bounded_number_of_items_ahead_and_keep_the_order() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(200):
            taken.append(number)
            yield number

    ahead = []
    for position, result in enumerate(bounded.spread(abs, items(), 2, chunk=5)):
        assert result == position
        ahead.append(len(taken) - position)
    assert len(ahead) == 200
    assert max(ahead) <= bounded.AHEAD * 2 * 5
