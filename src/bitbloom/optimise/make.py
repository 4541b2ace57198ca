"""Make the variants of a trained classifier: files below dist/optimised/<target>.

python -m bitbloom.optimise.make petals 1       # fine-tune pruned variants for one epoch

A failure is recorded in `failures.json`, which the table shows, and does not stop the other variants.
"""

from __future__ import annotations

import contextlib
import logging
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import onnx
import torch
from safetensors.torch import load_file, save_file

from bitbloom import tasks
from bitbloom.config.target import Target
from bitbloom.contracts import TaskModel
from bitbloom.core import canonical, checkout, progress
from bitbloom.core.errors import BitBloomError
from bitbloom.export import quantise
from bitbloom.export.classification import FP32
from bitbloom.numerics import pins
from bitbloom.optimise import failures, pruning
from bitbloom.optimise.variants import OPTIMISED, PERCENTAGES, WEIGHTS, checked, in_bf16
from bitbloom.training import inference, loop, workers

if TYPE_CHECKING:
    from bitbloom.config.sections.train import Train
    from bitbloom.training.inference import Trained

PROFILE = "portable"
IMPORTANCE_SAMPLES, IMPORTANCE_BATCH = 512, 32
"""Number of training samples for the importance of units, and their batch size."""
TUNING_RATE = 0.3
"""Factor of the target's learning rates for fine-tuning: the full ones would do more harm than one epoch repairs."""


def run(target: Target, epochs: float) -> None:
    """Write dist/optimised/<target>/ again, and fine-tune pruned variants for `epochs` epochs.

    Raises:
        BitBloomError: the target's task has no variants, or the target is not built.
    """
    pins.pin_torch()
    checked(target)
    with canonical.replacing_folder(Path(OPTIMISED) / target.name) as folder:
        failed: dict[str, str] = {}
        for name, make in _steps(target, folder, epochs):
            print(f"optimise: making {name}", flush=True)
            with failures.noted(failed, name):
                make()
        canonical.write_json(folder / failures.FILE, failed)


def _steps(target: Target, folder: Path, epochs: float) -> Iterator[tuple[str, Callable[[], None]]]:
    """Folder name and function of each variant, in order."""
    yield "bf16", lambda: bf16(target, folder / "bf16")
    yield "dynamic-int8", lambda: dynamic_int8(target, folder / "dynamic-int8")
    for percent in PERCENTAGES:
        untuned, tuned = folder / f"pruned-{percent}-untuned", folder / f"pruned-{percent}"
        yield untuned.name, lambda untuned=untuned, percent=percent: prune(target, untuned, percent)  # type: ignore[misc]
        yield tuned.name, lambda untuned=untuned, tuned=tuned: tune(target, untuned, tuned, epochs)  # type: ignore[misc]


def bf16(target: Target, folder: Path) -> None:
    """Write the weights, most of them in bfloat16."""
    _save(in_bf16(inference.load(target, tasks.model(target.task)).network).state_dict(), folder / WEIGHTS)


def dynamic_int8(target: Target, folder: Path) -> None:
    """Write the served graph with int8 weights, and activation ranges from each batch."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    whole = onnx.load(target.models / FP32)
    with canonical.replacing(folder / FP32) as temporary, _quiet():
        quantize_dynamic(whole, temporary, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8)
        made = onnx.load(temporary)
        del made.metadata_props[:]
        made.metadata_props.extend(whole.metadata_props)
        quantise.save(made, temporary)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Disable warnings in the log: ONNX Runtime's quantiser advises to pre-process a graph, which the exporter does already."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def prune(target: Target, folder: Path, percent: int) -> None:
    """Remove a percentage of the units, and export the smaller network."""
    trained = inference.load(target, tasks.model(target.task))
    units = pruning.find(trained.network)
    pruning.prune(units, pruning.importance(units, losses(target, trained)), percent / 100)
    _save(trained.network.state_dict(), folder / WEIGHTS)
    _export(target, trained, folder, int8=False)


def losses(target: Target, trained: Trained) -> Iterator[torch.Tensor]:
    """The training loss of training samples, batch by batch, augmented as in training, without dropout."""
    train = trained.dataset.split("train")
    chosen = train[np.linspace(0, len(train) - 1, min(IMPORTANCE_SAMPLES, len(train))).astype(np.int64)]
    seeds = trained.dataset.sample_seeds()
    for start in progress.track(range(0, len(chosen), IMPORTANCE_BATCH), "measure importance"):
        some = chosen[start : start + IMPORTANCE_BATCH]
        batch = trained.task.batch(trained.dataset.take(some), seeds[some], target.augment, trained.model)
        yield trained.task.loss(trained.network, batch, target.train)


def tune(target: Target, pruned: Path, folder: Path, epochs: float) -> None:
    """Fine-tune a pruned network with the target's own configuration, and export it."""
    if not (pruned / WEIGHTS).is_file():
        raise BitBloomError(f"{pruned.name} could not be made")
    folder.mkdir()
    workers.launch(fit, target.numerics.micro_batches, target, pruned / WEIGHTS, folder / WEIGHTS, epochs)
    trained = inference.load(target, tasks.model(target.task))
    pruning.load(trained.network, load_file(folder / WEIGHTS))
    _export(target, trained, folder, int8=True)


class Start:
    """A task whose network exists already: training continues with it."""

    def __init__(self, task: TaskModel, network: torch.nn.Module) -> None:
        self.task, self.network = task, network

    def build(self, *_: Any) -> torch.nn.Module:
        """The network."""
        return self.network

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)


def fit(worker: workers.Worker, target: Target, before: Path, after: Path, epochs: float) -> None:
    """Fine-tune as one worker, with the target's schedule of learning rates, lowered and shortened. The first worker writes."""
    pins.pin_torch()
    trained = inference.load(target, tasks.model(target.task))
    pruning.load(trained.network, load_file(before))
    steps = round(epochs * len(loop.training_subset(trained.dataset, target.train.part)) / target.train.batch_size)
    train = replace(slower(target.train, TUNING_RATE), epochs=math.ceil(epochs), max_steps=steps)
    numerics = replace(target.numerics, profile=PROFILE)
    sections = loop.Sections(trained.model, target.augment, train, numerics)
    run = loop.Run(worker, cast(TaskModel, Start(trained.task, trained.network)), trained.dataset, sections)
    shown = progress.track if worker.first else lambda items, _: items
    for step in shown(range(steps), "fine-tune"):
        run.step(step)
    if worker.first:
        _save(run.finish(), after)


def slower(train: Train, factor: float) -> Train:
    """The same configuration with all learning rates multiplied by a factor, including that of the head."""
    head = train.head_learning_rate
    return replace(train, learning_rate=train.learning_rate * factor, head_learning_rate=None if head is None else head * factor)


def _export(target: Target, trained: Trained, folder: Path, int8: bool) -> None:
    """Write and compare the graphs, as the export stage does."""
    trained.network.eval()
    parity = tasks.exporter(target.task).export(trained, replace(target.export, int8=int8), folder)
    if parity.wrong:
        raise BitBloomError(f"the exported graph differs from the network: {parity.wrong}")


def _save(state: dict[str, torch.Tensor], file: Path) -> None:
    with canonical.replacing(file) as temporary:
        save_file({name: tensor.detach().contiguous() for name, tensor in state.items()}, temporary)


def main() -> None:
    """Entry point: its own code and pins, then `run`; exit code 1 on a clear error."""
    try:
        checkout.require()
        if len(sys.argv) != 3:
            sys.exit(f"usage: {sys.argv[0]} TARGET EPOCHS")
        pins.require(PROFILE)
        run(Target.load(sys.argv[1]), float(sys.argv[2]))
    except BitBloomError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
