"""One trial: the training of a target with overrides, in a folder of its own, up to an epoch or to its end.

It runs the code of the train stage, with the same inputs, so it has the bytes of the same variant built by `make train`; the
stage's own end writes the files. A trial that pauses at a rung resumes from the checkpoint of that epoch. `records` has the
files of the folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError

from bitbloom import tasks
from bitbloom.config.target import Target
from bitbloom.core import canonical, checkout
from bitbloom.core.digests import file_digest
from bitbloom.core.errors import BitBloomError
from bitbloom.core.processes import end_with_parent
from bitbloom.experiments.sweep import records
from bitbloom.experiments.sweep.inputs import Inputs
from bitbloom.experiments.sweep.study import Progress
from bitbloom.numerics import pins
from bitbloom.pipeline import graph
from bitbloom.stages import train
from bitbloom.training import loop, workers
from bitbloom.training.checkpoint import Checkpoints
from bitbloom.training.inference import open_dataset

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = "model.safetensors"
Heard = Callable[[dict[str, float]], None]
"""Is called with the row of each epoch."""
OF_THE_MACHINE = ("out of memory", "allocate memory", "cuda error")
"""Words of PyTorch's errors that depend on the machine, not on the trial's values."""


def process(place: Path, target: str, metric: str, until: int | None) -> None:
    """Entry point of a process that runs a trial and ends with its parent. The end of its log has the reason of exit code 1."""
    end_with_parent()
    os.chdir(place)
    with alone(), open(records.LOG, "a", buffering=1, encoding="utf-8") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            advance(target, metric, until)
        except BitBloomError as error:
            print(f"error: {error}", file=log)
            sys.exit(1)
        except Exception:
            traceback.print_exc(file=log)
            sys.exit(1)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Wait until no other process runs the trial of this folder: one of a killed sweep may still be ending."""
    with open(records.LOCK, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def advance(name: str, metric: str, until: int | None, heard: Heard = lambda _: None) -> Progress:
    """Train in the current folder up to an epoch or to the end, from the newest checkpoint if there is one, and record it.

    Raises:
        BitBloomError: the data is missing, training.json has no such metric, or code or data changed meanwhile.
    """
    inputs = Inputs().of_trial(Path(), name)
    if (known := records.read(Path(), inputs)).reaches(until):  # a process of a killed sweep reached it meanwhile
        return known
    target = Target.load(name, train.READS)
    pins.pin_torch()
    dataset = open_dataset(target, target.model)
    checkpoints = Rung(train.inputs_digest(target), until)
    run, ended, failure = None, False, ""
    try:
        sections = loop.Sections(target.model, target.augment, target.train, target.numerics)
        run = loop.Run(workers.Worker(), tasks.model(target.task), dataset, sections)
        run.fit(checkpoints, Listener(heard))
        train.write(run, target)
        ended = True
    except Paused:
        pass
    except (BitBloomError, FloatingPointError, ValueError, RuntimeError) as error:
        if not is_own(error):
            raise
        ended, failure = True, (str(error).strip() or type(error).__name__).splitlines()[0]
    curve = _curve(run, metric)
    if not all(map(math.isfinite, curve)):
        curve = tuple(itertools.takewhile(math.isfinite, curve))
        ended, failure = True, f"{metric} of epoch {len(curve) + 1} is not a number"
    value = _kept(target, metric) if ended and not failure else None
    sha256 = {file: file_digest(target.models / file) for file in _outputs()} if ended and not failure else {}
    if Inputs().of_trial(Path(), name) != inputs:
        raise BitBloomError("code, configuration or data changed while the trial ran, so its result has no record: run it again")
    records.write(Path(), Progress(curve, ended, value, sha256, failure), inputs)
    if ended:
        (target.models / WEIGHTS).unlink(missing_ok=True)
        checkpoints.remove()
    return records.read(Path(), inputs)


def is_own(error: Exception) -> bool:
    """Whether an error is of the trial's values, so that it comes again on every machine: a loss that is not finite, shapes or
    sizes that do not fit together, an operation outside the portable subset. Damaged files and a lack of memory are not.
    """
    if isinstance(error, json.JSONDecodeError | UnicodeError | torch.OutOfMemoryError):
        return False
    return not any(words in str(error).lower() for words in OF_THE_MACHINE)


class Paused(Exception):
    """The training reached the epoch of a rung, and its checkpoint is written."""


class Rung(Checkpoints):
    """Checkpoints of a training that stops after the one of an epoch."""

    def __init__(self, inputs_digest: str, until: int | None) -> None:
        super().__init__(inputs_digest)
        self.until = until

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return the newest checkpoint, or None. A damaged one is removed: the training starts again, and has the same bytes."""
        try:
            return super().load()
        except (OSError, ValueError, SafetensorError) as error:
            print(f"the checkpoint is damaged ({error}): the training starts again", file=sys.stderr)
            self.remove()
            return None

    def save(self, step: int, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Write a checkpoint. Raises Paused at the epoch of the rung."""
        super().save(step, tensors, state)
        if self.until is not None and len(state["epochs"]) >= self.until:
            raise Paused


class Listener(loop.Report):
    """A report that shows nothing, and passes on the rows."""

    def __init__(self, heard: Heard) -> None:
        super().__init__(shown=False)
        self.heard = heard

    def epoch(self, row: Any) -> None:
        """Pass on the row of an epoch."""
        with contextlib.suppress(BrokenPipeError):
            self.heard(dict(row))


def _curve(run: loop.Run | None, metric: str) -> tuple[float, ...]:
    """The metric after each epoch. Raises BitBloomError when the rows do not have it."""
    rows = run.history.epochs if run else []
    if rows and metric not in rows[0]:
        known = ", ".join(sorted(key for key in rows[0] if key.startswith("val_")))
        raise BitBloomError(f"metric '{metric}' is not in the rows of this training; there are: {known}")
    return tuple(row[metric] for row in rows)


def _kept(target: Target, metric: str) -> float:
    """The metric of the weights that the training kept."""
    written = canonical.read_json(target.models / "training.json")
    epoch = written["best_epoch"] if written["kept"] == "best" else len(written["epochs"])
    return float(written["epochs"][epoch - 1][metric])


def _outputs() -> list[str]:
    """The names of the files of the train stage."""
    return [Path(path).name for path in graph.WRITES["train"]]


if __name__ == "__main__":  # PLACE TARGET METRIC [EPOCH]
    checkout.require()
    process(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]) if len(sys.argv) > 4 else None)
