"""A training of `petals-tiny` that loses and gains workers ends with the expected weights."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from bitbloom.core.digests import file_digest
from bitbloom.numerics import pins
from support.standin import free_port
from support.tiny import REPOSITORY

pytestmark = pytest.mark.slow
NAME = "petals-tiny"
STAGE = ("-m", "bitbloom.pipeline.elastic", "bitbloom.stages.train", NAME)
OUTPUTS = [f"models/{NAME}/{name}" for name in ("model.safetensors", "ledger.jsonl", "config.json", "training.json")]
SECONDS = 180
QUICK = "last_call_timeout=8,keep_alive_interval=1,keep_alive_max_attempt=3"
"""Rendezvous in seconds instead of a minute."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the stages before training have run."""
    folder = tmp_path_factory.mktemp("prepared")
    for name in ("params", "requirements.lock", "weights.lock"):
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy
        copy(REPOSITORY / name, folder / name)
    for stage in ("ingest", "prepare"):
        subprocess.run([sys.executable, "-m", f"bitbloom.stages.{stage}", NAME], cwd=folder, env=variables(), check=True)
    return folder


@pytest.fixture
def machine(prepared: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A function that makes the folder of a machine, with the prepared data."""

    def make(name: str) -> Path:
        return Path(shutil.copytree(prepared, tmp_path / name))

    return make


def variables(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("TORCHELASTIC", "WORKERS", "COV_"))}
    return kept | pins.environment("portable") | {"PYTHONPATH": str(REPOSITORY / "src")} | more


def check_outputs(folder: Path) -> None:
    """Compare with the committed digests."""
    expected = json.loads((REPOSITORY / f"digests/{NAME}.json").read_text())
    assert {name: file_digest(folder / name) for name in OUTPUTS} == {name: expected[name]["sha256"] for name in OUTPUTS}
    assert not any((folder / ".bitbloom/checkpoints").iterdir())


def newest(folder: Path) -> int:
    """The step of the newest checkpoint in a machine's folder, 0 without one."""
    return max((int(path.name.partition("-")[2]) for path in folder.glob(".bitbloom/checkpoints/*/step-*")), default=0)


def wait_for(condition: Callable[[], object], processes: Sequence[subprocess.Popen[bytes]]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert all(process.poll() is None for process in processes)
        assert time.monotonic() < end
        time.sleep(0.005)


@contextmanager
def started(folder: Path, log: Path, *command: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in a session of its own, which ends with the block."""
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=folder, env=variables(**more), stdout=stream, stderr=stream, start_new_session=True
        )
    try:
        yield process
    finally:
        for one in family(process):
            one.kill()
        process.wait()


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """A process and its children, of which torchrun starts each in a session of its own."""
    try:
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def of_stage(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The workers of an agent."""
    return [one for one in family(process)[1:] if "bitbloom.pipeline.elastic" in " ".join(one.cmdline())]


def test_own_workers_continue_when_one_is_lost(machine, tmp_path):
    folder, log = machine("one"), tmp_path / "log"
    with started(folder, log, *STAGE, WORKERS="2") as process:
        wait_for(lambda: newest(folder), [process])
        workers = [one for one in family(process)[1:] if "spawn_main" in " ".join(one.cmdline())]
        assert len(workers) == 1
        workers[0].kill()
        assert process.wait(SECONDS) == 0, log.read_text()
    assert "a worker was lost (SIGKILL): training continues from its last checkpoint with WORKERS=1" in log.read_text()
    assert "resuming at step" in log.read_text()
    check_outputs(folder)


def agent(meeting: str, holds: bool) -> list[str]:
    """A command of torchrun on one machine; one of them holds the store of the rendezvous, and is not lost."""
    rendezvous = ["--rdzv-backend", "c10d", "--rdzv-endpoint", meeting, "--rdzv-conf", f"{QUICK},is_host={int(holds)}"]
    elastic = ["--nnodes", "1:2", "--max-restarts", "3", "--rdzv-id", "job", "--local-addr", "127.0.0.1"]
    return ["-m", "torch.distributed.run", *elastic, *rendezvous, *STAGE]


def test_machines_of_torchrun_are_lost_and_added(machine, tmp_path):
    meeting = f"127.0.0.1:{free_port()}"
    more = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", "LOGLEVEL": "INFO"}
    first, second, third = (machine(name) for name in ("first", "second", "third"))
    logs = {name: tmp_path / f"{name}.log" for name in ("first", "second", "third")}
    with started(first, logs["first"], *agent(meeting, True), **more) as stays:
        with started(second, logs["second"], *agent(meeting, False), **more) as lost:
            wait_for(lambda: "global_world_sizes=[2]" in logs["first"].read_text(), [stays, lost])
            before = max(newest(first), newest(second))
            wait_for(lambda: max(newest(first), newest(second)) > before, [stays, lost])
            for one in reversed(family(lost)):
                one.kill()
        done = newest(first)
        wait_for(lambda: newest(first) > done, [stays])
        alone = of_stage(stays)
        for one in alone:
            one.suspend()  # so that the training does not end before the third machine joins
        with started(third, logs["third"], *agent(meeting, False), **more) as added:
            wait_for(lambda: "new nodes from group_rank" in logs["first"].read_text(), [stays, added])
            for one in alone:
                one.resume()
            assert (stays.wait(SECONDS), added.wait(SECONDS)) == (0, 0), logs["first"].read_text() + logs["third"].read_text()
    (trained,) = (folder for folder in (first, third) if (folder / "models").exists())  # the first worker has the outputs
    check_outputs(trained)
    assert "resuming at step" in logs["first"].read_text() + logs["third"].read_text()
