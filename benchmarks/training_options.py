"""Measure options of training against the same training without them: accuracy, time and memory.

    python benchmarks/training_options.py [--only OPTION] [--steps 10] [--json results.json]

Each row is one training with one worker, in a process and a temporary folder of its own, with the data of a target. Accuracy is
that of the test split, memory is the peak of the process. Missing data and the teacher's weights are built first.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bitbloom import tasks
from bitbloom.config.target import Target, params_path
from bitbloom.core import canonical, checkout
from bitbloom.core.digests import file_digest
from bitbloom.numerics import pins
from bitbloom.pipeline import build, composition

WIDE = ("train.batch_size=1024", "train.max_steps=1")
FAST = ("numerics=fast", "train.max_steps=40")
ADAPTED = ("train.lora.rank=16", "train.learning_rate=0.002", "train.layer_decay=1")
LINKED = ("requirements.lock", "requirements-cuda.lock", "weights.lock", ".bitbloom/weights")


@dataclass(frozen=True)
class Case:
    """One row: a target with overrides, in a group whose first row is the training without the option."""

    group: str
    name: str
    target: str
    overrides: tuple[str, ...]


CASES = (
    Case("lora", "all weights", "tweets", ("train.epochs=3",)),
    Case("lora", "rank 16", "tweets", ("train.epochs=3", *ADAPTED)),
    Case("checkpointing", "batch of 1,024", "petals", WIDE),
    Case("checkpointing", "with checkpointing", "petals", (*WIDE, "train.checkpointing=true")),
    Case("precision", "numerics=fast, fp32", "petals", (*FAST, "train.precision=fp32")),
    Case("precision", "numerics=fast, bf16", "petals", (*FAST, "train.precision=bf16")),
)


def measure(case: Case, steps: int | None) -> dict[str, Any]:
    """Train one case in a process of its own."""
    tree = composition.compose(case.target, (*case.overrides, *([f"train.max_steps={steps}"] if steps else [])))
    if not Path(f"data/processed/{case.target}").exists():
        build.build(case.target, "prepare")
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        for path in (*LINKED, f"data/processed/{case.target}"):
            if Path(path).exists():
                (place / path).parent.mkdir(parents=True, exist_ok=True)
                (place / path).symlink_to(Path(path).resolve())
        canonical.write_text(place / params_path(case.target), composition.yaml_text(tree))
        variables = os.environ | pins.environment(str(tree.numerics.profile)) | {"WORKERS": "1"}
        command = [sys.executable, str(Path(__file__).resolve()), "--run", case.target]
        done = subprocess.run(command, cwd=place, env=variables, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {"group": case.group, "case": case.name, **measured}


def run(name: str) -> dict[str, Any]:
    """Train in this process, and return what it took."""
    from bitbloom.stages import train
    from bitbloom.training import inference

    target = Target.load(name, train.READS)
    start = time.monotonic(), time.process_time()
    train.run(target)
    taken = time.monotonic() - start[0], time.process_time() - start[1]
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    task = tasks.model(target.task)
    trained = inference.load(target, task)
    scores = task.score(trained.outputs("test"), trained.dataset.take(trained.dataset.split("test")))
    return {
        "accuracy": scores["accuracy"],
        "seconds": taken[0],
        "cpu_seconds": taken[1],
        "peak_mib": int(peak.split()[1]) >> 10,
        "steps": canonical.read_json(target.models / "training.json")["steps"],
        "sha256": file_digest(target.models / "model.safetensors")[:12],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=sorted({case.group for case in CASES}), help="one option")
    parser.add_argument("--steps", type=int, help="end each training after this number of steps: for time and memory alone")
    parser.add_argument("--json", type=Path, help="write the rows there")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(run(options.run)))
        return
    rows = [measure(case, options.steps) for case in CASES if options.only in (None, case.group)]
    table = Table("option", "training", "steps", "accuracy", "s", "CPU s", "MiB", "weights")
    for row in rows:
        numbers = (f"{row['accuracy']:.4f}", f"{row['seconds']:.1f}", f"{row['cpu_seconds']:.1f}", str(row["peak_mib"]))
        table.add_row(row["group"], row["case"], str(row["steps"]), *numbers, row["sha256"])
    Console(width=120).print(table)
    if options.json:
        canonical.write_json(options.json, rows)


if __name__ == "__main__":
    checkout.require()
    main()
