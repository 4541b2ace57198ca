"""Engines: Hydra and Ray give the history of local processes; W&B's agent runs a trial from wandb.config."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.sweep import engines, local, space, wandb_engine
from bitbloom.experiments.sweep.run import Sweep
from bitbloom.experiments.sweep.study import Task
from bitbloom.numerics import pins
from support import sweeps
from support.processes import still_running
from support.sweeps import SPACE, begun
from support.tiny import OVERRIDES, REPOSITORY, STORED, dataset
from support.wandb_standin import KEY, Server

GIVEN = {
    "target": "petals-tiny",
    "trials": 2,
    "generation": 2,
    "sampler": "random",
    "set": [*OVERRIDES, "train.epochs=2"],
    "parameters": {"train.learning_rate": {"log": [0.001, 0.01]}, "train.weight_decay": {"float": [0.0, 0.2], "step": 0.1}},
}


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A checkout's files, with prepared data that a search began with."""
    monkeypatch.chdir(tmp_path)
    sweeps.write(tmp_path, GIVEN)
    begun()
    return tmp_path


def environment() -> dict[str, str]:
    own = {
        "WORKERS": "1",
        "PYTHONPATH": str(REPOSITORY / "src"),
        "RAY_DISABLE_MEMORY_MONITOR": "1",
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | pins.environment("portable") | own | {"PATH": path}


def search(engine: str) -> bytes:
    """Run the search anew with an engine, and return its history."""
    folder = Path(".bitbloom/sweeps/small")
    shutil.rmtree(folder / "trials", ignore_errors=True)
    (folder / "history.jsonl").unlink(missing_ok=True)
    command = [sys.executable, "-m", "bitbloom", "sweep", "run", str(SPACE), "--engine", engine]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return (folder / "history.jsonl").read_bytes()


@pytest.mark.slow
def test_hydra_gives_the_history_of_local_processes(workspace):
    expected = search("local")
    assert expected.count(b'"state": "complete"') == 2
    assert search("hydra") == expected


@pytest.mark.slow
def test_ray_gives_the_history_of_local_processes_after_a_process_is_lost(workspace):
    expected = search("local")
    folder = Path(".bitbloom/sweeps/small")
    shutil.rmtree(folder / "trials")
    (folder / "history.jsonl").unlink()
    command = [sys.executable, "-m", "bitbloom", "sweep", "run", str(SPACE), "--engine", "ray"]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        trainer = first_trainer(process)
        family = psutil.Process(process.pid).children(recursive=True)
        commands = [command for one in family for command in commands_of(one)]
        addresses = {address for one in family for address in listening(one)}
        trainer.parent().kill()  # the Ray worker that started it
        trainer.kill()
        output = process.communicate()[0]
    assert addresses <= {"127.0.0.1", "::ffff:127.0.0.1"}
    assert any("raylet" in command for command in commands)
    assert not any("/tmp/ray/session" in command for command in commands)  # Ray's own choice, which users share
    assert still_running(family, 60) == []
    assert process.returncode == 0, output
    assert (folder / "history.jsonl").read_bytes() == expected


@pytest.mark.slow
def test_killed_search_takes_its_multirun_with_it(workspace):
    shutil.rmtree(".bitbloom/sweeps/small/trials", ignore_errors=True)
    command = [sys.executable, "-m", "bitbloom", "sweep", "run", str(SPACE), "--engine", "hydra"]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        first_trainer(process)
        family = psutil.Process(process.pid).children(recursive=True)
        assert any("hydra_engine" in command for one in family for command in commands_of(one))
        process.kill()
        assert still_running(family, 10) == []


def first_trainer(process: subprocess.Popen[str]) -> psutil.Process:
    """Wait for the first process that trains in this folder."""
    while process.poll() is None:
        for other in psutil.process_iter():
            command = commands_of(other)
            if "bitbloom.experiments.sweep.trial" in command and str(Path.cwd()) in " ".join(command):
                return other
        time.sleep(0.1)
    raise AssertionError(process.communicate()[0])


def commands_of(process: psutil.Process) -> list[str]:
    """The command line of a process that may have ended."""
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


def listening(process: psutil.Process) -> set[str]:
    """The addresses on which a process accepts connections."""
    with contextlib.suppress(psutil.Error):
        return {each.laddr.ip for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN}
    return set()


def test_wandb_configuration_has_every_range(tmp_path):
    given = GIVEN | {"sampler": "tpe", "pruner": {"kind": "hyperband", "first": 2}}
    given["parameters"] = GIVEN["parameters"] | {"model.layers": {"int": [1, 3]}, "augment": {"choice": ["garden", "strong"]}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(given))
    found = wandb_engine.config(space.read(tmp_path / "mine.yaml"), "mine", Path("conf/sweep/mine.yaml"))
    assert found["method"] == "bayes"
    assert found["metric"] == {"name": "val_accuracy", "goal": "maximize"}
    assert found["early_terminate"] == {"type": "hyperband", "min_iter": 2, "eta": 3}
    assert found["parameters"] == {
        "augment": {"values": ["garden", "strong"]},
        "model.layers": {"distribution": "int_uniform", "min": 1, "max": 3},
        "train.learning_rate": {"distribution": "log_uniform_values", "min": 0.001, "max": 0.01},
        "train.weight_decay": {"values": [0.0, 0.1, 0.2]},
    }
    assert found["command"][:4] == ["bitbloom", "sweep", "trial", "conf/sweep/mine.yaml"]


class SweepServer(Server):
    """The stand-in, with a sweep that gives one run to its agent."""

    def __init__(self, config: dict[str, object]) -> None:
        self.config, self.commands = config, [self.run()]
        super().__init__()

    def run(self) -> dict[str, object]:
        values = {"train.learning_rate": {"value": 0.005}, "train.weight_decay": {"value": 0.1}}
        return {"id": "c1", "type": "run", "run_id": "run1", "program": str(SPACE), "args": values}

    def data(self, name: str, given: dict[str, object]) -> dict[str, object]:
        if name == "SweepWithRuns":
            text = yaml.safe_dump(self.config)
            found = {"id": "1", "name": "sweep1", "method": "bayes", "state": "RUNNING", "config": text, "runs": {"edges": []}}
            return {"project": {"sweep": found}}
        if name == "CreateAgent":
            return {"createAgent": {"agent": {"id": "agent1"}}}
        if name == "Heartbeat":
            commands = self.commands or [{"id": "c2", "type": "exit"}] if "run1" not in str(given) else []
            self.commands = []
            return {"agentHeartbeat": {"agent": {"id": "agent1"}, "commands": json.dumps(commands)}}
        return super().data(name, given)


@pytest.mark.slow
def test_wandb_agent_runs_a_trial_with_the_bytes_of_a_local_one(workspace):
    sweep = Sweep(SPACE)
    config = yaml.safe_load(wandb_engine.write(sweep, SPACE).read_text())
    server = SweepServer(config)
    try:
        own = {
            "WANDB_BASE_URL": server.url,
            "WANDB_API_KEY": KEY,
            "WANDB_DIR": str(workspace / "wandb-files"),
            "WANDB_SILENT": "true",
        }
        Path(own["WANDB_DIR"]).mkdir()
        command = ["wandb", "agent", "--count", "1", "me/bitbloom/sweep1"]
        done = subprocess.run(command, env=environment() | own, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        assert [row["val_accuracy"] for row in server.rows if "val_accuracy" in row], (
            done.stdout,
            done.stderr,
            server.operations,
        )
    finally:
        server.close()
    trial = [
        sys.executable,
        "-m",
        "bitbloom",
        "sweep",
        "trial",
        str(SPACE),
        "train.learning_rate=0.005",
        "train.weight_decay=0.1",
    ]
    by_agent = json.loads(subprocess.check_output(trial, env=environment()))
    shutil.rmtree(sweep.folder / "trials")
    assert json.loads(subprocess.check_output(trial, env=environment())) == by_agent
    assert by_agent["sha256"].keys() >= {"model.safetensors", "training.json"}


def test_names_an_unknown_engine_and_a_missing_value(workspace):
    with pytest.raises(BitBloomError, match="engine 'slurm' is none of local, ray, hydra, wandb, vertex"):
        engines.executor("slurm")
    with pytest.raises(BitBloomError, match=r"no value for train.weight_decay"):
        Sweep(SPACE).one({"train.learning_rate": 0.1})
    with pytest.raises(BitBloomError, match=r"has no parameter 'train.seed'"):
        Sweep(SPACE).space.values(["train.seed=3"])


def test_rejects_other_data_and_another_space_in_the_folder_of_a_search(workspace):
    changed = GIVEN | {"seed": 7}
    SPACE.write_text(yaml.safe_dump(changed))
    sweep = Sweep(SPACE)
    sweep.workspaces.keep(sweep.tree, Path())
    with pytest.raises(BitBloomError, match=r"has trials with other seed: .* rm -r .bitbloom/sweeps/small"):
        sweep.begin()
    SPACE.write_text(yaml.safe_dump(GIVEN | {"trials": 5}))  # a longer search goes on
    sweep = Sweep(SPACE)
    sweep.begin()
    dataset(samples=72, side=STORED).save(Path("data/processed/petals-tiny"))
    sweep = Sweep(SPACE)
    sweep.workspaces.keep(sweep.tree, Path())
    with pytest.raises(BitBloomError, match="other data"):
        sweep.begin()


@pytest.mark.parametrize(
    ("code", "attempt", "message"),
    [
        (1, 1, r"trial 3 \(a=1\): no such folder; .*log.txt"),
        (-9, 3, "killed 3 times, by SIGKILL; with too little memory"),
        (255, 3, "killed 3 times, with its server"),
        (-9, 2, ""),
        (255, 1, ""),
    ],
)
def test_killed_process_starts_again_and_a_failed_one_is_named(tmp_path, code, attempt, message):
    (tmp_path / "log.txt").write_text("warning\nerror: no such folder\n\n")
    task = Task(3, ("a=1",), None)
    expected = pytest.raises(BitBloomError, match=message) if message else contextlib.nullcontext()
    with expected:
        local.require_killed(code, task, attempt, tmp_path / "log.txt")
