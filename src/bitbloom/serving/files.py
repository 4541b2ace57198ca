"""Predictions for files, as `bitbloom predict` prints them, for every kind of exported model."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
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


def predict_files(model: Path, paths: Iterable[Path], known: Service = DEFAULTS) -> Predictions:
    """Predict files in order: one object per photo or row of text, with its name and the keys of its prediction or `error`.

    Args:
        model: a model file, or the folder of one (`models/<target>`).
        paths: photos for a model of images or captions; CSV files or files of lines for a model of texts.
        known: the limits of the target's service, which hold here too.

    Raises:
        BitBloomError: the model or a file of texts cannot be opened.
    """
    if model_files.writes_captions(model):
        return of_photos(_advising(CaptionPredictor.open(model, max_pixels=known.max_pixels).caption), paths, known.max_bytes)
    return predictions_of(*open_session(model), model, paths, known)


def predictions_of(
    session: InferenceSession, digest: str, model: Path, paths: Iterable[Path], known: Service = DEFAULTS
) -> Predictions:
    """Predict files with an open session of a classifier. Raises BitBloomError for another kind of model."""
    takes = session.get_inputs()[0].name
    if takes == "images":
        return of_photos(_advising(Predictor.of(session, digest, model, known.max_pixels).predict), paths, known.max_bytes)
    if takes == "tokens":
        return of_rows(partial(_label, TextPredictor.of(session, digest, model)), paths)
    raise BitBloomError(f"{model} takes '{takes}', neither images nor tokens: export it again")


def of_photos(predict: Callable[[bytes], Mapping[str, object]], paths: Iterable[Path], max_bytes: int) -> Predictions:
    """Predict photos: one object per photo, with its path and the keys of its prediction, or `error` after UnreadableImage."""
    for path in paths:
        try:
            yield {"path": _text(path), **predict(_photo(path, max_bytes))}
        except UnreadableImage as error:
            yield {"path": _text(path), "error": str(error)}
        except OSError as error:
            yield {"path": _text(path), "error": error.strerror or str(error)}


def _photo(path: Path, max_bytes: int) -> bytes:
    """The bytes of a photo, at most `max_bytes`. Raises UnreadableImage or OSError."""
    if path.stat().st_size > max_bytes and path.is_file():
        raise UnreadableImage(limits.large_photo(max_bytes))
    photo = path.read_bytes()
    limits.check_photo(photo, max_bytes)
    return photo


def _advising(predict: Callable[[bytes], Mapping[str, object]]) -> Callable[[bytes], Mapping[str, object]]:
    """The same function, whose UnreadableImage also has the remedy, as a response of the service."""

    def advised(photo: bytes) -> Mapping[str, object]:
        try:
            return predict(photo)
        except UnreadableImage as error:
            raise UnreadableImage(limits.unreadable(photo, str(error))) from error

    return advised


def of_rows(label: Callable[[rows.Row], Mapping[str, object]], paths: Iterable[Path]) -> Predictions:
    """Label rows of text: one object per row, with its id and the keys of its label, or `error` after InvalidText."""
    for path in paths:
        for row in rows.read(path):
            try:
                limits.check_text(text=row.text, keyword=row.keyword, location=row.location)
                yield {"id": row.id, **label(row)}
            except limits.InvalidText as error:
                yield {"id": row.id, "error": str(error)}


def _label(predictor: TextPredictor, row: rows.Row) -> Mapping[str, object]:
    """The label of a row. Raises InvalidText when nothing is left of it."""
    found = predictor.label(row.text, row.keyword, row.location)
    if found is None:
        raise limits.InvalidText(EMPTY)
    return {**found}


def _text(path: Path) -> str:
    """Return the path as printable text: a file name need not be UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


def print_predictions(predictions: Predictions, stream: TextIO) -> int:
    """Write one JSON object per line, each as soon as it is computed. Returns the exit code: 1 when a prediction is missing."""
    code = 0
    for prediction in predictions:
        stream.write(json.dumps(prediction, ensure_ascii=False) + "\n")
        stream.flush()
        code = 1 if "error" in prediction else code
    return code
