"""Predictions for files, as `bitbloom predict` prints them, for every kind of exported model."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from bitbloom.config.sections.service import Service
from bitbloom.core.errors import BitBloomError, UnreadableImage
from bitbloom.serving import limits, model_files, rows
from bitbloom.serving.caption_predictor import CaptionPredictor
from bitbloom.serving.predictor import Predictor, open_session
from bitbloom.serving.text_predictor import EMPTY, TextPredictor

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Predictions = Iterator[dict[str, object]]
DEFAULTS = Service()
"""Limits of a service that sets none."""


@dataclass(frozen=True)
class OpenModel:
    """An open model of any kind.

    Attributes:
        kind: image, text or caption.
        digest: the one in its predictions.
        compute: the prediction of a photo's bytes, or the label of a row of text.
    """

    kind: str
    digest: str
    compute: Callable[..., Mapping[str, object]]

    def predictions(self, paths: Iterable[Path], known: Service = DEFAULTS) -> Predictions:
        """Predict files in order: see `predict_files`."""
        return of_rows(self.compute, paths) if self.kind == "text" else of_photos(self.compute, paths, known.max_bytes)


def predict_files(model: Path, paths: Iterable[Path], known: Service = DEFAULTS) -> Predictions:
    """Predict files in order: one object per photo or row of text, with its name and the keys of its prediction or `error`.

    Args:
        model: a model file, or the folder of one (`models/<target>`).
        paths: photos for a model of images or captions; CSV files or files of lines for a model of texts.
        known: the limits of the target's service, which hold here too.

    Raises:
        BitBloomError: the model or a file of texts cannot be opened.
    """
    return open_model(model, known).predictions(paths, known)


def open_model(model: Path, known: Service = DEFAULTS) -> OpenModel:
    """Open a model file, or the folder of a model. Raises BitBloomError when it cannot be opened."""
    if model_files.writes_captions(model):
        predictor = CaptionPredictor.open(model, max_pixels=known.max_pixels)
        return OpenModel("caption", predictor.digest, _advising(predictor.caption))
    return classifier(*open_session(model), model, known)


def classifier(session: InferenceSession, digest: str, model: Path, known: Service = DEFAULTS) -> OpenModel:
    """The classifier of an open session. Raises BitBloomError for another kind of model."""
    takes = session.get_inputs()[0].name
    if takes == "images":
        return OpenModel("image", digest, _advising(Predictor.of(session, digest, model, known.max_pixels).predict))
    if takes == "tokens":
        return OpenModel("text", digest, partial(_label, TextPredictor.of(session, digest, model)))
    raise BitBloomError(f"{model} takes '{takes}', neither images nor tokens: export it again")


def of_photos(predict: Callable[[bytes], Mapping[str, object]], paths: Iterable[Path], max_bytes: int) -> Predictions:
    """Predict photos: one object per photo, with its path and the keys of its prediction, or `error`."""
    for path in paths:
        yield of_photo(printable(path), partial(read_photo, path, max_bytes), predict, max_bytes)


def of_photo(
    name: str, load: Callable[[], bytes], predict: Callable[[bytes], Mapping[str, object]], max_bytes: int
) -> dict[str, object]:
    """Predict the photo that `load` returns: `path` and the keys of prediction, or `error`: UnreadableImage, OSError."""
    try:
        photo = load()
        limits.check_photo(photo, max_bytes)
        return {"path": name, **predict(photo)}
    except UnreadableImage as error:
        return {"path": name, "error": str(error)}
    except OSError as error:
        return {"path": name, "error": error.strerror or str(error)}


def read_photo(path: Path, max_bytes: int) -> bytes:
    """The bytes of a photo. Raises UnreadableImage for more than `max_bytes`, and OSError."""
    if path.stat().st_size > max_bytes and path.is_file():
        raise UnreadableImage(limits.large_photo(max_bytes))
    return path.read_bytes()


def _advising(predict: Callable[[bytes], Mapping[str, object]]) -> Callable[[bytes], Mapping[str, object]]:
    """The same function, whose UnreadableImage also has the remedy, as a response of the service."""

    def advised(photo: bytes) -> Mapping[str, object]:
        try:
            return predict(photo)
        except UnreadableImage as error:
            raise UnreadableImage(limits.unreadable(photo, str(error))) from error

    return advised


def of_rows(label: Callable[[rows.Row], Mapping[str, object]], paths: Iterable[Path]) -> Predictions:
    """Label rows of text: one object per row, with its id and the keys of its label, or `error`."""
    return (of_row(row, label) for path in paths for row in rows.read(path))


def of_row(row: rows.Row, label: Callable[[rows.Row], Mapping[str, object]]) -> dict[str, object]:
    """Label a row of text: `id` and the keys of its label, or `error` after InvalidText."""
    try:
        limits.check_text(text=row.text, keyword=row.keyword, location=row.location)
        return {"id": row.id, **label(row)}
    except limits.InvalidText as error:
        return {"id": row.id, "error": str(error)}


def _label(predictor: TextPredictor, row: rows.Row) -> Mapping[str, object]:
    """The label of a row. Raises InvalidText when nothing is left of it."""
    found = predictor.label(row.text, row.keyword, row.location)
    if found is None:
        raise limits.InvalidText(EMPTY)
    return {**found}


def printable(path: Path | str) -> str:
    """Return the path as text in UTF-8: a file name may have other bytes."""
    return os.fsencode(path).decode("utf-8", "replace")


def print_predictions(predictions: Predictions, stream: TextIO) -> int:
    """Write one JSON object per line, each as soon as it is computed. Returns the exit code: 1 when a prediction is missing."""
    code = 0
    for prediction in predictions:
        stream.write(json.dumps(prediction, ensure_ascii=False) + "\n")
        stream.flush()
        code = 1 if "error" in prediction else code
    return code
