"""Other CPUs: the same bits on an emulated Intel Haswell and an emulated AMD EPYC as on this machine.

QEMU's user mode runs one process of another CPU (Debian: qemu-user). Both CPUs run at once, one a core, and each takes minutes.
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

from bitbloom import build, claim, config, graph
from bitbloom.ci import records
from bitbloom.numerics import machine, pins, subset, trace
from bitbloom.provenance.digests import digest

pytestmark = [
    pytest.mark.emulated_cpu,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not shutil.which("qemu-x86_64"), reason="needs QEMU's user mode: apt-get install qemu-user"),
]
WORK = Path(__file__).with_name("portable_work.py")
CPUS = ("Haswell", "EPYC")
HERE = "here"
FEWER_LAYERS = ("1", "model.weights=none", "model.layers=2")
FEWER_MICRO_BATCHES = ("1", "numerics.micro_batches=2", "train.batch_size=32")
STEPS = {
    "petals": ("1", "numerics.micro_batches=2", "train.batch_size=16"),
    "petals-folder": FEWER_LAYERS,
    "tweets": FEWER_LAYERS,
    "captions": FEWER_MICRO_BATCHES,
}
"""Shipped configs and how many of their steps are taken; some with fewer layers or micro-batches, all of the same shape."""
REBUILT = "petals-tiny"
STAGES = ("ingest", "prepare", "train")
"""Those that draw, decode and compute; the others mostly load libraries, which takes minutes each under emulation."""


def run(cpu: str, *arguments: str, cwd: Path | None = None, **variables: str) -> None:
    """Run Python on an emulated CPU, or on this one."""
    environment = os.environ | pins.environment("portable") | {"WORKERS": "1"} | variables
    emulator = [] if cpu == HERE else ["qemu-x86_64", "-cpu", cpu]
    done = subprocess.run([*emulator, sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory) -> dict[str, dict[str, trace.Record]]:
    """Records of all work by CPU and name: this machine and each emulated CPU, two at a time."""
    folders = {cpu: tmp_path_factory.mktemp(cpu) for cpu in (HERE, *CPUS)}
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda cpu: run(cpu, str(WORK), str(folders[cpu]), json.dumps(STEPS)), folders))
    return {cpu: {name: trace.read(folder / f"{name}.jsonl") for name in ("ops", *STEPS)} for cpu, folder in folders.items()}


@pytest.mark.parametrize("cpu", CPUS)
def test_every_op_of_the_portable_subset_has_the_same_results(everywhere, cpu):
    assert_same(everywhere[HERE]["ops"], everywhere[cpu]["ops"])


def assert_same(here: trace.Record, there: trace.Record) -> None:
    assert len(here.lines) == len(there.lines)
    position = trace.first_difference(here.lines, there.lines)
    assert position is None, (here.lines[position], there.lines[position])


def test_every_op_that_counts_as_proven_was_compared(everywhere):
    compared = {line["op"] for name in ("ops", "petals") for line in everywhere[HERE][name].lines}
    assert compared | {op.rstrip("_") for op in compared} >= subset.PROVEN


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("target", STEPS)
def test_training_steps_have_the_same_ops_ledger_and_weights(everywhere, target, cpu):
    here, there = everywhere[HERE][target], everywhere[cpu][target]
    assert_same(here, there)
    assert here.head["ledger"] == there.head["ledger"] != []


def test_data_and_weights_of_petals_tiny_are_the_same_bytes(tmp_path):
    places = {cpu: workspace(tmp_path / cpu) for cpu in (HERE, *CPUS)}
    for stage in ("ingest", "validate"):
        run(HERE, "-m", f"bitbloom.stages.{stage}", REBUILT, cwd=places[HERE])
    for cpu in CPUS:
        shutil.copytree(places[HERE] / "reports", places[cpu] / "reports")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(build_on, places, places.values()))
    outputs = [path for path, stage in claim.artifacts(REBUILT).items() if stage in STAGES]
    made = {cpu: {path: digest(place / path) for path in outputs} for cpu, place in places.items()}
    leave_records(made, places)
    assert made[HERE] == made["Haswell"] == made["EPYC"]


def leave_records(made: dict[str, dict[str, str]], places: dict[str, Path]) -> None:
    """Write a record of each CPU's build below BITBLOOM_RECORDS, if it is set, to be compared with other machines'."""
    if folder := os.environ.get("BITBLOOM_RECORDS"):
        for cpu, place in places.items():
            name = machine.cpu() if cpu == HERE else f"emulated {cpu}"
            ledger = place / f"models/{REBUILT}/ledger.jsonl"
            records.write(Path(folder) / cpu, f"{REBUILT}, data and two steps", name, made[cpu], ledger)


def workspace(place: Path) -> Path:
    """A workspace with the parameters of a build with two steps of training."""
    place.mkdir()
    for shared in build.SHARED:
        (place / shared).symlink_to(Path(shared).resolve())
    params = place / f"params/{REBUILT}.yaml"
    params.parent.mkdir()
    params.write_text(graph.HEADER + config.yaml_text(config.compose(REBUILT, ["train.max_steps=2"])))
    return place


def build_on(cpu: str, place: Path) -> None:
    """Run STAGES on a CPU."""
    for stage in STAGES:
        run(cpu, "-m", f"bitbloom.stages.{stage}", REBUILT, cwd=place)
