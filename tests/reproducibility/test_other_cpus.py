"""Other CPUs: an emulated Intel Haswell, and with BITBLOOM_MANY_STEPS an AMD EPYC too, give the same bits as this machine.

QEMU's user mode emulates another CPU for one process (Debian: qemu-user). It takes minutes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bitbloom.ci.records import write as write_record
from bitbloom.core.digests import digest
from bitbloom.numerics import machine, pins, subset, trace
from bitbloom.pipeline import build, claim, composition, graph

pytestmark = [
    pytest.mark.emulated_cpu,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not shutil.which("qemu-x86_64"), reason="needs QEMU's user mode: apt-get install qemu-user"),
]
WORK = Path(__file__).parents[1] / "support/portable_work.py"
HERE = "here"
MANY_STEPS = "BITBLOOM_MANY_STEPS" in os.environ
"""Whether to compare more CPUs and steps: `make ci-emulated` does."""
CPUS = ("Haswell", "EPYC") if MANY_STEPS else ("Haswell",)
FEW = {"petals": ("numerics.micro_batches=1", "train.batch_size=8")}
MANY = {"petals": (), "tweets-tiny": (), "captions-tiny": ("numerics.micro_batches=2", "train.batch_size=32")}
STEPS = MANY if MANY_STEPS else FEW
"""Shipped configs for a training step, with overrides that keep the size of micro-batches."""
REBUILT = "petals-tiny"
SMALLER = (
    *("source.images=96", "gate.rows=[96,96]", "gate.class_rows=8", "prepare.image_size=64", "model.image_size=64"),
    *("numerics.micro_batches=2", "train.batch_size=16", "train.max_steps=2"),
)
STAGES = ("ingest", "prepare", "train")
"""Stages that draw, decode and compute."""


def run(cpu: str, *arguments: str, cwd: Path | None = None) -> None:
    """Run Python on an emulated CPU, or on the real one."""
    environment = os.environ | pins.environment("portable") | {"WORKERS": "1"}
    emulator = [] if cpu == HERE else ["qemu-x86_64", "-cpu", cpu]
    done = subprocess.run([*emulator, sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory) -> dict[str, Path]:
    """Do all work on each CPU, the real one and the emulated ones; return their folders."""
    folders = {cpu: workspace(tmp_path_factory.mktemp(cpu)) for cpu in (HERE, *CPUS)}
    for stage in ("ingest", "validate"):
        run(HERE, "-m", f"bitbloom.stages.{stage}", REBUILT, cwd=folders[HERE])
    for cpu in CPUS:
        shutil.copytree(folders[HERE] / "reports", folders[cpu] / "reports")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda cpu: run(cpu, str(WORK), str(folders[cpu]), json.dumps(STEPS), REBUILT, *STAGES), folders))
    return folders


def workspace(folder: Path) -> Path:
    """Create a workspace with the parameters of a smaller build."""
    for shared in build.SHARED:
        (folder / shared).symlink_to(Path(shared).resolve())
    params = folder / f"params/{REBUILT}.yaml"
    params.parent.mkdir()
    params.write_text(graph.HEADER + composition.yaml_text(composition.compose(REBUILT, list(SMALLER))))
    return folder


@pytest.fixture(scope="module")
def records(everywhere) -> dict[str, dict[str, trace.Record]]:
    """Return the records of all ops, by CPU and kind of work."""
    names = ("ops", *STEPS)
    return {cpu: {name: trace.read(folder / f"{name}.jsonl") for name in names} for cpu, folder in everywhere.items()}


@pytest.mark.parametrize("cpu", CPUS)
def test_portable_ops_have_same_results(records, cpu):
    assert_same(records[HERE]["ops"], records[cpu]["ops"])


def assert_same(here: trace.Record, there: trace.Record) -> None:
    assert len(here.lines) == len(there.lines)
    position = trace.first_difference(here.lines, there.lines)
    assert position is None, (here.lines[position], there.lines[position])


def test_compares_every_proven_op(records):
    compared = {line["op"] for name in ("ops", "petals") for line in records[HERE][name].lines}
    assert compared | {op.rstrip("_") for op in compared} >= subset.PROVEN


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("target", STEPS)
def test_training_step_has_same_ops_ledger_and_weights(records, target, cpu):
    here, there = records[HERE][target], records[cpu][target]
    assert_same(here, there)
    assert here.head["ledger"] == there.head["ledger"] != []


def test_data_and_weights_of_petals_tiny_have_same_bytes(everywhere):
    outputs = [path for path, stage in claim.artifacts(REBUILT).items() if stage in STAGES]
    made = {cpu: {path: digest(folder / path) for path in outputs} for cpu, folder in everywhere.items()}
    leave_records(made, everywhere)
    assert made == dict.fromkeys(made, made[HERE])


def leave_records(made: dict[str, dict[str, str]], folders: dict[str, Path]) -> None:
    """Write a record of each CPU's build to BITBLOOM_RECORDS, if it is set, for comparison with other machines."""
    if destination := os.environ.get("BITBLOOM_RECORDS"):
        for cpu, folder in folders.items():
            name = machine.cpu() if cpu == HERE else f"emulated {cpu}"
            ledger = folder / f"models/{REBUILT}/ledger.jsonl"
            write_record(Path(destination) / cpu, f"{REBUILT}, smaller", name, made[cpu], ledger)
