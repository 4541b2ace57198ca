"""What a newcomer types for texts, in a checkout of their own: `tweets-tiny` by one worker, and its answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.checkouts import changes, run

pytestmark = pytest.mark.slow
NAME = "tweets-tiny"


@pytest.fixture(scope="module")
def built_texts(built: Path) -> Path:
    """The checkout in which tweets-tiny was built, too."""
    assert "epoch 2" in run(built, "env", "WORKERS=1", "make", "all", f"TARGET={NAME}")
    return built


def test_a_build_by_one_worker_leaves_the_claim_unchanged(built_texts: Path) -> None:
    assert changes(built_texts) == ""


def test_the_exported_model_answers_for_every_row_in_order(built_texts: Path, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("id,text,keyword\n8,the flood hit the market,flood\n3,what a party,\n")
    lines = run(built_texts, "bitbloom", "predict", NAME, str(file)).splitlines()
    answers = [json.loads(line) for line in lines]
    assert [answer["id"] for answer in answers] == ["8", "3"]
    assert {answer["label"] for answer in answers} <= {"disaster", "not disaster"}


def test_the_summary_names_what_its_model_can_be_asked(built_texts: Path) -> None:
    assert f"bitbloom predict {NAME} tweets.csv" in run(built_texts, "bitbloom", "build", NAME)


def test_a_target_of_ones_own_tweets_without_any_says_what_to_type(built_texts: Path) -> None:
    said = run(built_texts, "make", "all", "TARGET=tweets-kaggle", fails=True)
    assert "make all TARGET=tweets-kaggle TWEETS=path/to/train.csv" in said
