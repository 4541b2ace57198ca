"""Tracking: curves while a training runs, W&B's own settings, and builds that go on whatever happens to it."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import wandb
import yaml
from dvc.utils import serialize
from PIL import Image

from bitbloom.config.target import params_path
from bitbloom.core import canonical, checkout
from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import build as pipeline
from bitbloom.pipeline import composition, graph, lineage, live
from bitbloom.pipeline.tracking import copies, follower, process, results, run
from support import tiny
from support.standin import free_port
from support.wandb_standin import KEY

NAME = "petals-tiny"
CAPTIONS = composition.yaml_text(composition.compose("captions-tiny"))
"""Parameters of a target with a caption model."""
EPOCHS = [
    {"epoch": 1, "step": 3, "train_loss": 1.0, "val_accuracy": 0.5},
    {"epoch": 2, "step": 6, "train_loss": 0.5, "val_accuracy": 0.75},
]


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """The outputs of a finished build that tracking reads."""
    tree = composition.compose(NAME)
    canonical.write_text(tmp_path / params_path(NAME), composition.yaml_text(tree))
    data = tiny.dataset(36)
    data.save(tmp_path / "data/processed" / NAME)
    models, reports = tmp_path / "models" / NAME, tmp_path / "reports" / NAME
    canonical.write_json(models / "training.json", {"epochs": EPOCHS})
    for name in ("model.safetensors", "config.json", "ledger.jsonl"):
        canonical.write_text(models / name, name)
    canonical.write_json(models / "config.json", {"data_digest": "0" * 64})
    canonical.write_json(reports / "metrics.json", {"accuracy": 0.75, "classes": {"fern": {}}})
    labels = [data.meta["classes"][label] for label in data.arrays["labels"][data.split("test")]]
    canonical.write_json(reports / "tables/confusion.json", [{"actual": label, "predicted": "fern"} for label in labels])
    (reports / "figures").mkdir()
    Image.new("RGB", (8, 8)).save(reports / "figures/curves.png")
    write_lock(tmp_path)
    (tmp_path / ".bitbloom").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("WANDB_API_KEY", "CI", "BITBLOOM_TRACK"):
        monkeypatch.delenv(name, raising=False)
    for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / ".bitbloom"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    yield tmp_path
    wandb.teardown()  # else the next test's runs go to this folder


def write_lock(folder, md5="0" * 32, outs="1" * 32, used=None, stages=("evaluate", "export")):
    """The record of a training, and of stages that used these weights: by default its own."""
    train = {
        "cmd": "python",
        "deps": [{"path": "data", "md5": md5}],
        "params": {"params/x.yaml": {"train": {"epochs": 3}}},
        "outs": [{"path": "models", "md5": outs}],
    }
    later = {"cmd": "python", "deps": [{"path": "code.py", "md5": "5" * 32}, {"path": "models", "md5": used or outs}]}
    entries = {"train": train} | dict.fromkeys(stages, later)
    canonical.write_text(folder / graph.lock(NAME), yaml.safe_dump({"schema": "2.0", "stages": entries}))


def test_run_id_depends_on_inputs_of_training_only(workspace):
    first = lineage.recorded_id(NAME, workspace)
    assert len(first) == 16
    assert int(first, 16) >= 0
    write_lock(workspace, outs="2" * 32)
    assert lineage.recorded_id(NAME, workspace) == first
    write_lock(workspace, md5="3" * 32)
    assert lineage.recorded_id(NAME, workspace) != first


def test_rejects_target_without_training(workspace):
    with pytest.raises(BitBloomError, match="'petals' is not trained: make train TARGET=petals"):
        lineage.recorded_id("petals", workspace)


def test_logs_sentences_of_a_caption_model(workspace, monkeypatch):
    canonical.write_text(workspace / params_path(NAME), CAPTIONS)
    tables = workspace / "reports" / NAME / "tables"
    predictions = canonical.read_json(tables / "confusion.json")
    (tables / "confusion.json").unlink()
    sentences = [{"id": str(number), "written": f"one daisy {number}", "truth": "a rose"} for number in range(len(predictions))]
    canonical.write_json(tables / "sentences.json", sentences)
    made, start = [], wandb.Table.__init__

    def recorded(table, columns, rows):
        made.append((columns, rows))
        start(table, columns, rows)

    monkeypatch.setattr(wandb.Table, "__init__", recorded)
    process.log(NAME, workspace)
    [(columns, rows)] = made
    assert columns == ["sample", "written", "truth"]
    assert [row[1:] for row in rows] == [[row["written"], row["truth"]] for row in sentences[: results.SAMPLES]]


def test_logs_offline_without_a_key(workspace):
    assert process.log(NAME, workspace) == lineage.recorded_id(NAME, workspace)
    runs = list((workspace / ".bitbloom/wandb").glob("offline-run-*"))
    assert [folder.name.rsplit("-", 1)[1] for folder in runs] == [lineage.recorded_id(NAME, workspace)]
    assert any(runs[0].glob("*.wandb"))


def record(monkeypatch):
    """From now on, record the commands of processes instead of starting them."""
    commands = []

    class Process:
        stdin = None

        def __init__(self, command, **options):
            commands.append((command, options))

    monkeypatch.setattr(subprocess, "Popen", Process)
    return commands


@pytest.fixture
def started(monkeypatch):
    """The commands of started processes, which do not run."""
    return record(monkeypatch)


def test_starts_in_a_detached_process(workspace, started):
    build(workspace)
    command, options = started[0]
    assert command[:5] == [sys.executable, "-m", "bitbloom.pipeline.tracking", NAME, str(workspace)]
    assert options["start_new_session"] is True


def test_logs_a_repeated_build_once(workspace, monkeypatch):
    process.log(NAME, workspace)
    started = record(monkeypatch)
    build(workspace)
    assert started == []
    canonical.write_json(workspace / "reports" / NAME / "metrics.json", {"accuracy": 0.5})
    build(workspace)
    assert len(started) == 1


def test_logs_again_when_the_build_has_an_exported_graph(workspace):
    process.log(NAME, workspace)
    assert not follower.is_unlogged(NAME, workspace)
    canonical.write_text(workspace / "models" / NAME / "model.onnx", "graph")
    assert follower.is_unlogged(NAME, workspace)


@pytest.mark.parametrize("variable", [{"BITBLOOM_TRACK": "0"}, {"CI": "true"}])
def test_is_disabled_by_variable_and_in_ci(workspace, started, monkeypatch, variable):
    for name, value in variable.items():
        monkeypatch.setenv(name, value)
    with follower.following(NAME, workspace) as tracked:
        tracked.start()
    assert started == []


@pytest.mark.parametrize("record", [{"used": "2" * 32}, {"md5": "3" * 32, "outs": "4" * 32, "used": "1" * 32}, {"stages": ()}])
def test_logs_no_results_of_an_earlier_model(workspace, monkeypatch, record):
    """`make train` with another configuration leaves reports and graphs, which are not of the new weights."""
    canonical.write_text(workspace / "models" / NAME / "model.onnx", "graph")
    canonical.write_text(workspace / "reports" / NAME / "model_card.md", "# Card")
    write_lock(workspace, **record)
    assert not follower.is_unlogged(NAME, workspace)
    assert build(workspace) is None
    files, add = [], wandb.Artifact.add_file
    monkeypatch.setattr(wandb.Artifact, "add_file", lambda self, path: files.append(Path(path).name) or add(self, path))
    monkeypatch.setattr(results, "log_evaluation", lambda *_: pytest.fail("metrics of an earlier model"))
    process.log(NAME, workspace)
    assert files == ["model.safetensors", "config.json", "ledger.jsonl"]


@pytest.mark.parametrize("number", [3, 0.0003, 0.00005, 1.5e-05, 1e16, 2.5e17])
def test_expects_the_id_of_a_training_before_dvc_records_it(workspace, number):
    """DVC writes numbers in its own form: 5e-05, where parameters have 5.0e-05."""
    content = b"code"
    (workspace / "code.py").write_bytes(content)
    md5 = hashlib.md5(content).hexdigest()
    folder = {"path": "data", "hash": "md5", "md5": "1" * 32 + ".dir", "size": 5, "nfiles": 2}
    canonical.write_text(workspace / "params/x.yaml", yaml.safe_dump({"train": {"epochs": number}, "other": 1}))
    stage = {"cmd": "python", "deps": ["code.py", "data"], "params": [{"params/x.yaml": ["train"]}]}
    canonical.write_text(workspace / graph.pipeline(NAME) / "dvc.yaml", yaml.safe_dump({"stages": {"train": stage}}))
    lock = {"prepare": {"cmd": "p", "outs": [folder]}}
    canonical.write_text(workspace / graph.lock(NAME), yaml.safe_dump({"stages": lock}))
    expected = lineage.expected_id(NAME, workspace)
    deps = [{"path": "code.py", "hash": "md5", "md5": md5, "size": len(content)}, folder]
    lock["train"] = {"cmd": "python", "deps": deps, "params": {"params/x.yaml": {"train": {"epochs": number}}}}
    serialize.dump_yaml(str(workspace / graph.lock(NAME)), {"stages": lock})
    assert expected == lineage.recorded_id(NAME, workspace)


def test_names_runs_by_what_differs(workspace, monkeypatch):
    monkeypatch.setattr(run.git, "clean_commit", lambda: "c" * 40)
    assert run.name(NAME, workspace) == f"{NAME} {'c' * 19}"
    monkeypatch.setattr(run.git, "clean_commit", lambda: None)
    assert run.name(NAME, workspace) == f"{NAME} uncommitted changes"
    canonical.write_text(workspace / "overrides.txt", "train.epochs=3\nmodel=cnn\n")
    assert run.name(NAME, workspace) == f"{NAME} train.epochs=3 model=cnn"


@pytest.fixture
def online(workspace, wandb_server, monkeypatch):
    """The workspace, with the stand-in for W&B's server without a login."""
    canonical.write_text(workspace / "models" / NAME / "model.onnx", "graph")
    canonical.write_text(workspace / "reports" / NAME / "model_card.md", "# Card")
    monkeypatch.setenv("HOME", str(workspace))
    monkeypatch.setenv("WANDB_BASE_URL", wandb_server.url)
    monkeypatch.setenv("PYTHONPATH", str(checkout.PACKAGE.parent))
    for name in ("WANDB_PROJECT", "WANDB_ENTITY", "WANDB_MODE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    return wandb_server


def log_in(workspace, key=KEY):
    host = os.environ["WANDB_BASE_URL"].removeprefix("http://")
    (workspace / ".netrc").write_text(f"machine {host}\n  login user\n  password {key}\n")
    (workspace / ".netrc").chmod(0o600)


def build(workspace):
    """Track a build that has nothing to do."""
    with follower.following(NAME, workspace) as tracked:
        tracked.built()
    return tracked.process


def test_settings_and_login_of_wandb_decide(online, workspace, monkeypatch, capfd):
    log_in(workspace)
    monkeypatch.setattr(follower, "STATUS_SECONDS", 60)  # a busy machine starts the process late
    monkeypatch.setenv("WANDB_PROJECT", "flowers")
    monkeypatch.setenv("WANDB_ENTITY", "garden")
    assert build(workspace).wait(120) == 0, (workspace / follower.LOG).read_text()
    sent = online.runs[0]
    assert (sent["project"], sent["entity"], sent["name"]) == ("flowers", "garden", lineage.recorded_id(NAME, workspace))
    assert sent["displayName"] == run.name(NAME, workspace)
    assert [(row["epoch"], row["val_accuracy"]) for row in online.rows if "val_accuracy" in row] == [(1, 0.5), (2, 0.75)]
    assert capfd.readouterr().err == ""
    assert not follower.is_unlogged(NAME, workspace)
    names = {artifact["artifactCollectionName"] for artifact in online.artifacts}
    assert {f"{NAME}-data", f"{NAME}-model"} <= names
    assert online.used


def test_next_build_does_not_change_what_is_logged(online, workspace):
    """It starts before the process has read anything, waits for nothing, and writes in place and anew."""
    log_in(workspace)
    first = lineage.recorded_id(NAME, workspace)
    with follower.following(NAME, workspace) as tracked:
        with pipeline.build_lock():
            tracked.built()
        with pipeline.build_lock():
            canonical.write_json(workspace / "reports" / NAME / "metrics.json", {"accuracy": 0.125})
            shutil.rmtree(workspace / "models" / NAME)
            lock = workspace / graph.lock(NAME)
            lock.write_text(lock.read_text().replace("0" * 32, "3" * 32))
            tracked.finish()
            assert tracked.process.wait(120) == 0, (workspace / follower.LOG).read_text()
    assert {sent["name"] for sent in online.runs} == {first}
    assert [path for path in copies.COPIES.iterdir() if path.is_dir()] == []
    assert (copies.STATE / "tracked" / first).exists()


def test_first_run_is_abandoned_when_the_build_records_another(workspace, monkeypatch):
    ended = []
    monkeypatch.setattr(run.Tracked, "abandon", lambda self: ended.append(self.identity))
    place = copies.copy(NAME, workspace)
    begun = run.Tracked(NAME, workspace, "f" * 16, print)
    assert process.log_copy(NAME, place, begun, print) == lineage.recorded_id(NAME, workspace)
    assert ended == ["f" * 16]


def test_client_that_hangs_in_a_training_ends(workspace, monkeypatch):
    monkeypatch.setattr(process, "LAST_SECONDS", 1)
    monkeypatch.setattr(live, "rows", lambda *_: EPOCHS)
    monkeypatch.setattr(lineage, "expected_id", lambda *_: "f" * 16)
    monkeypatch.setattr(run.Tracked, "rows", lambda *_: time.sleep(60))
    reader, writer = os.pipe()

    def end(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, end)
    try:
        with pytest.raises(TimeoutError):
            process.follow(NAME, workspace, print, reader)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        os.close(reader)
        os.close(writer)


@pytest.mark.slow  # the client sends rows every 15 seconds
def test_curves_grow_while_a_training_runs(online, workspace, monkeypatch):
    log_in(workspace)
    monkeypatch.setattr(live, "trained_rows", lambda *_: [])
    stage = {"cmd": "python", "deps": [], "params": []}
    canonical.write_text(workspace / graph.pipeline(NAME) / "dvc.yaml", yaml.safe_dump({"stages": {"train": stage}}))
    with follower.following(NAME, workspace) as tracked, live.observing(NAME, workspace, tracked.start):
        save_checkpoint(workspace, EPOCHS[:1])
        online.wait(lambda: [row["epoch"] for row in online.rows] == [1])
        save_checkpoint(workspace, EPOCHS)
        online.wait(lambda: [row["epoch"] for row in online.rows] == [1, 2])
    tracked.process.kill()
    tracked.process.wait()


def save_checkpoint(workspace, rows):
    canonical.write_json(workspace / live.CHECKPOINTS / f"digest/step-{rows[-1]['step']:08d}/state.json", {"epochs": rows})


def wrong_key(server, workspace, monkeypatch):
    log_in(workspace, "w" * 40)


def no_network(server, workspace, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{free_port()}")
    log_in(workspace)


def hanging_server(server, workspace, monkeypatch):
    log_in(workspace)
    server.hangs = True


def invalid_key(server, workspace, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "short")


def full_disk(server, workspace, monkeypatch):
    monkeypatch.setattr(follower, "LOG", Path("/dev/full/tracking.log"))


def online_without_a_key(server, workspace, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")


FAULTS = [wrong_key, no_network, hanging_server, invalid_key, full_disk, online_without_a_key]


@pytest.mark.parametrize("fault", FAULTS)
def test_build_goes_on_with_one_line_of_warning(online, workspace, monkeypatch, capfd, fault):
    fault(online, workspace, monkeypatch)
    process = build(workspace)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("warning: W&B: ")
    if process and process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_process_leaves_a_warning_for_what_it_cannot_log(online, workspace):
    (workspace / "reports" / NAME / "tables/confusion.json").write_text("{")
    with follower.following(NAME, workspace) as tracked:
        tracked.built()
    assert tracked.process.wait(60) == 1
    assert tracked.status.read_text().startswith("W&B: ")
    assert follower.is_unlogged(NAME, workspace)


def test_disabled_client_logs_nowhere(online, workspace, monkeypatch, capfd):
    log_in(workspace)
    monkeypatch.setattr(follower, "STATUS_SECONDS", 60)  # a busy machine starts the process late
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert build(workspace).wait(60) == 0
    assert online.runs == []
    assert not (workspace / ".bitbloom/wandb").exists()
    assert capfd.readouterr().err == ""


def test_offline_mode_of_wandb_counts_more_than_a_login(online, workspace, monkeypatch):
    log_in(workspace)
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert build(workspace).wait(60) == 0
    assert online.runs == []
    assert list((workspace / ".bitbloom/wandb").glob("offline-run-*"))
