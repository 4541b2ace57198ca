"""Current rows for a comparison: of a prediction log with its feedback, or of files that the model labels here."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bitbloom.core import progress
from bitbloom.core.errors import BitBloomError, UnreadableImage
from bitbloom.data import imaging
from bitbloom.data.descriptors import image, text
from bitbloom.drift.observations import IMAGE, TEXT, Observations
from bitbloom.monitoring import log_parts
from bitbloom.serving import model_files, rows
from bitbloom.serving.caption_predictor import CaptionPredictor
from bitbloom.serving.prediction_log import storage
from bitbloom.serving.predictor import Predictor, open_session
from bitbloom.serving.text_predictor import TextPredictor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bitbloom.serving.predictor import Embedding

HEAD = 65_536
Row = dict[str, Any]


def of_log(address: str, most: int, kind: str) -> Observations:
    """The latest rows of a log in a folder or bucket, at most `most`, of the model that made the last one, with true labels.

    Args:
        address: of the log.
        most: parts are read, the latest first, until there are this many rows.
        kind: of the inputs: IMAGE or TEXT. The log of a captioning model has both.

    Raises:
        BitBloomError: there is no log, or it cannot be read.
    """
    found: list[pa.Table] = []
    model = None
    for part in log_parts.read(address, storage.LOG, latest_first=True):
        chosen = part.filter(pc.field("kind") == kind).sort_by([("time", "ascending"), ("id", "ascending")])
        if chosen.num_rows:
            model = model or chosen["model_digest"][-1].as_py()
            found.append(chosen.filter(pc.field("model_digest") == model))
        if sum(table.num_rows for table in found) >= most:
            break
    if not found:
        raise BitBloomError(f"{address} has no prediction log of {kind}s: {address}/{storage.LOG}/date=…/….parquet is missing")
    table = Observations.concatenate([Observations(part) for part in found]).table
    table = table.sort_by([("time", "ascending"), ("id", "ascending")])
    return with_truth(Observations(table.slice(max(0, table.num_rows - most))), true_labels(address))


def true_labels(address: str) -> dict[str, str]:
    """The latest true label of each prediction, by its id."""
    table = log_parts.feedback(address)
    return {} if table is None else dict(zip(table["id"].to_pylist(), table["label"].to_pylist(), strict=True))


def with_truth(found: Observations, known: dict[str, str]) -> Observations:
    """The rows with the true labels that are known by now."""
    if not known or "truth" not in found.table.column_names:
        return found
    truth = [known.get(name, before) for name, before in zip(found.ids, found.truth, strict=True)]
    at = found.table.column_names.index("truth")
    return Observations(found.table.set_column(at, "truth", pa.array(truth, pa.string())))


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
