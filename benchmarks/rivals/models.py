"""The model of `petals` for the alternatives: with ONNX Runtime as our service runs it, or with PyTorch as courses teach it.

MODEL=torch in the environment chooses PyTorch.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bitbloom.core import canonical
from bitbloom.serving.predictor import Predictor

FOLDER = Path(__file__).resolve().parents[2] / "models/petals"


class Model(Protocol):
    """Photos → labels."""

    def pixels(self, photo: bytes) -> NDArray[np.uint8]:
        """The centre square of an image file, [3, side, side]."""

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities [n, classes] of images [n, 3, side, side]."""

    def label(self, probabilities: NDArray[np.float32]) -> dict[str, object]:
        """The response for the probabilities [classes] of one image."""


class Onnx:
    """ONNX Runtime with one thread, and our decoder: the strongest form of an alternative."""

    def __init__(self) -> None:
        self.predictor = Predictor.open(FOLDER)

    def pixels(self, photo: bytes) -> NDArray[np.uint8]:
        """Decode and resize."""
        return self.predictor.decode(photo)

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run the graph."""
        found: NDArray[np.float32] = self.predictor.session.run(["probabilities"], {"images": pixels})[0]
        return found

    def label(self, probabilities: NDArray[np.float32]) -> dict[str, object]:
        """The same response as ours, without the five best."""
        best = int(probabilities.argmax())
        return {"label": self.predictor.classes[best], "probability": float(probabilities[best])}


class Torch:
    """PyTorch, eager."""

    def __init__(self) -> None:
        import torch
        from safetensors.torch import load_file

        from bitbloom import tasks
        from bitbloom.config.models import typed_model
        from bitbloom.export.classification import Calibrated
        from bitbloom.models.preprocess import Preprocess

        trained = canonical.read_json(FOLDER / "config.json")
        model = typed_model(trained["model"])
        network = tasks.model("petals").build(model, trained["meta"], pretrained=False)
        network.load_state_dict(load_file(FOLDER / "model.safetensors"))
        network.get_submodule("model").set_attn_implementation("sdpa")  # the default of transformers; ours is for training
        preprocess = Preprocess(model.image_size, model.mean, model.std)
        self.network = torch.nn.Sequential(preprocess, network, Calibrated(1.0)).eval()
        self.classes: list[str] = trained["meta"]["classes"]
        self.side = int(trained["meta"]["image_size"])

    def pixels(self, photo: bytes) -> NDArray[np.uint8]:
        """Decode, crop and resize with Pillow."""
        image = Image.open(io.BytesIO(photo))
        edge = min(image.size)
        left, top = (image.width - edge) // 2, (image.height - edge) // 2
        square = image.convert("RGB").crop((left, top, left + edge, top + edge)).resize((self.side, self.side))
        return np.array(square).transpose(2, 0, 1)

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run the network."""
        import torch

        with torch.no_grad():
            found: NDArray[np.float32] = self.network(torch.from_numpy(pixels.copy())).numpy()
        return found

    def label(self, probabilities: NDArray[np.float32]) -> dict[str, object]:
        """The likeliest class and its probability."""
        best = int(probabilities.argmax())
        return {"label": self.classes[best], "probability": float(probabilities[best])}


def load() -> Model:
    """The model that MODEL names."""
    return Torch() if os.environ.get("MODEL") == "torch" else Onnx()


def predict(model: Model, photo: bytes) -> dict[str, object]:
    """Label one image file."""
    return model.label(model.probabilities(model.pixels(photo)[None])[0])
