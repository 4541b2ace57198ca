"""TorchServe's worker: photos in, the service's own responses out. TorchServe requires exactly one class in this file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ts.utils.util import PredictionException

from bitbloom.core.errors import UnreadableImage
from bitbloom.serving.predictor import Predictor


class Handler:
    """TorchServe's interface: it calls `initialize` once per worker, then `handle` for each batch."""

    def initialize(self, context: Any) -> None:
        """Open the `model.onnx` of the unpacked archive."""
        self.predictor = Predictor.open(Path(context.system_properties["model_dir"]))

    def handle(self, batch: list[dict[str, Any]], context: Any) -> list[Any]:
        """The prediction for each request's photo: its body, or the form field `data`. Rejects an unreadable photo with 422."""
        try:
            return [self.predictor.predict(bytes(request.get("body") or request.get("data") or b"")) for request in batch]
        except UnreadableImage as error:
            raise PredictionException(str(error), 422) from error
