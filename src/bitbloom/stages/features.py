"""features: ask the parts of a model that keep their weights once, for every sample, instead of in every epoch.

    python -m bitbloom.stages.features captions-folder     # → data/features/captions-folder/

It is a stage of the targets whose model has such parts.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from bitbloom import tasks
from bitbloom.config.models import Model, typed_model
from bitbloom.core import canonical, progress
from bitbloom.core.errors import BitBloomError
from bitbloom.data.dataset import Dataset
from bitbloom.models import weights
from bitbloom.numerics import pins, seeds, subset
from bitbloom.stages import main
from bitbloom.training import workers
from bitbloom.training.inference import BATCH

if TYPE_CHECKING:
    from bitbloom.config.target import Target
    from bitbloom.contracts import FeatureExtractor

READS = (
    "task",
    "augment",
    "numerics",
    "train.seed",
    "model.kind",
    "model.architecture",
    "model.weights",
    "model.image",
    "model.text",
    "model.image_layers",
    "model.text_layers",
    "model.grid",
    "model.views",
)
"""Of the model only what makes its towers: another writer, or more epochs, asks them nothing again."""
PARTS = ("model",)
PURPOSE = 99
"""What is mixed with `train.seed` here, so that no sample is seen in the features as it is in training."""


def run(target: Target) -> None:
    """Write data/features/<target>/: one array a name, a row a sample."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        raise BitBloomError("features is no training: run it without torchrun, WORKERS=n says how many processes")
    weights.ensure_all(towers(target).starts_from())
    with canonical.replacing_folder(target.features) as folder:
        workers.launch(ask, 1 << 30, target, folder)
    dataset = Dataset.open(target.processed, target.features)
    print(", ".join(f"{path.stem} {list(dataset.arrays[path.stem].shape)}" for path in sorted(target.features.glob("*.npy"))))


def towers(target: Target) -> Model:
    """The model with all that is not its towers' as by default."""
    return typed_model({key.removeprefix("model."): target.section(key) for key in READS if key.startswith("model.")})


@torch.no_grad()
def ask(worker: workers.Worker, target: Target, folder: Path) -> None:
    """One worker's batches, each computed alone, into files that all workers have mapped."""
    pins.pin_torch()
    dataset = Dataset.open(target.processed)
    task, model, seed = tasks.model(target.task), towers(target), target.section("train.seed")
    torch.manual_seed(seed)
    network = task.build(model, dataset.meta).eval()
    sample_seeds = seeds.derive(dataset.sample_seeds(), seed, PURPOSE)
    batches = [np.arange(first, min(first + BATCH, len(dataset.samples))) for first in range(0, len(dataset.samples), BATCH)]

    def answers(filled: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        return cast("FeatureExtractor", task).features(network, dataset.take(filled), sample_seeds[filled], target.augment, model)

    answers(np.resize(batches[0], BATCH))  # what is made once and kept is made outside the guard
    files: dict[str, NDArray[Any]] = {}
    shown = progress.advancing("features", len(batches)) if worker.first else contextlib.nullcontext(lambda _: None)
    with shown as advance:
        for number in range(worker.rank, len(batches), worker.world) or [0]:  # every worker has to come to the barriers
            filled = np.resize(batches[number], BATCH)  # matrices with few rows have other bits on other CPUs
            with subset.enforced(target.numerics.profile):
                found = answers(filled)
            files = files or mapped(worker, folder, found, len(dataset.samples))
            for name, array in found.items():
                files[name][batches[number]] = array[: len(batches[number])]
            advance(worker.world)
    wait(worker)


def mapped(worker: workers.Worker, folder: Path, found: Mapping[str, NDArray[Any]], rows: int) -> dict[str, NDArray[Any]]:
    """The files of arrays like these, with so many rows; the first worker makes them."""
    files = {name: folder / f"{name}.npy" for name in found}
    if worker.first:
        for name, array in found.items():
            np.lib.format.open_memmap(files[name], "w+", array.dtype, (rows, *array.shape[1:])).flush()
    wait(worker)
    return {name: np.lib.format.open_memmap(file, "r+") for name, file in files.items()}


def wait(worker: workers.Worker) -> None:
    """Until all workers have come here; an error when one of them will not."""
    if worker.world > 1:
        torch.distributed.barrier()


if __name__ == "__main__":
    main(run, READS)
