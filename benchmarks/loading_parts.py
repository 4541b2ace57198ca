"""What `benchmarks/loading.py` measures of ours, in a process with the pins of a training and a folder with the data of a target.

    loading_parts.py steps TARGET               # for each line {"steps": n}, prints the CPU seconds of n steps by part
    loading_parts.py read TARGET RANK WORLD     # for each line {"case": …, "seconds": s}, prints photos, seconds and CPU seconds

Lines are JSON. A reader makes the micro-batches of one worker of a training, without the network.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from operator import attrgetter
from typing import Any

import kornia
import numpy as np
import torch

from bitbloom import tasks
from bitbloom.config.target import Target
from bitbloom.data import dataset, imaging
from bitbloom.models import augment, preprocess, weights
from bitbloom.numerics import pins, reduction, seeds
from bitbloom.stages import train
from bitbloom.training import loop, sampler
from bitbloom.training.inference import open_dataset
from bitbloom.training.workers import Worker

TIMED: dict[str, tuple[Any, str]] = {
    "sample order and seeds": (sampler, "Stream.batch"),
    "read the arrays": (dataset, "Dataset.take"),
    "bytes to float32": (preprocess, "scale"),
    "normalise": (preprocess, "Preprocess.normalise"),
    "crop and resize": (augment, "crop"),
    "flip": (augment, "flip"),
    "colour": (augment, "colour"),
    "erase": (augment, "erase"),
    "MixUp and CutMix": (augment, "mix"),
}
"""Part of feeding → the function whose time it is, without that of other timed functions inside."""
REST = "the rest of the task's batch"
STEP = "step"
WARM_UP = 2
LARGE = 64
"""Photos in a batch, beside the micro-batches of a training, in the comparison of operations."""


class Clock:
    """CPU seconds of this process by part."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self.inner = [0.0]

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its own time added to a part."""

        def wrapper(*arguments: Any, **named: Any) -> Any:
            self.inner.append(0.0)
            start = time.process_time()
            try:
                return function(*arguments, **named)
            finally:
                taken = time.process_time() - start
                self.spent[name] = self.spent.get(name, 0.0) + taken - self.inner.pop()
                self.inner[-1] += taken

        return wrapper


class Training:
    """A training with one worker, whose parts are timed."""

    def __init__(self, name: str) -> None:
        self.clock, self.done, run = Clock(), 0, opened(name, Worker())
        for part, (module, function) in TIMED.items():
            place, _, attribute = function.rpartition(".")
            owner = attrgetter(place)(module) if place else module
            setattr(owner, attribute, self.clock.timed(part, getattr(owner, attribute)))
        setattr(run.task, "batch", self.clock.timed(REST, run.task.batch))  # noqa: B010 -- a module
        self.step = self.clock.timed(STEP, run.step)
        self.steps(WARM_UP)

    def steps(self, count: int) -> list[dict[str, float]]:
        """Train on; return the CPU seconds of each step by part of feeding, and those of the step without them."""
        found = []
        for _ in range(count):
            self.clock.spent = {}
            self.step(self.done)
            self.done += 1
            found.append(self.clock.spent)
        return found


def opened(name: str, worker: Worker) -> loop.Run:
    """The training of a target, before its first step."""
    target = Target.load(name, train.READS)
    pins.pin_torch()
    weights.ensure_all(target.model.starts_from())
    sections = loop.Sections(target.model, target.augment, target.train, target.numerics)
    return loop.Run(worker, tasks.model(target.task), open_dataset(target, target.model), sections)


class Reader:
    """What one worker of a training of photos reads, in the same order and with the same augmentation."""

    def __init__(self, name: str, rank: int, world: int) -> None:
        self.target = Target.load(name, (*train.READS, "prepare"))
        pins.pin_torch()
        self.task, self.dataset = tasks.model(self.target.task), dataset.Dataset.open(self.target.processed)
        self.model: Any = self.target.model  # of an image
        count = self.target.numerics.micro_batches
        own = reduction.blocks(count, world)
        self.numbers, self.size = range(rank * own, (rank + 1) * own), self.target.train.batch_size // count
        positions = self.dataset.split("train")
        options = self.target.train.seed, self.target.train.batch_size
        self.stream = sampler.Stream(positions, self.dataset.sample_seeds()[positions], *options)

    def batches(self, case: str) -> Iterator[int]:
        """Do the work of a case, batch by batch; yields the number of photos of each."""
        kind, _, what = case.partition(": ")
        if kind == "operation":
            yield from self.operations(what, self.size)
        elif kind == "large batch":
            yield from self.operations(what, LARGE)
        elif kind == "decode":
            yield from self.decoded()
        else:
            yield from self.micro_batches(case == "augmented")

    def micro_batches(self, augmented: bool) -> Iterator[int]:
        """The micro-batches of step after step."""
        step = 0
        while True:
            for number in self.numbers:
                positions, drawn = self.stream.batch(step, number * self.size, self.size)
                arrays = self.dataset.take(positions)
                if augmented:
                    self.task.batch(arrays, drawn, self.target.augment, self.model)
                else:
                    self.task.batch(arrays, None, None, self.model)
                yield self.size
            step += 1

    def operations(self, what: str, size: int) -> Iterator[int]:
        """One operation on float32 photos in memory, or, for `all`, everything from uint8 to the network's input."""
        config, side = replace(self.target.augment, mixup=0.0, cutmix=0.0), self.model.image_size
        positions, drawn = self.stream.batch(0, 0, size)
        arrays = self.dataset.take(positions)
        pixels, seed = preprocess.scale(torch.from_numpy(arrays["images"])), 0
        config = replace(config, erase=config.erase or ERASED)
        flip = kornia.augmentation.RandomHorizontalFlip
        work: dict[str, Callable[[Any], Any]] = {
            "crop": lambda drawn: augment.crop(pixels, drawn, side, config),
            "flip": lambda drawn: augment.flip(pixels, drawn, config.flip, flip),
            "colour": lambda drawn: augment.colour(pixels, drawn, config),
            "erase": lambda drawn: augment.erase(pixels, drawn, config),
            "all": lambda drawn: self.task.batch(arrays, drawn, config, self.model),
        }
        while True:
            work[what](seeds.derive(drawn, seed))
            seed += 1
            yield size

    def decoded(self) -> Iterator[int]:
        """Decode photos as `prepare` does, once for each training."""
        while True:
            for name in self.dataset.samples["id"].iloc[:: max(1, len(self.dataset.samples) // 200)]:
                imaging.square((self.target.raw / name).read_bytes(), self.target.prepare.image_size)
                yield 1


ERASED = 0.25
"""Probability of erasing in `augment=strong`, for targets that do not erase."""


def measured(batches: Iterator[int], seconds: float) -> dict[str, float]:
    """Work for this CPU time. Returns photos, seconds and CPU seconds."""
    for _ in range(4):
        next(batches)
    photos, start, cpu = 0, time.perf_counter(), time.process_time()
    while time.process_time() < cpu + seconds:
        photos += next(batches)
    return {"photos": photos, "seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}


def main() -> None:
    """Run as a child process, until the end of its input."""
    kind, name, *rest = sys.argv[1:]
    if kind == "steps":
        training = Training(name)

        def respond(asked: Any) -> Any:
            return training.steps(asked["steps"])

    else:
        reader = Reader(name, *map(int, rest))
        np.asarray(reader.dataset.arrays["images"]).sum()  # into the page cache, as after the first epoch

        def respond(asked: Any) -> Any:
            return measured(reader.batches(asked["case"]), asked["seconds"])

    for line in sys.stdin:
        print(json.dumps(respond(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
