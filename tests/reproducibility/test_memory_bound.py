"""Stages of a target with 5,000 classes run in 2 GB, as the kernel counts them: file pages included, and without swap."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bitbloom.config.target import params_path
from bitbloom.core import canonical
from bitbloom.data.dataset import Dataset
from bitbloom.numerics import pins
from bitbloom.pipeline import composition
from support import memory
from support.tiny import REPOSITORY

TARGET = "petals-folder"
CLASSES, SIDE = 5_000, 96
SPLITS = ["train", "train", "val", "test"]
"""Of the photos of each class."""
BOUND = 2_000_000_000
OVERRIDES = [
    *(f"model.{key}" for key in ("weights=none", "layers=1", "hidden_size=32", "heads=2", "image_size=56")),
    *("train.epochs=1", "train.max_steps=2", "evaluate.bootstrap=100", "export.calibration_samples=32"),
]


def processed() -> Dataset:
    """Photos of one colour and noise, as the stage `prepare` would write them."""
    dice, count = np.random.default_rng(3), CLASSES * len(SPLITS)
    labels = np.repeat(np.arange(CLASSES), len(SPLITS))
    names = [f"species {number:05}" for number in range(CLASSES)]
    ids = [f"{names[label]}/{number}.jpg" for number, label in enumerate(labels)]
    images = np.empty((count, 3, SIDE, SIDE), np.uint8)
    images[:] = dice.integers(0, 256, (count, 3, 1, 1))
    images ^= dice.integers(0, 32, (1, 3, SIDE, SIDE)).astype(np.uint8)
    columns = {
        "id": ids,
        "label": [names[label] for label in labels],
        "key": [hashlib.sha256(name.encode()).hexdigest() for name in ids],
        "attributes": ["{}"] * count,
        "split": SPLITS * CLASSES,
        "excluded": [False] * count,
        "reason": [""] * count,
    }
    return Dataset({"images": images, "labels": labels}, pd.DataFrame(columns), {"classes": names, "image_size": SIDE})


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with processed data."""
    folder = tmp_path_factory.mktemp("many")
    tree = composition.compose(TARGET, OVERRIDES)
    canonical.write_text(folder / params_path(TARGET), composition.yaml_text(tree))
    for lock in ("requirements.lock", "weights.lock"):
        shutil.copyfile(REPOSITORY / lock, folder / lock)
    dataset = processed()
    dataset.save(folder / "data/processed" / TARGET)
    manifest = folder / "data/raw" / TARGET / "manifest.parquet"
    manifest.parent.mkdir(parents=True)
    dataset.samples[["id"]].assign(bytes=10_000).to_parquet(manifest)
    return folder


@pytest.mark.slow
def test_stages_of_5000_classes_fit_in_2_gigabytes(workspace: Path) -> None:
    environment = os.environ | pins.environment("portable") | {"PYTHONPATH": str(REPOSITORY / "src"), "WORKERS": "1"}
    for stage in ("train", "evaluate", "export"):
        with memory.bounded(BOUND) as group:
            done = group.run([sys.executable, "-m", f"bitbloom.stages.{stage}", TARGET], workspace, environment)
            assert (done.returncode, group.kills) == (0, 0), done.stdout
            assert group.peak <= BOUND
    assert canonical.read_json(workspace / "reports" / TARGET / "metrics.json")["samples"] == CLASSES


@pytest.mark.slow
def test_bound_ends_what_exceeds_it(tmp_path: Path) -> None:
    program = f"print(len(bytearray({BOUND // 10})))"
    with memory.bounded(BOUND // 20) as group:
        done = group.run([sys.executable, "-c", program], tmp_path, os.environ)
        assert (done.returncode, group.kills) == (-9, 1), done.stdout
