"""Tracking: it can be disabled, is offline without a key, and a repeated build continues its run."""

from __future__ import annotations

import subprocess
import sys

import pytest
import wandb
import yaml
from PIL import Image

from bitbloom.config.target import params_path
from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import composition, graph, tracking
from support import tiny

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


def write_lock(folder, md5="0" * 32, outs="1" * 32):
    entry = {
        "cmd": "python",
        "deps": [{"path": "data", "md5": md5}],
        "params": {"params/x.yaml": {"train": {"epochs": 3}}},
        "outs": [{"md5": outs}],
    }
    canonical.write_text(folder / graph.lock(NAME), yaml.safe_dump({"schema": "2.0", "stages": {"train": entry}}))


def test_run_id_depends_on_inputs_of_training_only(workspace):
    first = tracking.run_id(NAME, workspace)
    assert len(first) == 16
    assert int(first, 16) >= 0
    write_lock(workspace, outs="2" * 32)
    assert tracking.run_id(NAME, workspace) == first
    write_lock(workspace, md5="3" * 32)
    assert tracking.run_id(NAME, workspace) != first


def test_rejects_target_without_training(workspace):
    with pytest.raises(BitBloomError, match="'petals' is not trained: make train TARGET=petals"):
        tracking.run_id("petals", workspace)


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
    tracking.log(NAME, workspace)
    [(columns, rows)] = made
    assert columns == ["sample", "written", "truth"]
    assert [row[1:] for row in rows] == [[row["written"], row["truth"]] for row in sentences[: tracking.SAMPLES]]


def test_logs_offline_without_a_key(workspace):
    assert tracking.log(NAME, workspace) == tracking.run_id(NAME, workspace)
    runs = list((workspace / ".bitbloom/wandb").glob("offline-run-*"))
    assert [run.name.rsplit("-", 1)[1] for run in runs] == [tracking.run_id(NAME, workspace)]
    assert any(runs[0].glob("*.wandb"))


@pytest.fixture
def started(monkeypatch):
    """The commands of started processes, which do not run."""
    commands = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **options: commands.append((command, options)))
    return commands


def test_starts_in_a_detached_process(workspace, started):
    tracking.start(NAME, workspace)
    command, options = started[0]
    assert command == [sys.executable, "-m", "bitbloom.pipeline.tracking", NAME, str(workspace)]
    assert options["start_new_session"] is True


def test_logs_a_repeated_build_once(workspace, monkeypatch):
    tracking.log(NAME, workspace)
    started = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **_: started.append(command))
    tracking.start(NAME, workspace)
    assert started == []
    canonical.write_json(workspace / "reports" / NAME / "metrics.json", {"accuracy": 0.5})
    tracking.start(NAME, workspace)
    assert len(started) == 1


@pytest.mark.parametrize("variable", [{"BITBLOOM_TRACK": "0"}, {"CI": "true"}])
def test_is_disabled_by_variable_and_in_ci(workspace, started, monkeypatch, variable):
    for name, value in variable.items():
        monkeypatch.setenv(name, value)
    tracking.start(NAME, workspace)
    assert started == []


def test_logs_nothing_before_an_evaluation(workspace, started):
    (workspace / "reports" / NAME / "metrics.json").unlink()
    tracking.start(NAME, workspace)
    assert started == []
