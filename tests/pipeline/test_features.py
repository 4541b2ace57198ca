"""The features stage: outputs of frozen encoders, equal for any number of workers, and the stages that depend on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from bitbloom import tasks
from bitbloom.config.models import typed_model
from bitbloom.config.sections.augment import Augment
from bitbloom.config.sections.numerics import Numerics
from bitbloom.config.sections.train import Train
from bitbloom.config.target import Target, part
from bitbloom.core.digests import digest
from bitbloom.core.errors import BitBloomError
from bitbloom.data.dataset import Dataset
from bitbloom.pipeline import build, composition, graph
from bitbloom.stages import features
from support import tiny_captions

FROZEN = replace(tiny_captions.MODEL, image_layers=0, text_layers=0, views=2)
SECTIONS = {"task": "captions", "augment": Augment(), "numerics": Numerics(), "train.seed": Train().seed} | {
    key: getattr(FROZEN, key.removeprefix("model.")) for key in features.READS if key.startswith("model.")
}


@pytest.fixture
def target(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = Target("mine", SECTIONS)
    tiny_captions.dataset().save(made.processed)
    return made


@pytest.mark.slow
def test_features_are_equal_for_any_number_of_workers(target, monkeypatch):
    monkeypatch.setenv("WORKERS", "1")
    features.run(target)
    alone = digest(target.features)
    monkeypatch.setenv("WORKERS", "2")
    features.run(target)
    assert digest(target.features) == alone
    data = Dataset.open(target.processed, target.features)
    samples = len(data.samples)
    assert data.arrays["places"].shape == (samples, 2, 17, 32)
    assert data.arrays["meanings"].shape == (samples, 2, 32)
    assert np.isfinite(data.arrays["meanings"]).all() and (data.arrays["places"].std(axis=(1, 2, 3)) > 0).all()


def test_features_equal_those_of_the_trained_encoders(target):
    features.run(target)
    data = Dataset.open(target.processed, target.features)
    network = tiny_captions.start(
        FROZEN, data
    ).network.eval()  # its decoder and its common space have other sizes than the defaults
    raw, some = Dataset.open(target.processed), np.arange(32)
    with torch.no_grad():
        found = tasks.model("captions").features(network, raw.take(some), raw.sample_seeds()[some], Augment(), FROZEN)
    assert np.array_equal(found["places"][:, 0], data.arrays["places"][some, 0])
    assert np.array_equal(found["meanings"], data.arrays["meanings"][some])


def test_rejects_torchrun(target, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    with pytest.raises(BitBloomError, match="without torchrun"):
        features.run(target)


@pytest.mark.slow
def test_accepts_more_workers_than_batches(target, monkeypatch):
    tiny = tiny_captions.dataset()
    few = replace(tiny, arrays={name: array[:20] for name, array in tiny.arrays.items()}, samples=tiny.samples[:20])
    few.save(target.processed)
    monkeypatch.setenv("WORKERS", "2")
    features.run(target)
    assert len(Dataset.open(target.processed, target.features).arrays["places"]) == 20


@pytest.mark.parametrize(
    ("override", "reruns"),
    [
        ("train.epochs=3", False),
        ("model.writer.layers=1", False),
        ("model.contrast_weight=0.5", False),
        ("train.seed=8", True),
        ("model.grid=3", True),
        ("model.text.weights=none", True),
    ],
)
def test_stage_reruns_only_when_features_would_change(override, reruns):
    seen = [graph_params(composition.compose("captions-folder", overrides)) for overrides in ([], [override])]
    assert (seen[0] != seen[1]) == reruns


def graph_params(tree) -> dict:
    """The part of a configuration that DVC compares for the features stage."""
    [stage] = [stage for stage in graph.stages("captions-folder", tree) if stage.stage == "features"]
    return {"weights": stage.weights, **part(OmegaConf.to_container(tree), stage.sections)}


def test_only_model_with_frozen_encoders_has_the_stage():
    for name in composition.targets():
        tree = composition.compose(name)
        stages = {stage.stage: stage for stage in graph.stages(name, tree)}
        folder = f"data/features/{name}"
        assert ("features" in stages) == typed_model(tree.model).frozen
        readers = {stage for stage, made in stages.items() if folder in made.inputs}
        assert readers == ({"train", "evaluate", "export"} if "features" in stages else set())


def test_model_without_frozen_encoders_rejects_the_stage():
    learning = composition.compose("captions-folder", ["model.image_layers=-1", "model.text_layers=2"])
    assert "features" not in [stage.stage for stage in graph.stages("captions-folder", learning)]
    with pytest.raises(BitBloomError, match="'petals' has no stage 'features'; it has: ingest, validate, prepare, train"):
        build.build("petals", "features")
