"""The bytes of a part: Parquet, with the columns of the reference that the drift report compares it with."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from bitbloom.serving.prediction_log.observations import Row
from bitbloom.serving.settings import Digests

if TYPE_CHECKING:
    import pyarrow as pa

COMPRESSION = "zstd"


class Truth(NamedTuple):
    """The true label of a prediction, and when it became known, in milliseconds since 1970."""

    time: int
    id: str
    label: str

    @property
    def weight(self) -> int:
        """Bytes in memory, roughly."""
        return 300 + len(self.label)


def of_predictions(rows: Sequence[Row], digests: Digests) -> bytes:
    """The part of predictions. A photo and a text have other features: those of the other kind are null."""
    return _encoded(table(rows, digests))


def table(rows: Sequence[Row], digests: Digests, truths: Sequence[str | None] | None = None) -> pa.Table:
    """Rows, and their true labels where they are known, as a table of `drift.observations.schema`."""
    import pyarrow as pa

    from bitbloom.drift import observations

    names = list(dict.fromkeys(name for row in rows for name in row.features))
    dimension = next((len(row.embedding) for row in rows if row.embedding is not None), 0)
    nothing = [None] * len(rows)
    columns: dict[str, Sequence[object]] = {
        "time": [row.time for row in rows],
        "id": [row.id for row in rows],
        "input_digest": [row.digest for row in rows],
        "kind": [row.kind for row in rows],
        "embedding": [row.embedding for row in rows],
        "label": [row.label for row in rows],
        "confidence": [row.confidence for row in rows],
        "truth": truths or nothing,
        "latency_ms": [1000 * row.latency for row in rows],
        "model_digest": [digests["model"]] * len(rows),
        "bento_digest": [digests["bento"]] * len(rows),
        "content": [row.content for row in rows],
    }
    columns |= {f"feature_{name}": [row.features.get(name) for row in rows] for name in names}
    schema = observations.schema(names, dimension)
    arrays = [pa.array(columns.get(field.name, nothing), field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def of_truths(truths: Sequence[Truth]) -> bytes:
    """The part of labels from feedback: columns time, id and label."""
    import pyarrow as pa

    columns = {
        "time": pa.array([truth.time for truth in truths], pa.timestamp("ms", "UTC")),
        "id": pa.array([truth.id for truth in truths], pa.string()),
        "label": pa.array([truth.label for truth in truths], pa.string()),
    }
    return _encoded(pa.table(columns))


def _encoded(columns: pa.Table) -> bytes:
    from pyarrow import parquet

    stream = io.BytesIO()
    parquet.write_table(columns, stream, compression=COMPRESSION)
    return stream.getvalue()
