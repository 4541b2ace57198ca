"""The search on Vertex AI: its manifest has the space, and a trial trains with the overrides of that trial."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trial
import yaml

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.sweep import space, vertex_engine
from support.tiny import REPOSITORY

SWEEP = "vertex-ai/sweep.sh"
SPACE = REPOSITORY / "conf/sweep/petals.yaml"
VALUES = ["--augment.mixup=0.2", "--model.layers=3.0", "--train.label_smoothing=0.05", "--train.learning_rate=0.001"]


def test_manifest_has_the_space_of_petals(desk):
    printed = desk.run(SWEEP, "--dry-run", names={"TARGET": "petals"})
    assert printed.code == 0, printed.err
    assert printed.commands[0][:4] == ["gcloud", "ai", "hp-tuning-jobs", "create"]
    manifest, found = yaml.safe_load(desk.rendered("vertex-ai-sweep.yaml")), space.read(SPACE)
    assert manifest["studySpec"] == vertex_engine.study(found)
    assert (manifest["maxTrialCount"], manifest["parallelTrialCount"]) == (found.trials, found.generation)
    assert manifest["trialJobSpec"]["workerPoolSpecs"][0]["containerSpec"]["command"][2] == "conf/sweep/petals.yaml"


def test_trial_trains_with_the_overrides_of_the_space_and_reports_each_epoch(tmp_path, monkeypatch):
    trained = {}

    def train(environment: dict[str, str]) -> None:
        trained.update(environment)
        rows = [{"epoch": epoch, "val_accuracy": 0.1 * epoch} for epoch in (1, 2)]
        canonical.write_json(tmp_path / "models/petals/training.json", {"epochs": rows})
        monkeypatch.chdir(tmp_path)

    monkeypatch.setattr(trial.train, "main", train)
    monkeypatch.chdir(REPOSITORY)
    file = tmp_path / "metrics/output.metrics"
    environment = {"CLOUD_ML_HP_METRIC_FILE": str(file), "CLOUD_ML_TRIAL_ID": "7"}
    trial.main([str(SPACE), *VALUES, "--train.weight_decay=0.1"], environment)
    assert trained["SET"].split()[1:] == [
        "augment.mixup=0.2",
        "model.layers=3",
        "train.label_smoothing=0.05",
        "train.learning_rate=0.001",
        "train.weight_decay=0.1",
    ]
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["trial"], line["val_accuracy"], line["global_step"]) for line in lines] == [
        ("7", "0.1", "1"),
        ("7", "0.2", "2"),
    ]


def test_trial_names_a_missing_value():
    with pytest.raises(BitBloomError, match=r"no value for train.weight_decay"):
        trial.overrides(Path(SPACE), "", VALUES)
