"""Measure the variants of a trained classifier on its test split: accuracy, size, and the time of a prediction.

    python -m bitbloom.optimise.measure petals 12       # time each variant in 12 turns

All variants run on one thread and predict one sample at a time, as the service does. The variants take turns, so that a slow
minute of the machine affects all of them. The row of a variant that cannot be made or run has the reason.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from bitbloom import tasks
from bitbloom.config.target import Target
from bitbloom.core import checkout, cpu, progress
from bitbloom.core.errors import BitBloomError
from bitbloom.evaluation import metrics
from bitbloom.models.tokens import cut
from bitbloom.numerics import machine
from bitbloom.optimise import failures, report
from bitbloom.optimise.variants import OPTIMISED, REFERENCE, SERVED, VARIANTS, Loader, Predict, Variant, checked
from bitbloom.training import inference

if TYPE_CHECKING:
    from bitbloom.data.dataset import Arrays, Dataset
    from bitbloom.training.inference import Trained

BATCH = 32
UNCOUNTED, COUNTED = 2, 8
"""Predictions at the start of a turn that only warm the caches, and timed predictions."""
VERSIONS = ("torch", "onnxruntime")


@dataclass(frozen=True)
class Row:
    """The measurements of a variant, or `failure`, the reason why there are none.

    Attributes:
        name, title: of the variant.
        file: of the variant.
        failure: the reason why there are no numbers; empty otherwise.
        bytes: size of the file.
        accuracy: fraction of correct predictions on the test split, one sample at a time.
        difference: accuracy minus that of REFERENCE.
        interval: 95 % bootstrap interval of the difference, the same samples in both (paired).
        agreement: fraction of the test split with the predictions of REFERENCE.
        batch_difference: largest difference of a probability between a sample alone and in a batch.
        ready: seconds from its file to the first prediction, with compilation.
        median, p90: seconds of a prediction of one sample.
        speed: ratio to the speed of SERVED, by the medians.
        throughput: samples a second in batches of BATCH, by the median.
    """

    name: str
    title: str
    file: str
    failure: str = ""
    bytes: int | None = None
    accuracy: float | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    agreement: float | None = None
    batch_difference: float | None = None
    ready: float | None = None
    median: float | None = None
    p90: float | None = None
    speed: float | None = None
    throughput: float | None = None


@dataclass(frozen=True)
class Samples:
    """The test split as inputs of the exported graph.

    Attributes:
        dataset: the processed data.
        names: of the graph's inputs.
        positions: int64 [n], the samples in the data.
    """

    dataset: Dataset
    names: Sequence[str]
    positions: NDArray[np.int64]

    def some(self, chosen: NDArray[np.int64]) -> Arrays:
        """Inputs of the samples with these numbers in the split. Texts are cut to the longest of them, as in the service."""
        arrays = self.dataset.take(self.positions[chosen])
        found = {name: arrays[name] for name in self.names}
        if "lengths" in arrays:
            found["tokens"] = np.ascontiguousarray(cut(found["tokens"], arrays["lengths"]))
        return found

    def one(self, number: int) -> Arrays:
        """Inputs of one sample."""
        return self.some(np.array([number]))

    def batch(self) -> Arrays:
        """Inputs of the first BATCH samples, repeated if there are fewer."""
        return self.some(np.resize(np.arange(len(self.positions)), BATCH))

    def labels(self) -> NDArray[np.int64]:
        """The true classes [n]."""
        return np.asarray(self.dataset.arrays["labels"])[self.positions]


@dataclass
class Measured:
    """A variant that runs, and its predictions and times so far.

    Attributes:
        predict: runs the variant.
        ready: as in Row.
        alone: probabilities of all samples, one at a time, float32 [n, classes].
        batch_difference: as in Row.
        one, batch: seconds of predictions of one sample, and of a batch.
    """

    predict: Predict
    ready: float
    alone: NDArray[np.float32]
    batch_difference: float
    one: list[float] = field(default_factory=list)
    batch: list[float] = field(default_factory=list)


def run(target: Target, turns: int) -> None:
    """Write reports/<target>/optimise.json, .md and .png.

    Raises:
        BitBloomError: the target's task has no variants, or the target is not built or has no test samples.
    """
    torch.set_num_threads(1)
    trained = inference.load(checked(target), tasks.model(target.task))
    if len(trained.dataset.split("test")) == 0:
        raise BitBloomError(f"{target.processed} has no test samples to measure on")
    found = rows(target, trained, turns)
    report.write(target.reports, target.name, [asdict(row) for row in found], conditions(trained, turns))


def rows(target: Target, trained: Trained, turns: int) -> list[Row]:
    """One row for each of VARIANTS, in their order."""
    loader = Loader(target, trained)
    samples = Samples(trained.dataset, loader.graph.inputs, trained.dataset.split("test"))
    not_made = failures.read(Path(OPTIMISED) / target.name)
    measured: dict[str, Measured] = {}
    failed: dict[str, str] = {}
    for variant in progress.track(VARIANTS, "measure variants"):
        with failures.noted(failed, variant.name):
            if variant.folder in not_made:
                raise BitBloomError(not_made[variant.folder])
            measured[variant.name] = predict_all(loader, variant, samples)
    time_all(list(measured.values()), samples, turns)
    return [row(variant, target, measured, failed.get(variant.name, ""), samples.labels()) for variant in VARIANTS]


def predict_all(loader: Loader, variant: Variant, samples: Samples) -> Measured:
    """Load a variant, and predict all samples one at a time and some in a batch.

    Raises:
        BitBloomError: a prediction is not finite.
    """
    start = time.perf_counter()
    predict = loader.load(variant)
    predict(samples.one(0))
    ready = time.perf_counter() - start
    alone = np.concatenate([predict(samples.one(number)) for number in range(len(samples.positions))])
    together = predict(samples.batch())
    if not (np.isfinite(alone).all() and np.isfinite(together).all()):
        raise BitBloomError("its predictions are not finite")
    most = min(BATCH, len(alone))
    return Measured(predict, ready, alone, float(np.abs(together[:most] - alone[:most]).max()))


def time_all(measured: Sequence[Measured], samples: Samples, turns: int) -> None:
    """Time all variants in turns. Each turn begins with another variant."""
    several = [samples.one(number % len(samples.positions)) for number in range(UNCOUNTED + COUNTED)]
    batch = samples.batch()
    for turn in progress.track(range(turns), "time variants"):
        first = turn % max(1, len(measured))
        for each in (*measured[first:], *measured[:first]):
            taken = [seconds(each.predict, one) for one in several]
            each.one += taken[UNCOUNTED:]
            each.batch.append(seconds(each.predict, batch))


def seconds(predict: Predict, inputs: Arrays) -> float:
    """The time of one call in seconds."""
    start = time.perf_counter()
    predict(inputs)
    return time.perf_counter() - start


def row(variant: Variant, target: Target, measured: Mapping[str, Measured], failure: str, labels: NDArray[np.int64]) -> Row:
    """The table's row of a variant."""
    file = variant.path(target.name)
    found = measured.get(variant.name)
    if found is None:
        return Row(variant.name, variant.title, file.as_posix(), failure)
    median, served = statistics.median(found.one), measured.get(SERVED)
    right = found.alone.argmax(1) == labels
    return Row(
        name=variant.name,
        title=variant.title,
        file=file.as_posix(),
        bytes=file.stat().st_size,
        accuracy=float(right.mean()),
        batch_difference=found.batch_difference,
        ready=found.ready,
        median=median,
        p90=float(np.quantile(found.one, 0.9)),
        speed=statistics.median(served.one) / median if served else None,
        throughput=BATCH / statistics.median(found.batch),
        **_compared(found, measured.get(REFERENCE), labels, target.evaluate.bootstrap),
    )


def _compared(found: Measured, reference: Measured | None, labels: NDArray[np.int64], resamples: int) -> dict[str, Any]:
    """The numbers that need REFERENCE; none if it did not run."""
    if reference is None:
        return {}
    predicted, other = found.alone.argmax(1), reference.alone.argmax(1)
    gained = (predicted == labels).astype(np.int64) - (other == labels)
    return {
        "difference": float(gained.mean()),
        "interval": paired_interval(gained, resamples),
        "agreement": float((predicted == other).mean()),
    }


def paired_interval(gained: NDArray[np.int64], resamples: int) -> tuple[float, float] | None:
    """95 % percentile bootstrap interval of the mean of paired differences [n]; None without resamples (Efron 1979)."""
    if resamples < 1:
        return None
    generator = np.random.Generator(np.random.PCG64(metrics.BOOTSTRAP_SEED))
    means = [float(gained[generator.integers(0, len(gained), len(gained))].mean()) for _ in range(resamples)]
    low, high = metrics.percentiles(means)
    return low, high


def conditions(trained: Trained, turns: int) -> dict[str, Any]:
    """The conditions of the measurement: machine, versions, and numbers of timed predictions."""
    return {
        "cpu": machine.cpu(),
        "instruction_sets": machine.instruction_sets(),
        "torch_code": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "cores": cpu.cores(),
        "versions": {name: version(name) for name in VERSIONS},
        "test_samples": len(trained.dataset.split("test")),
        "timed": {"turns": turns, "predictions": turns * COUNTED, "batches": turns, "batch": BATCH},
    }


def main() -> None:
    """Entry point; exit code 1 on a clear error."""
    try:
        checkout.require()
        if len(sys.argv) != 3:
            sys.exit(f"usage: {sys.argv[0]} TARGET TURNS")
        # With earlier results of TorchInductor, a variant would be ready at once.
        with tempfile.TemporaryDirectory(prefix="bitbloom-inductor-") as cache:
            os.environ |= {"TORCHINDUCTOR_CACHE_DIR": cache, "TORCHINDUCTOR_COMPILE_THREADS": "1"}
            run(Target.load(sys.argv[1]), int(sys.argv[2]))
    except BitBloomError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
