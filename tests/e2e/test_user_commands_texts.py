"""The commands of a new user for texts in a fresh checkout: `tweets-tiny` with one worker, and its predictions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.checkouts import changes, run

pytestmark = pytest.mark.slow
NAME = "tweets-tiny"


@pytest.fixture(scope="module")
def built_texts(built: Path) -> Path:
    """The checkout with tweets-tiny built as well."""
    assert "epoch 2" in run(built, "env", "WORKERS=1", "make", "all", f"TARGET={NAME}")
    return built


def test_build_with_one_worker_gives_the_expected_digests(built_texts: Path) -> None:
    assert changes(built_texts) == ""


def test_predicts_every_row_in_order(built_texts: Path, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("id,text,keyword\n8,the flood hit the market,flood\n3,what a party,\n")
    lines = run(built_texts, "bitbloom", "predict", NAME, str(file)).splitlines()
    predictions = [json.loads(line) for line in lines]
    assert [prediction["id"] for prediction in predictions] == ["8", "3"]
    assert {prediction["label"] for prediction in predictions} <= {"disaster", "not disaster"}


def test_summary_names_an_example_input(built_texts: Path) -> None:
    assert f"bitbloom predict {NAME} tweets.csv" in run(built_texts, "bitbloom", "build", NAME)


def test_missing_own_tweets_error_names_the_command(built_texts: Path) -> None:
    output = run(built_texts, "make", "all", "TARGET=tweets-kaggle", fails=True)
    assert "make all TARGET=tweets-kaggle TWEETS=path/to/train.csv" in output
