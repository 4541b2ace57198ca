"""features: compute the outputs of the frozen parts of a model once for every sample, instead of in every epoch.

    python -m bitbloom.stages.features captions-folder     # → data/features/captions-folder/

Only targets whose model has frozen parts have this stage.
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
from bitbloom.data.dataset import Dataset, write_checksums
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
"""Of the model only the keys of its encoders: another decoder, or more epochs, does not run the stage again."""
PARTS = ("model",)
PURPOSE = 99
"""Mixed with `train.seed`, so that the augmentations of the features differ from those of training."""


def run(target: Target) -> None:
    """Write data/features/<target>/: one array for each name, with one row for each sample."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        raise BitBloomError("features runs without torchrun: WORKERS=n sets the number of processes")
    weights.ensure_all(encoders(target).starts_from())
    with canonical.replacing_folder(target.features) as folder:
        workers.launch(extract, 1 << 30, target, folder)
        write_checksums(folder)
    dataset = Dataset.open(target.processed, target.features)
    print(", ".join(f"{path.stem} {list(dataset.arrays[path.stem].shape)}" for path in sorted(target.features.glob("*.npy"))))


def encoders(target: Target) -> Model:
    """The model with its encoders as configured, and defaults for its other parts."""
    return typed_model({key.removeprefix("model."): target.section(key) for key in READS if key.startswith("model.")})


@torch.no_grad()
def extract(worker: workers.Worker, target: Target, folder: Path) -> None:
    """Compute one worker's batches, each alone, into files that all workers have mapped."""
    pins.pin_torch()
    dataset = Dataset.open(target.processed)
    task, model, seed = tasks.model(target.task), encoders(target), target.section("train.seed")
    torch.manual_seed(seed)
    network = task.build(model, dataset.meta).eval()
    sample_seeds = seeds.derive(dataset.sample_seeds(), seed, PURPOSE)
    batches = [np.arange(first, min(first + BATCH, len(dataset.samples))) for first in range(0, len(dataset.samples), BATCH)]

    def features_of(filled: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        return cast("FeatureExtractor", task).features(network, dataset.take(filled), sample_seeds[filled], target.augment, model)

    features_of(np.resize(batches[0], BATCH))  # cached tensors are made outside the guard
    files: dict[str, NDArray[Any]] = {}
    shown = progress.advancing("features", len(batches)) if worker.first else contextlib.nullcontext(lambda _: None)
    with shown as advance:
        for number in range(worker.rank, len(batches), worker.world) or [0]:  # every worker has to reach the barriers
            filled = np.resize(batches[number], BATCH)  # the bits of products with few rows depend on the CPU
            with subset.enforced(target.numerics.profile):
                found = features_of(filled)
            files = files or open_files(worker, folder, found, len(dataset.samples))
            for name, array in found.items():
                files[name][batches[number]] = array[: len(batches[number])]
            advance(worker.world)
    barrier(worker)


def open_files(worker: workers.Worker, folder: Path, found: Mapping[str, NDArray[Any]], rows: int) -> dict[str, NDArray[Any]]:
    """Memory-mapped files for arrays of these types and shapes with `rows` rows. The first worker creates them."""
    files = {name: folder / f"{name}.npy" for name in found}
    if worker.first:
        for name, array in found.items():
            np.lib.format.open_memmap(files[name], "w+", array.dtype, (rows, *array.shape[1:])).flush()
    barrier(worker)
    return {name: np.lib.format.open_memmap(file, "r+") for name, file in files.items()}


def barrier(worker: workers.Worker) -> None:
    """Wait for all workers. Raises RuntimeError when one of them has ended."""
    if worker.world > 1:
        torch.distributed.barrier()


if __name__ == "__main__":
    main(run, READS)
