"""The parts of a prediction log in a folder or a bucket, one at a time: a log may be larger than the memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bitbloom.core.errors import BitBloomError
from bitbloom.serving.prediction_log import storage

if TYPE_CHECKING:
    import pyarrow as pa

FEEDBACK_COLUMNS = ("time", "id", "label")


def read(address: str, folder: str, columns: Sequence[str] | None = None, latest_first: bool = False) -> Iterator[pa.Table]:
    """Iterate over the parts in the order of the times in their names.

    Args:
        address: a folder, gs://bucket/prefix or s3://bucket/prefix.
        folder: `storage.LOG` or `storage.FEEDBACK`.
        columns: which to read; None for all.
        latest_first: whether to begin with the latest part.

    Raises:
        BitBloomError: the address cannot be read, or a part is damaged.
    """
    import pyarrow as pa
    from pyarrow import fs, parquet

    place = f"{address}/{folder}"
    try:
        system, root = storage.file_system(address)
        selector = fs.FileSelector(f"{root}/{folder}", allow_not_found=True, recursive=True)
        names = [found.path for found in system.get_file_info(selector) if found.is_file and found.extension == "parquet"]
        for name in sorted(names, reverse=latest_first):
            place = name
            with system.open_input_file(name) as stream:
                part = parquet.ParquetFile(stream).read(columns=columns and list(columns))
            yield part.select(columns) if columns else part
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise BitBloomError(f"{place} cannot be read: {str(error).splitlines()[0]}") from error


def feedback(address: str) -> pa.Table | None:
    """All true labels, columns FEEDBACK_COLUMNS, in the order in which they count; None without any."""
    import pyarrow as pa

    parts = list(read(address, storage.FEEDBACK, FEEDBACK_COLUMNS))
    return pa.concat_tables(parts).sort_by([(name, "ascending") for name in FEEDBACK_COLUMNS]) if parts else None
