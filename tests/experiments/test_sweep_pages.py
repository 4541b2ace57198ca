"""What is made of a history: page, target, config group, comparison with a rebuild."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
import yaml

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.sweep import check, page, study, winner
from bitbloom.experiments.sweep.history import History
from bitbloom.experiments.sweep.space import Pruner, Space
from bitbloom.experiments.sweep.study import Row
from bitbloom.pipeline import composition
from support.tiny import REPOSITORY

PARAMETERS = {
    "train.learning_rate": {"log": [1e-4, 1e-1]},
    "train.weight_decay": {"float": [0.0, 0.3], "step": 0.1},
    "augment": {"choice": ["garden", "strong"]},
}


def history(parameters: dict[str, object] | None = None, trials: int = 16) -> History:
    """A history of random values."""
    space = Space("petals", trials=trials, pruner=Pruner("median"), parameters=parameters or PARAMETERS)
    dice, alone, rows = random.Random(1), study.create(space, 4), []
    for number in range(trials):
        trial = alone.ask({parameter.key: parameter.distribution() for parameter in space.searched})
        state = [study.COMPLETE, study.COMPLETE, study.PRUNED, study.FAILED][number % 4]
        curve = tuple(round(0.2 + dice.random() * 0.1 + epoch / 8, 4) for epoch in range(4 if state == study.COMPLETE else 2))
        value = None if state == study.FAILED else curve[-1]
        failure = "<script>alert(1)</script>" if state == study.FAILED else ""
        params = dict(sorted(trial.params.items()))
        rows.append(Row(number, number // 4, space.overrides(trial.params), params, state, value, curve, {}, failure))
    return History({"sweep": "mine", "space": space.plain(), "inputs": {}}, rows, whole=True)


def test_page_is_one_file_with_every_chart():
    found = history()
    text = page.render(found)
    for heading in ("History", "Curves", "Importance", "Parallel coordinates", "Slices", "Trials"):
        assert f"<h2>{heading}</h2>" in text
    assert found.digest() in text
    assert "<script" not in text
    assert "http" not in text
    assert sum(page.importances(found).values()) == pytest.approx(1, abs=0.01)


def test_page_of_one_failed_trial_has_no_winner():
    failed = history(trials=4)
    text = page.render(History(failed.head, failed.rows[3:], whole=False))
    assert text == page.render(History(failed.head, failed.rows[3:], whole=False))
    assert "not finished" in text
    assert "Slices" not in text
    assert "make adopt" not in text


@pytest.fixture
def conf(tmp_path, monkeypatch):
    """A folder with the configuration."""
    shutil.copytree(REPOSITORY / "conf", tmp_path / "conf")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_winner_becomes_a_target_with_the_configuration_of_its_overrides(conf):
    found = history()
    assert winner.adopt(found, None, Path("conf/petals-best.yaml")) == "make graph && make all TARGET=petals-best"
    made, wanted = composition.compose("petals-best"), composition.compose("petals", found.row(None).overrides)
    assert made.train == wanted.train
    assert made.augment == wanted.augment
    assert f"Trial {found.row(None).number} of sweep mine" in Path("conf/petals-best.yaml").read_text()
    with pytest.raises(BitBloomError, match="exists"):
        winner.adopt(found, None, Path("conf/petals-best.yaml"))


def test_winner_becomes_a_config_group(conf):
    found = history({key: value for key, value in PARAMETERS.items() if key.startswith("train.")})
    following = winner.adopt(found, 4, Path("conf/train/best.yaml"))
    assert following == "make all TARGET=petals SET='train=best'"
    assert composition.compose("petals", ["train=best"]).train == composition.compose("petals", found.row(4).overrides).train
    assert "seed" not in yaml.safe_load(Path("conf/train/best.yaml").read_text())


def test_winner_is_not_seen_before_it_is_checked(conf, monkeypatch):
    found, path, seen = history(), Path("conf/petals-best.yaml"), []
    compose = composition.compose

    def watched(target, overrides=()):
        seen.append((conf / path).exists())
        return compose(target, overrides) if target != path.stem else compose("petals")

    monkeypatch.setattr(composition, "compose", watched)
    with pytest.raises(BitBloomError, match="it would have another configuration"):
        winner.adopt(found, None, path)
    assert seen
    assert not any(seen)
    assert not path.exists()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("conf/train/best.yaml", "also sets augment="),
        ("elsewhere/best.yaml", "neither a target"),
        ("conf/sweep/best.yaml", "neither a target"),
        ("conf/petals.yaml", "exists"),
    ],
)
def test_rejects_a_path_that_cannot_hold_the_winner(conf, path, message):
    with pytest.raises(BitBloomError, match=message):
        winner.adopt(history(), None, Path(path))
    assert Path(path).exists() == (path == "conf/petals.yaml")


def test_names_a_trial_that_does_not_exist():
    with pytest.raises(BitBloomError, match="no trial 16: it has 16, from 0"):
        history().row(16)


def test_comparison_finds_a_changed_file_and_a_changed_curve(tmp_path):
    models = tmp_path / "petals"
    canonical.write_json(models / "training.json", {"epochs": [{"val_accuracy": 0.5}, {"val_accuracy": 0.6}]})
    (models / "model.safetensors").write_bytes(b"weights")
    from bitbloom.core.digests import file_digest

    sha256 = {name: file_digest(models / name) for name in ("model.safetensors", "training.json")}
    row = Row(0, 0, (), {}, study.COMPLETE, 0.6, (0.5, 0.6), sha256, "")
    assert all(line.same for line in check.compare(row, models, "val_accuracy"))
    (models / "model.safetensors").write_bytes(b"other")
    assert [line.artifact for line in check.compare(row, models, "val_accuracy") if not line.same] == ["petals/model.safetensors"]
    pruned = Row(0, 0, (), {}, study.PRUNED, 0.4, (0.4,), {}, "")
    assert [line.same for line in check.compare(pruned, models, "val_accuracy")] == [False]
