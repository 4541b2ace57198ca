"""The trained network as most services run it: PyTorch, eager."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bitbloom import tasks
from bitbloom.config.models import typed_model
from bitbloom.core import canonical
from bitbloom.export.classification import Calibrated
from bitbloom.models.preprocess import Preprocess


class Eager:
    """Photos → labels, by the weights of `models/petals`."""

    def __init__(self) -> None:
        from safetensors.torch import load_file

        folder = Path(__file__).resolve().parents[2] / "models/petals"
        trained = canonical.read_json(folder / "config.json")
        model = typed_model(trained["model"])
        network = tasks.model("petals").build(model, trained["meta"], pretrained=False)
        network.load_state_dict(load_file(folder / "model.safetensors"))
        network.get_submodule("model").set_attn_implementation("sdpa")  # as transformers would by itself; ours is for training
        preprocess = Preprocess(model.image_size, model.mean, model.std)
        self.network = torch.nn.Sequential(preprocess, network, Calibrated(1.0)).eval()
        self.classes: list[str] = trained["meta"]["classes"]
        self.side = int(trained["meta"]["image_size"])

    def pixels(self, photo: Image.Image) -> torch.Tensor:
        """uint8 [3, side, side]."""
        edge = min(photo.size)
        left, top = (photo.width - edge) // 2, (photo.height - edge) // 2
        square = photo.convert("RGB").crop((left, top, left + edge, top + edge)).resize((self.side, self.side))
        return torch.from_numpy(np.array(square)).permute(2, 0, 1)

    @torch.no_grad()
    def label(self, photo: Image.Image) -> dict[str, object]:
        """The likeliest class and its probability."""
        (probabilities,) = self.network(self.pixels(photo)[None])
        best = int(probabilities.argmax())
        return {"label": self.classes[best], "probability": float(probabilities[best])}

    def label_file(self, photo: bytes) -> dict[str, object]:
        """As `label`, of an image file."""
        return self.label(Image.open(io.BytesIO(photo)))
