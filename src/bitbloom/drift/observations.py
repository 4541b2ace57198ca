"""Observations of a model at work: the one schema of the reference and of the prediction log, as Parquet.

    reference = Observations.read([Path("models/petals/reference.parquet")])
    reference.features["brightness"]     # float32 [n]
    reference.select(reference.split == "val").embeddings     # float16 [m, d]

Columns that do not apply are null: a log has no split, a reference no time, and the training split of a reference no embedding,
because the network is fitted to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError

REFERENCE = "reference.parquet"
"""The file of a model's reference, beside its graphs."""
PREFIX = "feature_"
"""Prefix of the columns of descriptors."""
EMBEDDING = "embedding"
IMAGE, TEXT = "image", "text"
FIXED: Mapping[str, pa.DataType] = {
    "time": pa.timestamp("ms", "UTC"),
    "id": pa.string(),
    "input_digest": pa.string(),
    "kind": pa.string(),
    "label": pa.string(),
    "confidence": pa.float32(),
    "truth": pa.string(),
    "latency_ms": pa.float32(),
    "model_digest": pa.string(),
    "bento_digest": pa.string(),
    "content": pa.binary(),
    "split": pa.string(),
}
"""The columns of every file, besides descriptors and embedding."""

Column = Sequence[Any] | NDArray[Any]


def schema(features: Iterable[str], dimension: int) -> pa.Schema:
    """The schema of observations with these descriptors, and embeddings of this length; 0 for none."""
    fields = [*FIXED.items(), *((PREFIX + name, pa.float32()) for name in features)]
    return pa.schema([*fields, *([(EMBEDDING, pa.list_(pa.float16()))] if dimension else [])])


@dataclass(frozen=True)
class Observations:
    """Rows of one model, each an input and what the model made of it.

    Attributes:
        table: columns by `schema`; columns of FIXED that are missing count as null.
    """

    table: pa.Table

    @classmethod
    def of(
        cls, kind: str, features: Mapping[str, Column], embeddings: NDArray[Any] | None = None, **columns: Column
    ) -> Observations:
        """Observations of columns with one length.

        Args:
            kind: IMAGE or TEXT.
            features: descriptors by name, [n] each.
            embeddings: [n, d], stored as float16; a row of NaN is null.
            columns: columns of FIXED by name, with None where there is no value.
        """
        count = len(next(iter(features.values())))
        given: dict[str, Any] = {"kind": [kind] * count, **columns}
        arrays = [pa.array(given.get(name, [None] * count), type_, from_pandas=True) for name, type_ in FIXED.items()]
        arrays += [pa.array(np.asarray(values, np.float32), from_pandas=True) for values in features.values()]
        if embeddings is not None:
            arrays.append(embedding_column(embeddings))
        made = schema(features, 0 if embeddings is None else embeddings.shape[1])
        return cls(pa.Table.from_arrays(arrays, schema=made))

    @classmethod
    def read(cls, paths: Iterable[Path]) -> Observations:
        """Read Parquet files. Raises BitBloomError when one cannot be read, or they do not belong together."""
        return cls.concatenate([cls(_read(path)) for path in paths])

    @classmethod
    def concatenate(cls, several: Sequence[Observations]) -> Observations:
        """Return the rows of all. Raises BitBloomError without any, or when descriptors or embeddings differ."""
        if not several:
            raise BitBloomError("there are no observations to compare")
        lengths = {one.dimension for one in several if one.dimension}
        if len(lengths) > 1:
            raise BitBloomError(
                f"embeddings of lengths {', '.join(map(str, sorted(lengths)))} are of different models: choose the rows of one"
            )
        try:
            return cls(pa.concat_tables([one.table for one in several], promote_options="default"))
        except pa.ArrowInvalid as error:
            raise BitBloomError(f"the observations do not belong together: {error}") from error

    def write(self, path: Path) -> None:
        """Write Parquet atomically; equal observations give equal bytes."""
        with canonical.replacing(path) as temporary:
            pq.write_table(self.table, temporary, compression="zstd", store_schema=False, row_group_size=1 << 20)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def select(self, chosen: NDArray[Any]) -> Observations:
        """Return the rows of a mask [n], or at these positions."""
        found = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen
        return Observations(self.table.take(pa.array(found, pa.int64())))

    @cached_property
    def features(self) -> dict[str, NDArray[np.float32]]:
        """Descriptors by name, float32 [n] each, with NaN where there is no value."""
        names = [name for name in self.table.column_names if name.startswith(PREFIX)]
        return {name.removeprefix(PREFIX): self._floats(name) for name in names}

    @cached_property
    def embedded(self) -> NDArray[np.bool_]:
        """Whether a row has an embedding, [n]."""
        if EMBEDDING not in self.table.column_names:
            return np.zeros(len(self), np.bool_)
        valid: NDArray[np.bool_] = self.table[EMBEDDING].is_valid().to_numpy()
        return valid

    @cached_property
    def embeddings(self) -> NDArray[np.float16] | None:
        """The embeddings of the rows that have one (`embedded`), float16 [m, d]; None without any."""
        if not self.embedded.any():
            return None
        values = self.table[EMBEDDING].combine_chunks().drop_null().flatten().to_numpy(zero_copy_only=False)
        found: NDArray[np.float16] = values.reshape(int(self.embedded.sum()), -1)
        return found

    @cached_property
    def dimension(self) -> int:
        """The length of the embeddings; 0 without any."""
        return 0 if self.embeddings is None else int(self.embeddings.shape[1])

    @cached_property
    def kind(self) -> str:
        """IMAGE or TEXT. Raises BitBloomError for a mixture of both."""
        found = set(self.texts("kind"))
        if len(found) != 1:
            raise BitBloomError(f"observations are of the kinds {sorted(map(str, found))}: compare those of one kind")
        return str(found.pop())

    @cached_property
    def confidence(self) -> NDArray[np.float32]:
        """The probability of each label, float32 [n], with NaN where there is none."""
        return self._floats("confidence")

    @cached_property
    def labels(self) -> NDArray[np.object_]:
        """Predicted labels [n], None where there is none."""
        return self.texts("label")

    @cached_property
    def truth(self) -> NDArray[np.object_]:
        """True labels [n], None where they are unknown."""
        return self.texts("truth")

    @cached_property
    def ids(self) -> NDArray[np.object_]:
        """Ids of predictions or samples, [n]."""
        return self.texts("id")

    @cached_property
    def split(self) -> NDArray[np.object_]:
        """The split of each row of a reference, [n]; None in a log."""
        return self.texts("split")

    def texts(self, name: str) -> NDArray[np.object_]:
        """A column of FIXED as objects [n], None where it is null."""
        values = self.table[name].to_pylist() if name in self.table.column_names else [None] * len(self)
        found = np.empty(len(self), np.object_)
        found[:] = values
        return found

    def _floats(self, name: str) -> NDArray[np.float32]:
        if name not in self.table.column_names:
            return np.full(len(self), np.nan, np.float32)
        return np.asarray(self.table[name].to_numpy(), np.float32)


def embedding_column(embeddings: NDArray[Any]) -> pa.Array:
    """Embeddings [n, d] as a column of float16 lists; a row of NaN is null."""
    rows = np.asarray(embeddings, np.float16)
    kept = ~np.isnan(rows).all(axis=1)
    offsets = np.concatenate([[0], np.cumsum(kept)]).astype(np.int32) * rows.shape[1]
    values = pa.array(np.ascontiguousarray(rows[kept]).ravel(), pa.float16())
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, mask=pa.array(~kept))


def _read(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path, partitioning=None)  # `date=…` in the path of a part is no column
    except FileNotFoundError as error:
        raise BitBloomError(f"{path} is missing: `make export TARGET=…` makes the reference of a model") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise BitBloomError(
            f"{path} cannot be read as Parquet ({str(error).splitlines()[0]}): remove it or restore it"
        ) from error
    if "kind" not in table.column_names:
        raise BitBloomError(f"{path} has no column 'kind': it is neither a reference nor a part of a prediction log")
    return table
