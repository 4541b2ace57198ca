"""Predictions for files, as `bitbloom predict` prints them, for every kind of exported model."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from bitbloom.core.errors import BitBloomError, UnreadableImage
from bitbloom.serving import model_files, rows
from bitbloom.serving.caption_predictor import CaptionPredictor
from bitbloom.serving.predictor import Predictor, open_session
from bitbloom.serving.text_predictor import EMPTY, TextPredictor

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Predictions = Iterator[dict[str, object]]


def predict_files(model: Path, paths: Iterable[Path]) -> Predictions:
    """Predict files in order: one object per photo or row of text, with its name and the keys of its prediction or `error`.

    Args:
        model: a model file, or the folder of one (`models/<target>`).
        paths: photos for a model of images or captions; CSV files or files of lines for a model of texts.

    Raises:
        BitBloomError: the model or a file of texts cannot be opened.
    """
    if model_files.writes_captions(model):
        return of_photos(CaptionPredictor.open(model).caption, paths)
    return predictions_of(*open_session(model), model, paths)


def predictions_of(session: InferenceSession, digest: str, model: Path, paths: Iterable[Path]) -> Predictions:
    """Predict files with an open session of a classifier. Raises BitBloomError for another kind of model."""
    takes = session.get_inputs()[0].name
    if takes == "images":
        return of_photos(Predictor.of(session, digest, model).predict, paths)
    if takes == "tokens":
        return _texts(TextPredictor.of(session, digest, model), paths)
    raise BitBloomError(f"{model} takes '{takes}', neither images nor tokens: export it again")


def of_photos(predict: Callable[[bytes], Mapping[str, object]], paths: Iterable[Path]) -> Predictions:
    """Predict photos: one object per photo, with its path and the keys of its prediction, or `error` after UnreadableImage."""
    for path in paths:
        try:
            yield {"path": _text(path), **predict(path.read_bytes())}
        except UnreadableImage as error:
            yield {"path": _text(path), "error": str(error)}
        except OSError as error:
            yield {"path": _text(path), "error": error.strerror or str(error)}


def _texts(predictor: TextPredictor, paths: Iterable[Path]) -> Predictions:
    for path in paths:
        for row in rows.read(path):
            label = predictor.label(row.text, row.keyword, row.location)
            yield {"id": row.id, **(label or {"error": EMPTY})}


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
