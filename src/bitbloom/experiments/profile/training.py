"""The profile of a training: the train stage for some steps, each under one of several instruments (`phases`)."""

from __future__ import annotations

import shutil
import statistics
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.profile import instrumented, processes, training_page, workspace
from bitbloom.experiments.profile import trace as traces
from bitbloom.experiments.profile.parts import BETWEEN
from bitbloom.experiments.profile.phases import FLAMES, TRACE, Plan
from bitbloom.pipeline import composition

if TYPE_CHECKING:
    from bitbloom.experiments.profile.content import Content

EPOCHS = 1_000_000
"""Enough that the number of steps ends the training."""


def overrides(plan: Plan) -> list[str]:
    """Keys that make the training as long as the plan. They change no step."""
    return [f"train.max_steps={plan.steps}", f"train.epochs={EPOCHS}", "train.patience=0"]


def profile(target: str, plan: Plan, scratch: Path, results: Path) -> Content:
    """Train in the workspace `scratch`; write trace, flame graph and numbers to `results`, and return the page.

    Raises:
        BitBloomError: the inputs are missing, or the training failed.
    """
    tree = composition.compose(target)
    stage = workspace.stage_of(target, "train", tree)
    workspace.require_built(stage, tree)
    workspace.make(scratch, stage, composition.compose(target, overrides(plan)))
    canonical.write_json(scratch / instrumented.PLAN, asdict(plan))
    command = [sys.executable, "-m", instrumented.__spec__.name, target]
    processes.run(command, scratch, workspace.environment(tree.numerics.profile), f"the training of '{target}'")
    return collect(target, tree, scratch / instrumented.FOLDER, results)


def collect(target: str, tree: Any, measured: Path, results: Path) -> Content:
    """Move the files of a training to `results`, and write profile.json."""
    ranks = sorted((file for file in measured.glob("*.json") if file.stem.isdigit()), key=lambda file: int(file.stem))
    workers = [canonical.read_json(file) for file in ranks]
    if not workers or not (measured / TRACE).exists():
        raise BitBloomError(f"the training of '{target}' ended before its steps were measured: raise --steps, or see its output")
    shutil.move(measured / TRACE, results / TRACE)
    svg = measured / FLAMES
    flames = svg.read_text(encoding="utf-8") if svg.exists() and not workers[0]["flames"] else ""
    if flames:
        canonical.write_text(results / FLAMES, flames)
    trace = traces.read(results / TRACE)
    record = summary(workers, trace) | {"batch": int(tree.train.batch_size)}
    canonical.write_json(results / "profile.json", record)
    return training_page.content(target, record, trace, flames, workers[0]["flames"])


def summary(workers: list[dict[str, Any]], trace: traces.Trace) -> dict[str, Any]:
    """The numbers of profile.json, times in seconds a step, from the measurements of each worker."""
    first = workers[0]
    step = step_parts(first)
    plain = first["plain"]
    return {
        "workers": len(workers),
        "plain": {"steps": plain, "median": statistics.median(plain) if plain else None},
        "parts": step,
        "cpu": step_parts(first, "cpu"),
        "step": sum(step.values()),
        "between": {part: first["parts"].get(part, 0.0) for part in BETWEEN},
        "waiting": [step_parts(worker).get("waiting for workers", 0.0) for worker in workers],
        "modules": {name: seconds / first["steps"] for name, seconds in first["modules"].items()},
        "backward": {name: usage.backward / 1e6 / max(1, trace.steps) for name, usage in trace.modules.items()},
        "parameters": first["parameters"],
        "memory": first["memory"] | {"peak": trace.peak, "workers": [worker["memory"]["largest"] for worker in workers]},
        "usage": {name: asdict(usage) for name, usage in trace.modules.items()},
        "traced": {"steps": trace.steps, "seconds": trace.seconds},
    }


def step_parts(worker: Mapping[str, Any], clock: str = "parts") -> dict[str, float]:
    """Part → seconds a step of one worker, without what is between steps; those of the clock `parts` add up to the step."""
    return {part: seconds / worker["steps"] for part, seconds in worker[clock].items() if part not in BETWEEN}
