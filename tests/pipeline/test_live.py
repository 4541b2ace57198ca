"""Live curves: rows of checkpoints become DVCLive's files while a training runs, and never fail a build."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time

import pytest

from bitbloom.core import canonical
from bitbloom.pipeline import live

NAME = "petals-tiny"
ROWS = [
    {"epoch": 1, "step": 3, "train_loss": 1.25, "val_accuracy": 0.5},
    {"epoch": 2, "step": 6, "train_loss": 0.5, "val_accuracy": 0.75},
    {"epoch": 3, "step": 9, "train_loss": 0.25, "val_accuracy": 1.0},
]


@pytest.fixture(autouse=True)
def looks_often(monkeypatch):
    monkeypatch.setattr(live, "INTERVAL", 0.1)


def checkpoint(workspace, rows, run="run"):
    folder = workspace / live.CHECKPOINTS / run / f"step-{rows[-1]['step']:08d}"
    canonical.write_json(folder / "state.json", {"epochs": rows, "ledger": [], "step": rows[-1]["step"]})
    return folder / "state.json"


def wait_for(count, workspace):
    end = time.monotonic() + 30
    while len(live.rows(NAME, workspace)) != count:
        assert time.monotonic() < end
        time.sleep(0.05)


def table(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_curves_appear_before_the_end_and_are_complete_after_it(tmp_path):
    begun, folder = [], live.folder(NAME, tmp_path)
    with live.observing(NAME, tmp_path, lambda: begun.append(time.monotonic())):
        checkpoint(tmp_path, ROWS[:1])
        wait_for(1, tmp_path)
        assert table(folder / "plots/metrics/train_loss.tsv") == [{"step": "1", "train_loss": "1.25"}]
        checkpoint(tmp_path, ROWS[:2])
        wait_for(2, tmp_path)
        canonical.write_json(tmp_path / "models" / NAME / "training.json", {"epochs": ROWS, "best_epoch": 3})
    assert table(folder / "plots/metrics/val_accuracy.tsv")[-1] == {"step": "3", "val_accuracy": "1.0"}
    assert canonical.read_json(folder / "metrics.json") == {"step": 3, "train_loss": 0.25, "val_accuracy": 1.0}
    assert live.rows(NAME, tmp_path) == ROWS
    assert len(begun) == 1


@pytest.mark.parametrize("age", [60, 0, -60], ids=["long ago", "just now", "by a wrong clock"])
def test_ignores_checkpoints_of_earlier_trainings(tmp_path, age):
    """Such as that of a target whose training failed just before this one, in one build of several."""
    state = checkpoint(tmp_path, ROWS[:2], "killed")
    os.utime(state, (time.time() - age,) * 2)
    with live.observing(NAME, tmp_path):
        time.sleep(3 * live.INTERVAL)
        assert live.rows(NAME, tmp_path) == []
        checkpoint(tmp_path, ROWS[:1])
        wait_for(1, tmp_path)


@pytest.fixture
def training():
    """Starts a process with the command line of a training, by hand or as a child of this process."""
    started, children = [], []

    def start(workspace, by_hand):
        command = [sys.executable, "-c", "import time; time.sleep(60)", "-m", "bitbloom.stages.train", "tweets"]
        if by_hand:  # its parent ends
            script = 'cd "$0" && { "$@" >/dev/null 2>&1 & echo $!; }'
            done = subprocess.run(["sh", "-c", script, workspace, *command], stdout=subprocess.PIPE, text=True)
            started.append(int(done.stdout))
        else:
            children.append(subprocess.Popen(command, cwd=workspace))
            started.append(children[-1].pid)
        return started[-1]

    yield start
    for process in started:
        os.kill(process, signal.SIGKILL)
    for child in children:
        child.wait()


def test_training_by_hand_mixes_no_rows_into_the_curves(tmp_path, training, capfd):
    process = training(tmp_path, by_hand=True)
    with live.observing(NAME, tmp_path):
        checkpoint(tmp_path, ROWS[:1], "by hand")
        while not (said := capfd.readouterr().err):
            time.sleep(live.INTERVAL)
        checkpoint(tmp_path, ROWS[:2], "by hand")
        time.sleep(3 * live.INTERVAL)
        assert live.rows(NAME, tmp_path) == []
        canonical.write_json(tmp_path / "models" / NAME / "training.json", {"epochs": ROWS})
    assert live.rows(NAME, tmp_path) == ROWS
    assert said + capfd.readouterr().err == f"note: process {process} trains here too: the curves of {NAME} come at the end\n"


def test_own_training_and_those_of_other_workspaces_are_no_others(tmp_path, training):
    training(tmp_path, by_hand=False)
    other = training(tmp_path.parent, by_hand=True)
    assert live.others(tmp_path) == []
    assert live.others(tmp_path.parent) == [other]


def test_cached_training_also_has_curves(tmp_path):
    canonical.write_json(tmp_path / "models" / NAME / "training.json", {"epochs": ROWS})
    with live.observing(NAME, tmp_path):
        pass
    assert live.rows(NAME, tmp_path) == ROWS


def test_removes_curves_that_a_training_no_longer_has(tmp_path):
    live.write(tmp_path, ROWS)
    live.write(tmp_path, [{"epoch": 1, "step": 3, "val_recall": 0.5}])
    assert [path.name for path in (tmp_path / "plots/metrics").iterdir()] == ["val_recall.tsv"]


def test_unwritable_curves_are_one_warning(tmp_path, capfd):
    (tmp_path / "reports").write_text("a file in place of the folder")
    canonical.write_json(tmp_path / "models" / NAME / "training.json", {"epochs": ROWS})
    with live.observing(NAME, tmp_path):
        checkpoint(tmp_path, ROWS[:1])
        time.sleep(3 * live.INTERVAL)
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("warning: no live curves in ")


@pytest.mark.parametrize("content", ["", "{", '{"epochs": [{"ep', "[]", '{"epochs": 1}'])
def test_waits_for_a_whole_checkpoint(tmp_path, content):
    state = checkpoint(tmp_path, ROWS[:1])
    state.write_text(content)
    assert live.checkpoint_rows(tmp_path, {}) == []


def test_dvc_plots_the_live_curves(tmp_path):
    live.write(tmp_path / "reports" / NAME / "live", ROWS)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    (tmp_path / "dvc.yaml").write_text(f"plots:\n- reports/{NAME}/live/plots/metrics:\n    x: step\n")
    done = subprocess.run(["dvc", "plots", "show", "--json"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "val_accuracy.tsv" in done.stdout and '"0.25"' in done.stdout
