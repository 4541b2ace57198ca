"""The commands of a new user in a fresh checkout: a build of `petals-tiny`, builds after changes, and predictions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.checkouts import TARGET, changes, checkout, run

pytestmark = pytest.mark.slow


def test_clean_build_gives_the_expected_digests(built: Path) -> None:
    assert changes(built) == ""


def test_does_nothing_without_a_change(built: Path) -> None:
    run(built, "make", "all", TARGET)  # other tests of this checkout may have restored files, which are now newer
    assert "Nothing to be done" in run(built, "make", "all", TARGET)


def test_restores_deleted_output_without_training(built: Path) -> None:
    before = (built / "reports/petals-tiny/metrics.json").read_bytes()
    (built / "reports/petals-tiny/metrics.json").unlink()
    output = run(built, "make", "all", TARGET)
    assert "epoch 1:" not in output
    assert (built / "reports/petals-tiny/metrics.json").read_bytes() == before


def test_predicts_a_photo(built: Path) -> None:
    photo = sorted((built / "data/raw/petals-tiny").glob("*/*.jpg"))[0]
    prediction = json.loads(run(built, "bitbloom", "predict", "petals-tiny", str(photo)))
    assert list(prediction) == ["path", "label", "probability", "top5", "model_digest", "distance", "known"]
    assert prediction["top5"][0] == {"label": prediction["label"], "probability": prediction["probability"]}


def test_overrides_build_a_separate_variant(built: Path) -> None:
    output = run(built, "make", "train", TARGET, "SET=train.max_steps=2")
    workspace = built / next(line.split()[-1] for line in output.splitlines() if line.strip().startswith("workspace"))
    assert len((workspace / "models/petals-tiny/ledger.jsonl").read_text().splitlines()) == 2
    assert len((built / "models/petals-tiny/ledger.jsonl").read_text().splitlines()) == 24
    assert changes(built) == ""


def test_clean_keeps_own_data(tmp_path: Path) -> None:
    copy = checkout(tmp_path / "cleaned")
    own = copy / "data/external/petals-folder/rose/one.jpg"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    (copy / "models/petals-tiny").mkdir(parents=True)
    run(copy, "make", "clean")
    assert own.read_bytes() == b"mine"
    assert not (copy / "models").exists()
