"""BentoML and PyTorch, a request at a time: bentoml serve bentoml_eager:Petals"""

from __future__ import annotations

import bentoml
from eager import Eager
from PIL.Image import Image


@bentoml.service(workers=1)
class Petals:
    """Photos → labels."""

    def __init__(self) -> None:
        self.model = Eager()

    @bentoml.api
    def predict(self, image: Image) -> dict[str, object]:
        """Label a photo."""
        return self.model.label(image)
