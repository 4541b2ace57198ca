"""Reproducible training: equal code, config and data give equal bytes in any environment."""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest
import torch

from bitbloom.core import canonical, cpu, imports
from bitbloom.numerics import machine, pins
from bitbloom.training import loop
from support.tiny import write_workspace

TRAIN = ("-m", "bitbloom.stages.train", "petals-tiny")
OUTPUTS = ("model.safetensors", "ledger.jsonl", "config.json", "training.json")
SECONDS_TO_A_CHECKPOINT = 60


def variables(workers: int = 1, **more: str) -> dict[str, str]:
    """Return an environment with pins and a number of workers."""
    return os.environ | pins.environment("portable") | {"WORKERS": str(workers)} | more


def train(workspace: Path, *command: str, **environment: str) -> str:
    """Run the train stage to its end; return its output."""
    arguments = command or (sys.executable, *TRAIN)
    done = subprocess.run(arguments, cwd=workspace, env=environment or variables(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def outputs(workspace: Path) -> dict[str, bytes]:
    return {name: (workspace / "models/petals-tiny" / name).read_bytes() for name in OUTPUTS}


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """Return the bytes of a run with one worker."""
    workspace = write_workspace(tmp_path_factory.mktemp("once"))
    train(workspace)
    return outputs(workspace)


@pytest.fixture
def workspace(tmp_path):
    return write_workspace(tmp_path / "workspace")


@pytest.mark.parametrize("workers", [2, *(pytest.param(count, marks=pytest.mark.slow) for count in (4, 8))])
def test_bytes_do_not_depend_on_number_of_workers(once, workspace, workers):
    train(workspace, **variables(workers))
    assert outputs(workspace) == once


@pytest.mark.slow
def test_bytes_do_not_depend_on_folder_and_environment(once, tmp_path):
    workspace = write_workspace(tmp_path / "a longer name, with spaces" / "and depth")
    other = {
        "PYTHONHASHSEED": "77",
        "TZ": "Asia/Kathmandu",
        "LANG": "C",
        "LC_ALL": "C",
        "USER": "somebody",
        "HOME": str(tmp_path),
    }
    train(workspace, **variables(**other))
    assert outputs(workspace) == once


def other_patch_release() -> str | None:
    """Return another Python 3.11 of this machine with another patch release, or None."""
    folders = [Path("/usr/bin"), Path("/usr/local/bin"), *Path.home().glob(".pyenv/versions/3.11.*/bin")]
    for python in (str(folder / "python3.11") for folder in folders if (folder / "python3.11").exists()):
        found = subprocess.check_output([python, "-c", "import platform; print(platform.python_version())"], text=True).strip()
        if found.startswith("3.11.") and found != platform.python_version():
            return python
    return None


@pytest.mark.slow
@pytest.mark.skipif(not other_patch_release(), reason="needs another patch release of Python 3.11: apt-get install python3.11")
def test_bytes_do_not_depend_on_patch_release_of_python(once, workspace):
    packages = os.pathsep.join([str(imports.ROOT), sysconfig.get_paths()["purelib"]])
    train(workspace, str(other_patch_release()), *TRAIN, **variables(PYTHONPATH=packages))
    assert outputs(workspace) == once


@pytest.mark.slow
def test_restarts_without_pins(once, workspace):
    bare = {key: value for key, value in variables().items() if key not in pins.environment("portable")}
    train(workspace, **bare, OMP_NUM_THREADS="3")
    assert outputs(workspace) == once


@pytest.mark.slow
def test_torchrun_gives_same_bytes(once, workspace):
    train(workspace, sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *TRAIN)
    assert outputs(workspace) == once


@pytest.mark.slow
def test_killed_run_resumes_with_another_number_of_workers(once, workspace):
    kill_after_a_checkpoint(workspace, workers=2)
    assert not (workspace / "models").exists()
    assert "resuming at step" in train(workspace)
    assert outputs(workspace) == once
    assert not any((workspace / ".bitbloom/checkpoints").iterdir())


def kill_after_a_checkpoint(workspace: Path, workers: int) -> None:
    """Start a training and kill all its processes as soon as a checkpoint exists."""
    command = [sys.executable, *TRAIN]
    process = subprocess.Popen(command, cwd=workspace, env=variables(workers), stdout=subprocess.DEVNULL, start_new_session=True)
    end = time.monotonic() + SECONDS_TO_A_CHECKPOINT
    while not any(workspace.glob(".bitbloom/checkpoints/*/step-*")):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


@pytest.mark.slow
def test_two_machines_resume_from_checkpoint_of_one(once, workspace, tmp_path):
    kill_after_a_checkpoint(workspace, workers=2)
    other = write_workspace(tmp_path / "other machine")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        meeting = ["--master-addr", "127.0.0.1", "--master-port", str(probe.getsockname()[1])]
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", *meeting]
    second = subprocess.Popen([*command, "--node-rank", "1", *TRAIN], cwd=other, env=variables())
    assert "resuming at step" in train(workspace, *command, "--node-rank", "0", *TRAIN)
    assert second.wait() == 0
    assert outputs(workspace) == once
    assert not (other / "models").exists()


@pytest.mark.slow
def test_ignores_checkpoint_of_other_inputs(once, workspace):
    kill_after_a_checkpoint(workspace, workers=1)
    (workspace / "requirements.lock").write_text("torch==0.0.0\n")
    assert "resuming" not in train(workspace)
    assert outputs(workspace) == once


def test_outputs_have_no_names_of_the_machine(once, workspace):
    for name, data in once.items():
        for word in (str(workspace.parent), sys.prefix, "/tmp", os.uname().nodename):
            assert word.encode() not in data, name


def test_ledger_has_canonical_line_per_step(once):
    lines = once["ledger.jsonl"].decode().splitlines(keepends=True)
    parsed = [json.loads(line) for line in lines]
    assert [line["step"] for line in parsed] == list(range(len(lines)))
    assert "".join(canonical.json_line(line) for line in parsed).encode() == once["ledger.jsonl"]
    assert len({line["weights"] for line in parsed}) == len(lines)


def train_as(profile: str, folder: Path, workers: int) -> dict[str, bytes]:
    """Return the bytes of a training in another profile."""
    workspace = write_workspace(folder, (f"numerics={profile}",))
    train(workspace, **(os.environ | pins.environment(profile) | {"WORKERS": str(workers)}))
    return outputs(workspace)


@pytest.mark.parametrize(
    ("profile", "sets", "wanted"),
    [
        ("portable", ["avx2", "avx512_bf16"], "32-true"),
        ("fast", ["avx2", "avx512_f"], "32-true"),
        ("fast", ["avx2", "avx512_bf16"], "bf16-mixed"),
        ("fast", ["avx2", "amx_bf16"], "bf16-mixed"),
        ("cuda", ["avx2"], "bf16-mixed"),
    ],
)
def test_uses_bf16_only_on_suitable_machines(profile, sets, wanted, monkeypatch):
    monkeypatch.setattr(machine, "instruction_sets", lambda: sets)
    assert loop.precision(profile) == wanted


@pytest.mark.slow
def test_fast_profile_is_reproducible_on_one_kind_of_cpu(once, tmp_path):
    first = train_as("fast", tmp_path / "first", workers=1)
    assert train_as("fast", tmp_path / "second", workers=2) == first
    if loop.precision("fast") != loop.precision("portable"):
        assert first["model.safetensors"] != once["model.safetensors"]
    assert json.loads(first["training.json"])["machine"] == machine.kind("fast")
    assert "machine" not in json.loads(once["training.json"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU and the venv of ACCEL=cuda")
def test_cuda_profile_is_reproducible_on_one_kind_of_gpu(tmp_path):
    first = train_as("cuda", tmp_path / "first", workers=1)
    assert train_as("cuda", tmp_path / "second", workers=1) == first
    assert json.loads(first["training.json"])["machine"] == torch.cuda.get_device_name()


ECHO = "import os, sys; from bitbloom.numerics import pins; pins.require('portable'); print(os.environ['MKL_CBWR'], sys.argv[1:])"


def test_restart_keeps_arguments():
    bare = {key: value for key, value in os.environ.items() if key not in pins.environment("portable")}
    done = subprocess.run([sys.executable, "-c", ECHO, "a b", "c"], env=bare, capture_output=True, text=True, check=True)
    assert done.stdout == "AVX2,STRICT ['a b', 'c']\n"


def test_does_not_restart_with_pins(monkeypatch):
    for key, value in pins.environment("portable").items():
        monkeypatch.setenv(key, value)
    started: list[tuple[object, ...]] = []
    monkeypatch.setattr(os, "execve", lambda *call: started.append(call))
    pins.require("portable")
    assert started == []


def test_rejects_cpu_without_avx2(monkeypatch):
    monkeypatch.setattr(cpu, "flags", lambda: {"sse2"})
    with pytest.raises(pins.BitBloomError, match="needs a CPU with AVX2"):
        pins.require("portable")


def test_rejects_unknown_profile_and_lists_profiles():
    with pytest.raises(pins.BitBloomError, match="'quick' is none of portable, fast, cuda"):
        pins.require("quick")
