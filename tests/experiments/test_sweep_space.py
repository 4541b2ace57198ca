"""Search spaces: what a file may hold, and the message for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.sweep import space
from bitbloom.experiments.sweep.run import Sweep
from bitbloom.pipeline import composition
from support.tiny import REPOSITORY

GOOD = {
    "target": "petals-tiny",
    "parameters": {"train.learning_rate": {"log": [0.0003, 0.003]}, "augment": {"choice": ["garden", "strong"]}},
}


def written(folder: Path, **changes: object) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({**GOOD, **changes}))
    return path


def test_reads_a_space_and_makes_overrides(tmp_path):
    found = space.read(written(tmp_path, set=["train.part=50"], pruner="median"), trials=7)
    assert (found.trials, found.pruner.kind) == (7, "median")
    proposed = {"train.learning_rate": 0.00123456789, "augment": "strong"}
    assert found.overrides(proposed) == ("train.part=50", "augment=strong", "train.learning_rate=0.00123457")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric": "test_accuracy"}, "metric 'test_accuracy' is not of the validation split"),
        ({"sampler": "best"}, "sampler 'best' is none of tpe, random, grid"),
        ({"sampler": "grid"}, "train.learning_rate: sampler grid needs `choice`"),
        ({"trials": 0, "generation": 0}, "trials is 0"),
        ({"trials": "many"}, "trials"),
        ({"epochs": 3}, "epochs"),
        ({"pruner": "asha"}, "pruner.kind 'asha' is none of"),
        ({"pruner": {"kind": "median", "factor": 1}}, "pruner.factor is 1"),
        ({"parameters": {}}, "parameters is empty"),
        ({"parameters": {"train.epochs": [1, 2]}}, "parameters.train.epochs: one of float, log, int, choice"),
        ({"parameters": {"train.epochs": {"int": [1, 2.5]}}}, "whole numbers"),
        ({"parameters": {"train.epochs": {"int": [3, 1]}}}, "3 < largest"),
        ({"parameters": {"train.learning_rate": {"log": [0, 1]}}}, "smallest value > 0"),
        ({"parameters": {"train.learning_rate": {"float": ["a", 1]}}}, "two numbers"),
        ({"parameters": {"augment": {"choice": []}}}, "not a list"),
    ],
)
def test_names_a_mistake_in_one_line(tmp_path, changes, message):
    with pytest.raises(BitBloomError, match=message) as error:
        space.read(written(tmp_path, **changes))
    assert str(error.value).startswith(str(tmp_path / "mine.yaml"))
    assert "\n" not in str(error.value)


def test_names_a_missing_file():
    with pytest.raises(BitBloomError, match=r"no search space conf/sweep/x.yaml; there are: conf/sweep/petals-tiny.yaml, "):
        space.read(Path("conf/sweep/x.yaml"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parameters": {"train.learning_rat": {"float": [0, 1]}}}, "unknown key 'train.learning_rat': did you mean"),
        ({"parameters": {"augment": {"choice": ["gardn"]}}}, "no augment 'gardn': did you mean 'garden'"),
        ({"set": ["train.part"]}, "is not key=value"),
        ({"target": "petal"}, "no target 'petal'"),
        ({"pruner": {"kind": "median", "first": 3}, "set": ["train.checkpoint_every=2"]}, "epoch 3 has no checkpoint"),
    ],
)
def test_names_a_key_that_the_target_does_not_have(tmp_path, changes, message):
    with pytest.raises(BitBloomError, match=message):
        Sweep(written(tmp_path, **changes))


@pytest.mark.parametrize(
    ("key", "given", "changed"),
    [
        ("prepare.split", {"choice": [[70, 10, 20], [60, 20, 20]]}, "prepare"),
        ("source.images", {"int": [96, 192]}, "source"),
        ("gate.class_rows", {"choice": [8, 16]}, "gate"),
        ("numerics", {"choice": ["portable", "fast"]}, "numerics.profile"),
    ],
)
def test_rejects_a_searched_key_that_changes_what_is_measured(tmp_path, key, given, changed):
    with pytest.raises(BitBloomError, match=rf"^parameters: a searched key changes {changed}, so trials") as error:
        Sweep(written(tmp_path, parameters={key: given}))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "given", "good", "bad"),
    [
        ("model.layers", {"int": [1, 7], "step": 2}, {"3": 3, 7.0: 7}, [2, 4.0, 9, "x", 3.4]),
        ("model.layers", {"int": [1, 3]}, {"2": 2}, [2.5, 0, None]),
        ("train.weight_decay", {"float": [0.05, 0.25], "step": 0.1}, {0.15000000000000002: 0.15, "0.25": 0.25}, [0.1, 0.2, 0.35]),
        ("train.learning_rate", {"log": [0.0003, 0.003]}, {0.001: 0.001, 0.00029999999999: 0.0003}, [0.01, float("nan"), 0]),
        ("augment", {"choice": ["garden", "strong"]}, {"strong": "strong"}, ["photos", 1]),
    ],
)
def test_takes_back_only_values_of_the_space(key, given, good, bad):
    searched = space.parameter(key, given)
    assert {value: searched.value(value) for value in good} == good
    for value in bad:
        with pytest.raises(BitBloomError, match=rf"^{key}="):
            searched.value(value)


def test_every_space_of_the_repository_fits_its_target():
    paths = sorted((REPOSITORY / "conf/sweep").glob("*.yaml"))
    assert len(paths) >= 2
    for path in paths:
        sweep = Sweep(path)
        assert sweep.name == path.stem
        assert sweep.space.target in composition.targets()
