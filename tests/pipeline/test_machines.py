"""The workers of torchrun agree on the newest checkpoint and on a power of two before a training starts."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from bitbloom.core.digests import folder_files
from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import machines
from support.standin import free_port

TARGET = SimpleNamespace(numerics=SimpleNamespace(micro_batches=8))


def checkpoint(folder: Path, step: int) -> None:
    """A checkpoint whose files say its step, one of them of several chunks."""
    (folder / f"step-{step:08d}").mkdir(parents=True)
    (folder / f"step-{step:08d}/state.json").write_text(str(step))
    (folder / f"step-{step:08d}/state.safetensors").write_bytes(bytes(range(100)) * step)
    (folder / f"step-{step:08d}/empty").touch()


def machine(folder: Path, rank: int, world: int, port: int, digest: str, says: Callable[[str], None]) -> None:
    """One worker of torchrun, whose stage says what it got."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ.pop(machines.AGENT_STORE, None)
    machines.CHUNK = 64

    def run(_: object) -> None:
        newest = max(path.name for path in (folder / ".bitbloom/checkpoints" / digest).iterdir()) if rank == 0 else ""
        says(f"{os.environ['RANK']} of {os.environ['WORLD_SIZE']} {newest}")

    stage = SimpleNamespace(inputs_digest=lambda _: digest, run=run)
    with contextlib.chdir(folder):
        try:
            machines.run(stage, TARGET)
        except BitBloomError as error:
            says(str(error))


def run(tmp_path: Path, steps: Sequence[int], digests: Sequence[str] = ()) -> list[str]:
    """Run a machine for each newest step, 0 without a checkpoint. Returns what their stages say."""
    context, port = multiprocessing.get_context("fork"), free_port()
    said = context.SimpleQueue()
    processes = []
    for rank, step in enumerate(steps):
        digest = digests[rank] if digests else "digest"
        (tmp_path / str(rank)).mkdir()
        if step:
            checkpoint(tmp_path / str(rank) / ".bitbloom/checkpoints" / digest, step)
        arguments = (tmp_path / str(rank), rank, len(steps), port, digest, said.put)
        processes.append(context.Process(target=machine, args=arguments))
        processes[-1].start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    found = []
    while not said.empty():
        found.append(said.get())
    return sorted(found)


@pytest.mark.parametrize(
    ("steps", "newest", "workers"),
    [((4, 8), 8, 2), ((8, 4), 8, 2), ((0, 3, 2), 3, 2), ((1, 2, 0, 9, 5), 9, 4)],
    ids=["another has it", "the first has it", "three machines", "a machine that waits"],
)
def test_first_worker_gets_the_newest_checkpoint(tmp_path, steps, newest, workers):
    found = run(tmp_path, steps)
    assert found == [f"0 of {workers} step-{newest:08d}", *(f"{rank} of {workers} " for rank in range(1, workers))]
    name = f".bitbloom/checkpoints/digest/step-{newest:08d}"
    got, sent = (folder_files(tmp_path / str(rank) / name) for rank in (0, steps.index(newest)))
    assert {file: path.read_bytes() for file, path in got.items()} == {file: path.read_bytes() for file, path in sent.items()}


def test_rejects_machines_with_other_inputs(tmp_path):
    found = run(tmp_path, (0, 0), ("one", "two"))
    assert found == ["the machines have other code, data or configuration: check out one commit, and `make prepare`"] * 2
