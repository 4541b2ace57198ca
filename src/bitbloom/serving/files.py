"""Predictions for files: what `bitbloom predict` prints."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from bitbloom.errors import UnreadableImage
from bitbloom.serving.predictor import Predictor


def predict_files(model: Path, paths: Iterable[Path]) -> Iterator[dict[str, object]]:
    """One object a file, in order: `path` and the answer's keys, or `path` and `error`.

    Args:
        model: a model file, or the folder of one (`models/<target>`).

    Raises:
        BitBloomError: the model cannot be opened.
    """
    predictor = Predictor.open(model)
    for path in paths:
        try:
            yield {"path": _text(path), **predictor.answer(path.read_bytes())}
        except UnreadableImage as error:
            yield {"path": _text(path), "error": str(error)}
        except OSError as error:
            yield {"path": _text(path), "error": error.strerror or str(error)}


def _text(path: Path) -> str:
    """The path as text that can be printed: a name need not be UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


def print_predictions(model: Path, paths: Iterable[Path], stream: TextIO) -> int:
    """Write one JSON object a line, each as soon as it is known. Returns the exit code: 1 when a file has no answer."""
    code = 0
    for prediction in predict_files(model, paths):
        stream.write(json.dumps(prediction, ensure_ascii=False) + "\n")
        stream.flush()
        code = 1 if "error" in prediction else code
    return code
