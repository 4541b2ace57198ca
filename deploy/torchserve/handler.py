"""The entry point of TorchServe's worker: photos in, answers out, all of it in `torch_predictor`.

TorchServe wants exactly one class in this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch_predictor import TorchPredictor
from ts.utils.util import PredictionException

from bitbloom.core.errors import UnreadableImage


class Handler:
    """What TorchServe calls: `initialize` once a worker, then `handle` a batch."""

    def initialize(self, context: Any) -> None:
        """Open the model that lies in the archive, unpacked."""
        self.predictor = TorchPredictor.load(Path(context.system_properties["model_dir"]))

    def handle(self, batch: list[dict[str, Any]], context: Any) -> list[Any]:
        """The answer for each request's photo: its body, or the form fields `data` or `image`."""
        try:
            return [self.predictor.answer(bytes(self._photo(request))) for request in batch]
        except UnreadableImage as error:
            raise PredictionException(str(error), 422) from error

    @staticmethod
    def _photo(request: dict[str, Any]) -> bytes | bytearray:
        found = next((request[name] for name in ("body", "data", "image") if request.get(name)), None)
        if not isinstance(found, bytes | bytearray):
            raise PredictionException("send a photo: as the body, or in the form field 'data'", 415)
        return found
