"""deploy/train.py: the ranks of machines, and equal bytes from several machines."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import train

from bitbloom.config.sections.numerics import Numerics
from bitbloom.core import cpu
from bitbloom.core.errors import BitBloomError
from bitbloom.numerics import pins
from support.commands import REPOSITORY
from support.standin import free_port
from support.tiny import OVERRIDES, write_workspace

SHORT = ("train.epochs=2",)
OUTPUTS = ("model.safetensors", "ledger.jsonl", "config.json", "training.json")


def vertex(kind: str, index: int, first: str = "first-0:2222") -> dict[str, str]:
    """The variables of Vertex AI for one of four machines."""
    spec = {
        "cluster": {"workerpool0": [first], "workerpool1": ["more-0:2222", "more-1:2222", "more-2:2222"]},
        "environment": "cloud",
        "task": {"type": kind, "index": index},
    }
    return {"CLUSTER_SPEC": json.dumps(spec)}


def kubeflow(rank: int, machines: int = 2, **more: str) -> dict[str, str]:
    return {"MASTER_ADDR": "job-master-0", "MASTER_PORT": "23456", "WORLD_SIZE": str(machines), "RANK": str(rank)} | more


def test_trains_on_one_machine():
    assert train.place({}) == train.Place()
    assert train.command(train.Place(), 1, "petals") == [sys.executable, "-m", "bitbloom.stages.train", "petals"]
    assert train.command(train.Place(), 4, "petals")[1:] == [
        *["-m", "torch.distributed.run", "--nnodes", "1", "--node-rank", "0", "--nproc-per-node", "4", "--standalone"],
        *["-m", "bitbloom.stages.train", "petals"],
    ]


def test_reads_ranks_of_vertex_ai():
    assert train.place(vertex("workerpool0", 0)) == train.Place(4, 0, "first-0", "2222")
    assert [train.place(vertex("workerpool1", index)).rank for index in range(3)] == [1, 2, 3]
    alone = {"CLUSTER_SPEC": json.dumps({"cluster": {"workerpool0": ["a:2222"]}, "task": {"type": "workerpool0", "index": 0}})}
    assert train.place(alone) == train.Place(1, 0, "a", "2222")


def test_reads_ranks_of_kubeflow_and_azure():
    assert train.place(kubeflow(1)) == train.Place(2, 1, "job-master-0", "23456")
    elastic = kubeflow(4, 8, PET_NNODES="2", PET_NODE_RANK="1")  # with several processes on a machine, RANK counts processes
    assert train.place(elastic) == train.Place(2, 1, "job-master-0", "23456")


@pytest.mark.parametrize(
    ("machines", "cores", "workers"), [(1, 1, 1), (1, 6, 4), (1, 64, 8), (2, 8, 4), (2, 3, 2), (4, 16, 2), (8, 8, 1)]
)
def test_workers_are_a_power_of_two_within_cores_and_micro_batches(machines, cores, workers):
    assert train.processes(machines, Numerics(), cores) == workers


def test_workers_default_to_the_cores(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(cpu, "cores", lambda: 3)
    monkeypatch.setattr(train, "processes", lambda *arguments: calls.append(arguments) or sys.exit())
    monkeypatch.chdir(tmp_path)
    for more in ({}, {"WORKERS": "5"}):
        with pytest.raises(SystemExit):
            train.main({"TARGET": "petals-tiny", "WORKSPACE": str(tmp_path)} | more)
    assert [most for _, _, most in calls] == [3, 5]


@pytest.mark.parametrize(
    ("machines", "numerics", "message"),
    [(3, Numerics(), "3 machines: use a power of two"), (16, Numerics(), "8 at most"), (2, Numerics("cuda"), "one GPU")],
)
def test_rejects_machines_that_cannot_train_together(machines, numerics, message):
    with pytest.raises(BitBloomError, match=message):
        train.processes(machines, numerics, 4)


def test_gpu_has_one_process():
    assert train.processes(1, Numerics("cuda"), 16) == 1


def start(folder, processed, **more: str) -> subprocess.Popen[str]:
    """Start one machine of a job with prepared data and its output in a folder."""
    names = {"TARGET": "petals-tiny", "SET": " ".join((*OVERRIDES, *SHORT)), "PROCESSED": str(processed), "WORKERS": "1"}
    places = {"WORKSPACE": str(folder / "work"), "OUTPUT": str(folder / "output")}
    kept = {name: os.environ[name] for name in ("HOME", "PATH")}
    command = [sys.executable, str(REPOSITORY / "deploy/train.py")]
    environment = kept | names | places | {"GLOO_SOCKET_IFNAME": "lo"} | more
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A workspace after a training with one worker."""
    workspace = write_workspace(tmp_path_factory.mktemp("once") / "workspace", SHORT)
    stage = [sys.executable, "-m", "bitbloom.stages.train", "petals-tiny"]
    environment = os.environ | pins.environment("portable") | {"WORKERS": "1"}
    subprocess.run(stage, cwd=workspace, env=environment, check=True, capture_output=True)
    return workspace


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["vertex-ai", "kubeflow"])
def test_two_machines_give_the_bytes_of_one(once, tmp_path, platform):
    processed, port = once / "data/processed/petals-tiny", free_port()
    if platform == "kubeflow":
        variables = [kubeflow(rank) | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)} for rank in (0, 1)]
    else:
        cluster = {"workerpool0": [f"127.0.0.1:{port}"], "workerpool1": ["127.0.0.1:2222"]}
        tasks = [{"type": f"workerpool{rank}", "index": 0} for rank in (0, 1)]
        variables = [{"CLUSTER_SPEC": json.dumps({"cluster": cluster, "task": task})} for task in tasks]
    machines = [start(tmp_path / str(rank), processed, **names) for rank, names in enumerate(variables)]
    outputs = [machine.communicate(timeout=240)[0] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], "\n".join(outputs)
    assert "machine 1 of 2, 1 workers each" in outputs[0]
    for name in OUTPUTS:
        assert (tmp_path / "0/output" / name).read_bytes() == (once / "models/petals-tiny" / name).read_bytes(), name
    assert not (tmp_path / "1/output").exists()


@pytest.mark.parametrize("differs", [False, True], ids=["as expected", "different"])
def test_remote_gives_data_and_takes_results_with_the_expected_digests(tmp_path, monkeypatch, differs):
    calls = []

    def run(command, **_options):
        calls.append([word for word in command if word not in (sys.executable, "-m", "bitbloom")])
        if command[0] == "git":
            (tmp_path / "checkout/models/petals").mkdir(parents=True)
            (tmp_path / "checkout/models/petals/model.safetensors").write_bytes(b"weights")
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train.subprocess, "run", run)
    monkeypatch.setattr(train, "different", lambda *_: ["models/petals/model.safetensors"] if differs else [])
    job = {"REMOTE": "gs://flowers/dvc", "WORKSPACE": str(tmp_path), "OUTPUT": str(tmp_path / "out")}
    expected = [["git", "clone", "--quiet", str(REPOSITORY), str(tmp_path / "checkout")]]
    expected += [["remote", "gs://flowers/dvc"], ["build", "petals"]]
    if differs:
        with pytest.raises(BitBloomError, match=r"so nothing is pushed: models/petals/model.safetensors"):
            train.main(job)
    else:
        train.main(job)
        expected.append(["push", "petals"])
    assert calls == expected
    assert (tmp_path / "out/model.safetensors").read_bytes() == b"weights"


@pytest.mark.parametrize("more", [kubeflow(0), {"SET": "train.epochs=3"}], ids=["two machines", "overrides"])
def test_remote_is_for_one_machine_without_overrides(more):
    with pytest.raises(BitBloomError, match="REMOTE is for one machine without SET"):
        train.main({"REMOTE": "gs://flowers/dvc"} | more)


def test_finds_outputs_that_differ_from_the_expected_digests(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, text in (("a", "one"), ("b", "two"), ("c", "three")):
        path = tmp_path / "models/petals" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    digests = {"models/petals/a": {"sha256": train.file_digest(path.with_name("a"))}, "models/petals/b": {"sha256": "0" * 64}}
    (tmp_path / "digests").mkdir()
    (tmp_path / "digests/petals.json").write_text(json.dumps(digests))
    assert train.different("petals") == ["models/petals/b"]
    assert [line.split()[2] for line in capsys.readouterr().out.splitlines()] == ["as", "DIFFERENT", "no"]


@pytest.mark.slow
def test_job_trains_weights_with_the_expected_digests(tmp_path):
    """`petals-tiny` up to its weights, as a job on one machine."""
    machine = start(tmp_path, "", SET="", PROCESSED="", WORKERS="2")
    output, _ = machine.communicate(timeout=300)
    assert machine.returncode == 0, output
    assert output.count("as expected") == 4
    assert sorted(path.name for path in (tmp_path / "output").iterdir()) == sorted(OUTPUTS)
