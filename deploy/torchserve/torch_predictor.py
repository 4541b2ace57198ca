"""The service's predictor with the trained PyTorch network in the place of the exported graph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from bitbloom import schema, tasks
from bitbloom.config.models import typed_model
from bitbloom.core import canonical
from bitbloom.core.digests import file_digest
from bitbloom.export.classification import Calibrated
from bitbloom.models.preprocess import Preprocess
from bitbloom.serving.predictor import Predictor

WEIGHTS, CONFIG, SERVING = "model.safetensors", "config.json", "serving.json"


@dataclass(frozen=True)
class TorchPredictor(Predictor):
    """Photos are decoded and answers worded by the service's own code; only who is asked differs."""

    network: nn.Module

    @classmethod
    def load(cls, folder: Path) -> TorchPredictor:
        """The network of a folder with weights, config.json, and serving.json: the temperature, and the limit on pixels."""
        config, serving = canonical.read_json(folder / CONFIG), canonical.read_json(folder / SERVING)
        model: Any = typed_model(config["model"])
        trained = tasks.load(config["task"]).build(model, config["meta"], pretrained=False)
        trained.load_state_dict(load_file(folder / WEIGHTS))
        whole = nn.Sequential(
            Preprocess(model.image_size, model.mean, model.std), trained, Calibrated(serving["temperature"])
        ).eval()
        torch.set_num_threads(1)
        session: Any = None  # no graph is asked
        classes, side = tuple(config["meta"]["classes"]), int(config["meta"]["image_size"])
        return cls(session, classes, side, file_digest(folder / WEIGHTS), serving["max_pixels"], whole)

    @torch.no_grad()
    def ask(self, image: NDArray[np.uint8], attention: bool = False) -> list[NDArray[np.float32]]:
        """Probabilities [classes] of an image [3, side, side]; where the network looked is for the service to say."""
        return [self.network(torch.from_numpy(image[None]))[0].numpy()]
