"""The commands of a new user for photos with sentences in a fresh checkout: `captions-tiny`, and its predictions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bitbloom.pipeline import graph
from support.checkouts import changes, run

pytestmark = pytest.mark.slow
NAME = "captions-tiny"


@pytest.fixture(scope="module")
def built_captions(built: Path) -> Path:
    """The checkout with captions-tiny built as well."""
    output = run(built, "env", "WORKERS=1", "make", "all", f"TARGET={NAME}")
    assert f"train: {graph.DOES['train']}\n" in output and "places" not in output  # no encoder is frozen
    return built


def test_build_with_one_worker_gives_the_expected_digests(built_captions: Path) -> None:
    assert changes(built_captions) == ""


def test_predicts_sentences_of_every_photo_in_order(built_captions: Path) -> None:
    photos = sorted((built_captions / "data/raw" / NAME).rglob("*.jpg"))[:2]
    lines = run(built_captions, "bitbloom", "predict", NAME, *map(str, photos)).splitlines()
    predictions = [json.loads(line) for line in lines]
    assert [prediction["path"] for prediction in predictions] == list(map(str, photos))
    for prediction in predictions:
        scores = [sentence["score"] for sentence in prediction["sentences"]]
        assert scores == sorted(scores, reverse=True) and all(sentence["sentence"] for sentence in prediction["sentences"])


def test_features_of_frozen_encoders_are_computed_once(built_captions: Path) -> None:
    frozen = "SET=model.image_layers=0 model.text_layers=0 train.max_steps=2"
    output = run(built_captions, "make", "train", f"TARGET={NAME}", frozen)
    assert "places [192, 1, 37, 96]" in output and "meanings [192, 3, 96]" in output
    longer = frozen.replace("max_steps=2", "max_steps=3 train.label_smoothing=0.1")
    again = run(built_captions, "make", "train", f"TARGET={NAME}", longer)
    assert "epoch" in again and "places" not in again  # another training reuses the features
    assert changes(built_captions) == ""


def test_missing_own_captions_error_names_the_command(built_captions: Path) -> None:
    output = run(built_captions, "make", "all", "TARGET=captions-folder", fails=True)
    assert "make all TARGET=captions-folder CAPTIONS=path/to/folder" in output
