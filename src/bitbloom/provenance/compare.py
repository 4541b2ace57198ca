"""Comparison of two training runs: the first different step, field and operation.

    bitbloom diff models/petals elsewhere/models/petals
    bitbloom diff models/petals elsewhere/models/petals --ops       # runs that step again here and hashes every operation

A run is a folder with a `ledger.jsonl`, or the ledger itself. The first run is of this machine, in its target's workspace.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitbloom import tasks
from bitbloom.core import progress
from bitbloom.core.errors import BitBloomError
from bitbloom.numerics import pins, trace

if TYPE_CHECKING:
    from bitbloom.config.target import Target

FIELDS = ("batch", "loss", "gradient", "weights", "weights_sha256")
"""The compared fields of a step, in the order in which a step computes them."""
LEDGER = "ledger.jsonl"


@dataclass(frozen=True)
class Difference:
    """The first different step and field of two runs. `here` or `there` is None when that run has ended."""

    step: int
    field: str
    here: Any
    there: Any


def read(run: Path) -> list[dict[str, Any]]:
    """Read the ledger of a run. Raises BitBloomError when it is missing or invalid."""
    path = run / LEDGER if run.is_dir() else run
    try:
        lines: list[dict[str, Any]] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for line in lines:
            line["step"]
    except FileNotFoundError as error:
        raise BitBloomError(f"{path} is missing: name a folder that a training wrote, or its ledger") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BitBloomError(f"{path} is not a ledger: {error}") from error
    return lines


def first_difference(here: list[dict[str, Any]], there: list[dict[str, Any]]) -> Difference | None:
    """The first different step and field; None for equal runs."""
    for number, (ours, theirs) in enumerate(itertools.zip_longest(here, there)):
        if ours is None or theirs is None:
            return Difference(number, "length", ours and len(here), theirs and len(there))
        for field in ("step", *FIELDS):
            if ours.get(field) != theirs.get(field):
                return Difference(number, field, ours.get(field), theirs.get(field))
    return None


def explain(found: Difference | None, steps: int) -> str:
    """A difference as text."""
    if found is None:
        return f"the runs are equal: {steps} steps, batch, loss, gradient and weights"
    if found.field == "length":
        return f"one run ends at step {found.step}, the other continues; up to there they are equal"
    name = {"weights_sha256": "weights (whole)"}.get(found.field, found.field)
    return f"first difference: step {found.step}, {name}: {found.here} here, {found.there} there; everything before is equal"


def record_path(run: Path, step: int) -> Path:
    """The path of the record of a step's operations."""
    folder = run if run.is_dir() else run.parent
    return folder / f"ops-step-{step:06d}.jsonl"


def record_step(target: Target, step: int, path: Path, ledger: list[dict[str, Any]]) -> str:
    """Train again from the start up to a step, and write a record of every operation of that step.

    Returns a warning if the replay differs from the run's `ledger`, else an empty string.

    One worker trains, so the record has all micro-batches in order. The bytes do not depend on the number of workers.
    """
    from bitbloom.training import loop
    from bitbloom.training.inference import open_dataset
    from bitbloom.training.workers import Worker

    pins.pin_torch()
    sections = loop.Sections(target.model, target.augment, target.train, target.numerics)
    run = loop.Run(Worker(), tasks.model(target.task), open_dataset(target, target.model), sections)
    if step >= run.steps:
        raise BitBloomError(f"a training of '{target.name}' has {run.steps} steps: there is no step {step}")
    for number in progress.track(range(step), f"replaying {target.name}", step):
        run.step(number)
    if step == 0:
        with contextlib.suppress(BitBloomError):
            run.check_subset()  # keeps cached tensors out of the record
    with trace.Recorder() as recorder:
        run.step(step)
    trace.write(path, recorder.lines, {"target": target.name, "step": step})
    differs = first_difference(run.history.ledger, ledger[: step + 1])
    if differs is None or differs.field == "weights_sha256":
        return ""
    return f"the replay differs from the run: step {differs.step}, {differs.field}; code, data or machine changed since"


def explain_ops(here: trace.Record, there: trace.Record) -> str:
    """The first different operation of two records of one step, its shapes, and the CPU facts of both machines."""
    if (here.head.get("target"), here.head.get("step")) != (there.head.get("target"), there.head.get("step")):
        raise BitBloomError("the records are of different steps")
    position = trace.first_difference(here.lines, there.lines)
    if position is None:
        counts = len(here.lines), len(there.lines)
        shorter = f"; here there are {counts[0]} and there {counts[1]}" if counts[0] != counts[1] else ""
        return (
            f"the first {min(counts)} ops have equal results{shorter}" if shorter else f"all {counts[0]} ops have equal results"
        )
    ours, theirs = here.lines[position], there.lines[position]
    lines = [f"first different op: number {position}, '{ours['op']}' on {', '.join(ours['inputs']) or 'nothing'}"]
    if (ours["op"], ours["inputs"]) != (theirs["op"], theirs["inputs"]):
        lines.append(f"  there it is '{theirs['op']}' on {', '.join(theirs['inputs'])}: the code or the libraries differ")
    lines += [f"  result here {' '.join(ours['outputs'])}, there {' '.join(theirs['outputs'])}"]
    lines += [
        f"  {name}: {json.dumps(record.head['machine'], sort_keys=True)}" for name, record in (("here", here), ("there", there))
    ]
    return "\n".join(lines)
