"""Measure the variants of a trained classifier on its test split: accuracy, size, and how long an answer takes.

    python -m bitbloom.optimise.measure petals 12       # time each variant in 12 turns

All run on one thread, and accuracy is of samples asked one at a time: so the service runs its model. The variants take turns, so
that a slow minute of the machine hits all of them. A variant that cannot be made or run is a row that says why.
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
from bitbloom.optimise.variants import OPTIMISED, REFERENCE, SERVED, VARIANTS, Ask, Opener, Variant, checked
from bitbloom.training import inference

if TYPE_CHECKING:
    from bitbloom.data.dataset import Arrays, Dataset
    from bitbloom.training.inference import Trained

BATCH = 32
UNCOUNTED, COUNTED = 2, 8
"""Answers at the start of a turn that only bring a variant back into the caches, and those that are timed."""
VERSIONS = ("torch", "onnxruntime")


@dataclass(frozen=True)
class Row:
    """What was measured of a variant; or `failure`, why nothing was.

    Attributes:
        name, title: of the variant.
        file: what it is loaded from.
        failure: why there are no numbers; empty when there are.
        bytes: size of the file.
        accuracy: share of the test split that it gets right, asked one at a time.
        difference: accuracy minus that of REFERENCE.
        interval: 95 % bootstrap interval of the difference, the same samples in both (paired).
        agreement: share of the test split that it answers as REFERENCE does.
        batch_difference: largest difference of a probability when a sample is asked alone and in a batch.
        ready: seconds from its file to a first answer, compiling included.
        median, p90: seconds an answer takes, asked alone.
        speed: how many times as fast as SERVED, by the medians.
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
    """The test split as the exported graph takes it.

    Attributes:
        dataset: the processed data.
        names: of the graph's inputs.
        positions: int64 [n], of the samples in the data.
    """

    dataset: Dataset
    names: Sequence[str]
    positions: NDArray[np.int64]

    def some(self, chosen: NDArray[np.int64]) -> Arrays:
        """Inputs of the samples with these numbers in the split; texts are cut to the longest of them, as the service does."""
        arrays = self.dataset.take(self.positions[chosen])
        found = {name: arrays[name] for name in self.names}
        if "lengths" in arrays:
            found["tokens"] = np.ascontiguousarray(cut(found["tokens"], arrays["lengths"]))
        return found

    def one(self, number: int) -> Arrays:
        """Inputs of one sample."""
        return self.some(np.array([number]))

    def batch(self) -> Arrays:
        """Inputs of the first BATCH samples, repeated where there are fewer."""
        return self.some(np.resize(np.arange(len(self.positions)), BATCH))

    def labels(self) -> NDArray[np.int64]:
        """The true classes [n]."""
        return np.asarray(self.dataset.arrays["labels"])[self.positions]


@dataclass
class Asked:
    """A variant that runs, and what it said so far.

    Attributes:
        ask: the variant.
        ready: seconds from its file to a first answer.
        alone: its answers to all samples, asked one at a time, float32 [n, classes].
        batch_difference: as in Row.
        one, batch: seconds that answers to one sample, and to a batch, took.
    """

    ask: Ask
    ready: float
    alone: NDArray[np.float32]
    batch_difference: float
    one: list[float] = field(default_factory=list)
    batch: list[float] = field(default_factory=list)


def run(target: Target, turns: int) -> None:
    """Write reports/<target>/optimise.json, .md and .png.

    Raises:
        BitBloomError: the target's task has no variants, it is not built, or has no test samples.
    """
    torch.set_num_threads(1)
    trained = inference.load(checked(target), tasks.model(target.task))
    if len(trained.dataset.split("test")) == 0:
        raise BitBloomError(f"{target.processed} has no test samples to measure on")
    found = rows(target, trained, turns)
    report.write(target.reports, target.name, [asdict(row) for row in found], conditions(trained, turns))


def rows(target: Target, trained: Trained, turns: int) -> list[Row]:
    """A row for each of VARIANTS, in their order."""
    opener = Opener(target, trained)
    samples = Samples(trained.dataset, opener.graph.inputs, trained.dataset.split("test"))
    unmade = failures.read(Path(OPTIMISED) / target.name)
    asked: dict[str, Asked] = {}
    unasked: dict[str, str] = {}
    for variant in progress.track(VARIANTS, "ask variants"):
        with failures.noted(unasked, variant.name):
            if variant.folder in unmade:
                raise BitBloomError(unmade[variant.folder])
            asked[variant.name] = answered(opener, variant, samples)
    in_turns(list(asked.values()), samples, turns)
    return [row(variant, target, asked, unasked.get(variant.name, ""), samples.labels()) for variant in VARIANTS]


def answered(opener: Opener, variant: Variant, samples: Samples) -> Asked:
    """Open a variant, and ask it about all samples one at a time and about some in a batch.

    Raises:
        BitBloomError: an answer is not finite.
    """
    start = time.perf_counter()
    ask = opener.open(variant)
    ask(samples.one(0))
    ready = time.perf_counter() - start
    alone = np.concatenate([ask(samples.one(number)) for number in range(len(samples.positions))])
    together = ask(samples.batch())
    if not (np.isfinite(alone).all() and np.isfinite(together).all()):
        raise BitBloomError("its answers are not finite")
    most = min(BATCH, len(alone))
    return Asked(ask, ready, alone, float(np.abs(together[:most] - alone[:most]).max()))


def in_turns(asked: Sequence[Asked], samples: Samples, turns: int) -> None:
    """Time all variants. The turns begin with another one each time."""
    several = [samples.one(number % len(samples.positions)) for number in range(UNCOUNTED + COUNTED)]
    batch = samples.batch()
    for turn in progress.track(range(turns), "time variants"):
        first = turn % max(1, len(asked))
        for each in (*asked[first:], *asked[:first]):
            taken = [seconds(each.ask, one) for one in several]
            each.one += taken[UNCOUNTED:]
            each.batch.append(seconds(each.ask, batch))


def seconds(ask: Ask, inputs: Arrays) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    ask(inputs)
    return time.perf_counter() - start


def row(variant: Variant, target: Target, asked: Mapping[str, Asked], failure: str, labels: NDArray[np.int64]) -> Row:
    """The table's row of a variant."""
    file = variant.path(target.name)
    said = asked.get(variant.name)
    if said is None:
        return Row(variant.name, variant.title, file.as_posix(), failure)
    median, served = statistics.median(said.one), asked.get(SERVED)
    right = said.alone.argmax(1) == labels
    return Row(
        name=variant.name,
        title=variant.title,
        file=file.as_posix(),
        bytes=file.stat().st_size,
        accuracy=float(right.mean()),
        batch_difference=said.batch_difference,
        ready=said.ready,
        median=median,
        p90=float(np.quantile(said.one, 0.9)),
        speed=statistics.median(served.one) / median if served else None,
        throughput=BATCH / statistics.median(said.batch),
        **_compared(said, asked.get(REFERENCE), labels, target.evaluate.bootstrap),
    )


def _compared(said: Asked, reference: Asked | None, labels: NDArray[np.int64], resamples: int) -> dict[str, Any]:
    """The numbers that need REFERENCE; none when it did not run."""
    if reference is None:
        return {}
    answer, other = said.alone.argmax(1), reference.alone.argmax(1)
    gained = (answer == labels).astype(np.int64) - (other == labels)
    return {
        "difference": float(gained.mean()),
        "interval": paired_interval(gained, resamples),
        "agreement": float((answer == other).mean()),
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
    """What the numbers depend on beside the variants: machine, versions, and how often what was timed."""
    return {
        "cpu": machine.cpu(),
        "instruction_sets": machine.instruction_sets(),
        "torch_code": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "cores": cpu.cores(),
        "versions": {name: version(name) for name in VERSIONS},
        "test_samples": len(trained.dataset.split("test")),
        "timed": {"turns": turns, "answers": turns * COUNTED, "batches": turns, "batch": BATCH},
    }


def main() -> None:
    """Entry point; exit code 1 on a clear error."""
    try:
        checkout.require()
        if len(sys.argv) != 3:
            sys.exit(f"usage: {sys.argv[0]} TARGET TURNS")
        # What TorchInductor compiled before would make a variant look ready at once.
        with tempfile.TemporaryDirectory(prefix="bitbloom-inductor-") as cache:
            os.environ |= {"TORCHINDUCTOR_CACHE_DIR": cache, "TORCHINDUCTOR_COMPILE_THREADS": "1"}
            run(Target.load(sys.argv[1]), int(sys.argv[2]))
    except BitBloomError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
