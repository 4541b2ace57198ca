"""Photos: `images` uint8 [n, 3, S, S] → calibrated probabilities and an attention map, preprocessing included."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from bitbloom.config.models.image import ImageModel
from bitbloom.evaluation import calibration
from bitbloom.export import classification
from bitbloom.export.graphs import Graph
from bitbloom.models.classifier import has_attention
from bitbloom.models.preprocess import Preprocess

if TYPE_CHECKING:
    from bitbloom.contracts import Trained

ATTENTION = "attention"


def graph(trained: Trained, task: str) -> Graph:
    """Preprocessing, network and softmax; the metadata has the classes and the side of stored photos.

    `task` is the name in the metadata. A vision transformer has a second output, `attention` float32 [n, grid, grid].
    """
    model, meta = trained.model, trained.meta
    assert isinstance(model, ImageModel)
    preprocess = Preprocess(model.image_size, model.mean, model.std)
    calibrated = classification.Calibrated(calibration.temperature(trained))
    classes = json.dumps(meta["classes"], ensure_ascii=False)
    properties = {"classes": classes, "image_size": str(meta["image_size"]), "task": task}
    if not has_attention(trained.network):
        module, outputs = nn.Sequential(preprocess, trained.network, calibrated), (classification.PROBABILITIES,)
        return Graph(module, ("images",), outputs, ({0: "n"},), properties)
    with_attention = WithAttention(preprocess, trained.network, calibrated)
    return Graph(with_attention, ("images",), (classification.PROBABILITIES, ATTENTION), ({0: "n"},), properties)


class WithAttention(nn.Module):
    """Stored photos → probabilities, and an attention map."""

    def __init__(self, preprocess: nn.Module, network: nn.Module, calibrated: nn.Module) -> None:
        super().__init__()
        self.preprocess, self.network, self.calibrated = preprocess, network, calibrated

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 [n, 3, S, S] → float32 [n, classes], and float32 [n, grid, grid] with the sum 1."""
        network: Any = self.network
        logits, attention = network.with_attention(self.preprocess(images))
        return self.calibrated(logits), attention
