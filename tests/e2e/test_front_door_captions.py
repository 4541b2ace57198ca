"""What a newcomer types for photos with sentences, in a checkout of their own: `captions-tiny`, and its answers."""

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
    """The checkout in which captions-tiny was built, too."""
    said = run(built, "env", "WORKERS=1", "make", "all", f"TARGET={NAME}")
    assert f"Running stage '{graph.stage_name('train', NAME)}'" in said and "places" not in said  # no tower is frozen
    return built


def test_build_with_one_worker_gives_the_expected_digests(built_captions: Path) -> None:
    assert changes(built_captions) == ""


def test_predicts_sentences_of_every_photo_in_order(built_captions: Path) -> None:
    photos = sorted((built_captions / "data/raw" / NAME).rglob("*.jpg"))[:2]
    lines = run(built_captions, "bitbloom", "predict", NAME, *map(str, photos)).splitlines()
    answers = [json.loads(line) for line in lines]
    assert [answer["path"] for answer in answers] == list(map(str, photos))
    for answer in answers:
        scores = [sentence["score"] for sentence in answer["sentences"]]
        assert scores == sorted(scores, reverse=True) and all(sentence["sentence"] for sentence in answer["sentences"])


def test_features_of_frozen_encoders_are_computed_once(built_captions: Path) -> None:
    frozen = "SET=model.image_layers=0 model.text_layers=0 train.max_steps=2"
    said = run(built_captions, "make", "train", f"TARGET={NAME}", frozen)
    assert "places [192, 1, 37, 96]" in said and "meanings [192, 3, 96]" in said
    longer = frozen.replace("max_steps=2", "max_steps=3 train.label_smoothing=0.1")
    again = run(built_captions, "make", "train", f"TARGET={NAME}", longer)
    assert "epoch" in again and "places" not in again  # another training asks the towers nothing
    assert changes(built_captions) == ""


def test_missing_own_captions_error_names_the_command(built_captions: Path) -> None:
    said = run(built_captions, "make", "all", "TARGET=captions-folder", fails=True)
    assert "make all TARGET=captions-folder CAPTIONS=path/to/folder" in said
