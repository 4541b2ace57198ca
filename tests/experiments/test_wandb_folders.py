"""Folders of W&B's client as runs: logged by the tracker and by other programs, read without a server."""

from __future__ import annotations

import shutil
import subprocess

import pytest
import wandb

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.runs import compare, find, store, wandb_folder
from bitbloom.pipeline import lineage
from bitbloom.pipeline.tracking import results
from bitbloom.pipeline.tracking.run import Tracked
from support import runs as support
from support.runs import NAME


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A checkout whose build was logged offline, and the log of another project beside it."""
    place = tmp_path_factory.mktemp("checkout")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.delenv("WANDB_API_KEY", raising=False)
        patch.setenv("WANDB_SILENT", "true")
        patch.setenv("WANDB_MODE", "offline")
        for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
            patch.setenv(name, str(place / ".bitbloom"))
        (place / ".bitbloom").mkdir()
        support.write(place)
        canonical.write_text(place / support.DATA / "data", "data")
        tracked = Tracked(NAME, place, lineage.recorded_id(NAME, place), print)
        tracked.rows(support.curves(3))
        results.log_evaluation(tracked.run, place / "reports" / NAME)
        results.log_model(tracked.run, NAME, place)
        tracked.run.finish()
        other = wandb.init(project="elsewhere", id="other", config={"lr": 0.1, "layers": {"first": 3}})
        for step in range(3):
            other.log({"train/loss": 1.0 / (step + 1)})
        other.finish()
        wandb.teardown()
        for folder in wandb_folder.folders().values():
            wandb_folder.read(folder)
    return place


@pytest.fixture
def checkout(logged, tmp_path, monkeypatch):
    """A copy of it, in which both logs were read."""
    place = tmp_path / "checkout"
    shutil.copytree(logged, place, symlinks=True)
    monkeypatch.chdir(place)
    return place


def log(checkout, name):
    """The log of a run."""
    [path] = (checkout / ".bitbloom/wandb").glob(f"offline-run-*/run-{name}.wandb")
    return path


@pytest.fixture
def identity(checkout):
    return lineage.recorded_id(NAME, checkout)


def test_run_of_the_tracker_has_config_curves_metrics_and_digests(checkout, identity):
    run, messages = wandb_folder.read(log(checkout, identity).parent)
    [local] = find.named([NAME]).runs
    assert messages == []
    assert (run.id, run.training, run.target, run.origin) == (identity, local.training, NAME, "W&B")
    assert (run.config, run.curves, run.metrics) == (local.config, local.curves, local.metrics)
    assert run.digests["weights"] == local.digests["weights"]
    assert (run.overrides, run.code, run.when[:2]) == ([], None, "20")


def test_compares_with_the_build_itself(checkout, identity):
    found = compare.compare(find.named([NAME, str(log(checkout, identity))]).runs)
    assert found.inputs[0].verdict.endswith(" equal")
    assert found.inputs[1].unknown == "B"
    assert {metric.differences[1] for metric in found.metrics} == {0}
    assert all(curves[0] == curves[1] for curves in found.curves.values())


def test_run_of_another_program_has_its_steps_as_epochs(checkout):
    run, _ = wandb_folder.read(log(checkout, "other").parent)
    assert (run.target, run.config) == ("elsewhere", {"lr": 0.1, "layers": {"first": 3}})
    assert [(row["epoch"], round(row["train/loss"], 3)) for row in run.curves] == [(0, 1.0), (1, 0.5), (2, 0.333)]


def test_lists_a_training_once(checkout, identity):
    """A run of W&B whose training has a record or a workspace is that run."""
    assert sorted((run.target, run.origin) for run in find.every().runs) == [("elsewhere", "W&B"), (NAME, "workspace")]
    shutil.rmtree(checkout / "models")
    assert sorted((run.target, run.origin) for run in find.every().runs) == [("elsewhere", "W&B"), (NAME, "W&B")]
    assert find.named([identity[:8]]).runs[0].origin == "W&B"


def test_reads_a_log_once(checkout, monkeypatch):
    folder = log(checkout, "other").parent
    started, start = [], subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda command, **options: started.append(command) or start(command, **options))
    (store.STORE / "wandb" / f"{folder.name}.json").unlink()
    assert wandb_folder.read(folder) == wandb_folder.read(folder)
    assert len(started) == 1


def test_log_of_an_interrupted_run_is_read_as_far_as_it_goes(checkout, identity):
    path = log(checkout, identity)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    run, messages = wandb_folder.read(path.parent)
    assert run.config == support.CONFIG
    assert len(messages) == 1
    assert messages[0].startswith(f"{path}: reached the end of an incomplete .wandb file")


def test_damaged_log_is_one_line(checkout, identity):
    log(checkout, identity).write_bytes(b"garbage")
    log(checkout, "other").write_bytes(b"")
    (checkout / "models" / NAME / "training.json").unlink()  # else the log of this training is not read
    found = find.every()
    assert found.runs == []
    assert [message.count("\n") for message in found.messages] == [0, 0]
    assert "is not a log of W&B: " in "".join(found.messages)
    assert "has no run: it was interrupted at its start" in "".join(found.messages)
    with pytest.raises(BitBloomError, match="is not a log of W&B"):
        find.named([identity[:6]])


def test_folder_without_a_log_is_not_a_run(checkout, tmp_path):
    (tmp_path / "offline-run-20261130_011719-abc").mkdir()
    with pytest.raises(BitBloomError, match="there is no run"):
        find.named([str(tmp_path / "offline-run-20261130_011719-abc")])
