"""A tiny data set, the configuration of its network and a workspace, for tests of training and builds."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from bitbloom import tasks
from bitbloom.config.models.image import ImageModel
from bitbloom.config.sections.augment import Augment
from bitbloom.config.sections.numerics import Numerics
from bitbloom.config.sections.train import Train
from bitbloom.core import canonical
from bitbloom.data.dataset import Dataset
from bitbloom.models import classifier
from bitbloom.pipeline import composition
from bitbloom.training import loop, workers

REPOSITORY = Path(__file__).parents[2]
CLASSES = ["fern", "poppy", "sky"]
SIDE = 16
STORED = 20
"""Side of the stored squares, which an exported graph has to resize to the network's input."""
MODEL = ImageModel(image_size=SIDE, patch_size=4, hidden_size=32, layers=1, heads=2, stem="patch", pooling="mean")
SPLITS = ("train", "train", "train", "train", "val", "test")
"""The splits of the samples, repeated cyclically."""


def dataset(samples: int = 144, side: int = SIDE) -> Dataset:
    """Return noisy photos of one colour each: green ferns, red poppies, blue skies."""
    dice = np.random.default_rng(1)
    labels = np.arange(samples) % len(CLASSES)
    images = dice.integers(0, 120, (samples, 3, side, side))
    for number, channel in enumerate((1, 0, 2)):
        images[labels == number, channel] += 110
    ids = [f"{CLASSES[label]}/{number:03}.jpg" for number, label in enumerate(labels)]
    columns = {
        "id": ids,
        "label": [CLASSES[label] for label in labels],
        "key": [hashlib.sha256(name.encode()).hexdigest() for name in ids],
        "attributes": ["{}"] * samples,
        "split": [SPLITS[number // len(CLASSES) % len(SPLITS)] for number in range(samples)],
        "excluded": [False] * samples,
        "reason": [""] * samples,
    }
    arrays = {"images": images.astype(np.uint8), "labels": labels.astype(np.int64)}
    return Dataset(arrays, pd.DataFrame(columns), {"classes": CLASSES, "image_size": side})


def sections(train: dict[str, object] | None = None, model: ImageModel = MODEL) -> loop.Sections:
    """Return config sections for a short training, with overrides in `train`."""
    settings: dict[str, object] = {"epochs": 3, "batch_size": 32, "learning_rate": 0.01, "label_smoothing": 0.0}
    return loop.Sections(model, Augment(colour=0.0, crop=0.0), Train(**(settings | (train or {}))), Numerics())


def start(chosen: loop.Sections, data: Dataset | None = None) -> loop.Run:
    """Return a run of one worker before its first step."""
    return loop.Run(workers.Worker(), tasks.model("petals"), data or dataset(), chosen)


def write_manifest(data: Dataset, file: Path) -> None:
    """Write the columns of a manifest that the export stage reads."""
    file.parent.mkdir(parents=True)
    pd.DataFrame({"id": data.samples["id"], "bytes": 1000}).to_parquet(file, index=False)


OVERRIDES = (
    "model.image_size=16",
    "model.patch_size=4",
    "model.hidden_size=32",
    "model.layers=1",
    "model.heads=2",
    "model.stem=patch",
    "train.batch_size=32",
    "train.epochs=12",
    "train.max_steps=null",
    "augment.mixup=0.3",
)


def write_workspace(folder: Path, overrides: Sequence[str] = ()) -> Path:
    """Create a workspace for the train stage of target `petals-tiny`: parameters, processed data and locks."""
    tree = composition.compose("petals-tiny", (*OVERRIDES, *overrides))
    (folder / "params").mkdir(parents=True)
    (folder / "params/petals-tiny.yaml").write_text(composition.yaml_text(tree), encoding="utf-8")
    for lock in ("requirements.lock", "weights.lock"):
        shutil.copyfile(REPOSITORY / lock, folder / lock)
    dataset(side=STORED).save(folder / "data/processed/petals-tiny")
    return folder


def write_trained(folder: Path) -> Path:
    """Create a workspace to export target `petals`: processed data, and a random transformer with confident predictions."""
    data = dataset(side=STORED)
    data.save(folder / "data/processed/petals")
    write_manifest(data, folder / "data/raw/petals/manifest.parquet")
    torch.manual_seed(0)
    network = classifier.build(MODEL, len(CLASSES))
    with torch.no_grad():
        network.get_submodule("model.classifier").weight *= 5
    (folder / "models/petals").mkdir(parents=True)
    save_file(network.state_dict(), folder / "models/petals/model.safetensors")
    described = {"task": "petals", "model": vars(MODEL), "meta": data.meta, "data_digest": "0" * 64}
    canonical.write_json(folder / "models/petals/config.json", described)
    return folder
