"""Current rows for a comparison: of a prediction log with its feedback, or of files that the model labels here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bitbloom.core import progress
from bitbloom.core.errors import BitBloomError, UnreadableImage
from bitbloom.data import imaging
from bitbloom.data.descriptors import image, text
from bitbloom.drift.observations import IMAGE, TEXT, Observations
from bitbloom.serving import model_files, rows
from bitbloom.serving.caption_predictor import CaptionPredictor
from bitbloom.serving.predictor import Predictor, open_session
from bitbloom.serving.text_predictor import TextPredictor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bitbloom.serving.predictor import Embedding

LOG, FEEDBACK = "log", "feedback"
"""Folders of a prediction log. Rows of feedback have `time`, `id` and `label`."""
HEAD = 65_536
Row = dict[str, Any]


def of_log(address: str, most: int) -> Observations:
    """The latest rows of a log in a folder or bucket, at most `most`, of the model that made the last one, with true labels.

    Raises:
        BitBloomError: there is no log.
    """
    parts = list(_tables(address, LOG))
    if not parts:
        raise BitBloomError(f"{address} has no prediction log: {address}/{LOG}/date=…/….parquet is missing")
    table = Observations.concatenate([Observations(part) for part in parts]).table
    table = table.sort_by([("time", "ascending"), ("id", "ascending")])
    newest = table["model_digest"][-1].as_py()
    found = table.filter(pa.array([digest == newest for digest in table["model_digest"].to_pylist()]))
    return with_truth(Observations(found.slice(max(0, found.num_rows - most))), true_labels(address))


def true_labels(address: str) -> dict[str, str]:
    """The latest true label of each prediction, by its id."""
    tables = [part.select(["time", "id", "label"]) for part in _tables(address, FEEDBACK)]
    if not tables:
        return {}
    table = pa.concat_tables(tables).sort_by([("time", "ascending"), ("id", "ascending")])
    return dict(zip(table["id"].to_pylist(), table["label"].to_pylist(), strict=True))


def with_truth(found: Observations, known: dict[str, str]) -> Observations:
    """The rows with the true labels that are known by now."""
    if not known or "truth" not in found.table.column_names:
        return found
    truth = [known.get(name, before) for name, before in zip(found.ids, found.truth, strict=True)]
    at = found.table.column_names.index("truth")
    return Observations(found.table.set_column(at, "truth", pa.array(truth, pa.string())))


def _tables(address: str, folder: str) -> Iterator[pa.Table]:
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]

    system, root = url_to_fs(address)
    for name in sorted(system.find(f"{root}/{folder}")):
        if name.endswith(".parquet"):
            with system.open(name, "rb") as stream:
                yield pq.ParquetFile(stream).read()


def of_files(model: Path, data: Path) -> tuple[Observations, int]:
    """Rows of the photos of a folder, or of the texts of a file, and the number of files or texts without a prediction.

    The name of a photo's folder is its true label, if it is a class.

    Raises:
        BitBloomError: the model or the data cannot be opened.
    """
    if not data.exists():
        raise BitBloomError(f"{data} is missing: DATA is a folder of photos, or a file of texts")
    if model_files.writes_captions(model):
        return _photos(data, CaptionPredictor.open(model))
    session, digest = open_session(model)
    if session.get_inputs()[0].name == "tokens":
        return _texts(data, TextPredictor.of(session, digest, model))
    return _photos(data, Predictor.of(session, digest, model))


def _photos(folder: Path, predictor: Predictor | CaptionPredictor) -> tuple[Observations, int]:
    files = [file for file in sorted(folder.rglob("*") if folder.is_dir() else [folder]) if file.is_file()]
    files = [file for file in files if imaging.is_image(_head(file))]
    found: list[Row] = []
    for file in progress.track(files, f"label {folder.name}"):
        photo = file.read_bytes()
        try:
            square = predictor.decode(photo)
        except UnreadableImage:
            continue
        name = file.relative_to(folder).as_posix() if folder.is_dir() else file.name
        described: Row = {"features": image.describe(square, len(photo)), "id": name, "content": photo}
        found.append(
            described | {"input_digest": hashlib.sha256(photo).hexdigest()} | predicted(predictor, square, file.parent.name)
        )
    if not found:
        raise BitBloomError(f"{folder} has no photo that can be read: name a folder of JPEG, PNG or WebP files")
    return observed(IMAGE, found), len(files) - len(found)


def predicted(predictor: Predictor | CaptionPredictor, square: NDArray[np.uint8], folder: str) -> Row:
    """What the model makes of a photo [3, side, side]; the name of its folder is its true label, if it is a class."""
    if isinstance(predictor, CaptionPredictor):
        return {"embedding": predictor.embed(square)}
    label, embedding = predictor.observe(square)
    truth = folder if folder in predictor.classes else None
    return {"label": label["label"], "confidence": label["probability"], "embedding": embedding, "truth": truth}


def _head(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(HEAD)


def _texts(file: Path, predictor: TextPredictor) -> tuple[Observations, int]:
    files = [one for one in sorted(file.rglob("*") if file.is_dir() else [file]) if one.is_file()]
    every = [row for one in files for row in rows.read(one)]
    found: list[Row] = []
    for row in progress.track(every, f"label {file.name}"):
        observation = predictor.observe(row.text, row.keyword, row.location)
        if observation is not None:
            label, embedding = observation
            named: Row = {"id": row.id, "content": row.text.encode(), "features": text.describe(row.text)}
            found.append(named | {"label": label["label"], "confidence": label["probability"], "embedding": embedding})
    if not found:
        raise BitBloomError(f"{file} has no text of which something is left after cleaning")
    return observed(TEXT, found), len(every) - len(found)


def observed(kind: str, found: list[Row]) -> Observations:
    """Rows as observations."""
    names = found[0]["features"]
    embeddings: list[Embedding] = [row["embedding"] for row in found if row["embedding"] is not None]
    columns = {
        name: [row.get(name) for row in found] for name in ("id", "input_digest", "label", "confidence", "truth", "content")
    }
    features = {name: [row["features"][name] for row in found] for name in names}
    return Observations.of(kind, features, np.stack(embeddings) if len(embeddings) == len(found) else None, **columns)
