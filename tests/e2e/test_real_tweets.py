"""Kaggle's disaster tweets through import, gate and splits. Their F1 is measured by `make bench-tweets`.

The file is in BITBLOOM_REAL_DATA, by default `shared/data` beside the repository.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from bitbloom.config.target import Target, params_path
from bitbloom.core import canonical
from bitbloom.data.dataset import Dataset
from bitbloom.data.importing import import_data
from bitbloom.data.sources import tweets_csv
from bitbloom.pipeline import composition
from bitbloom.stages import ingest, prepare, validate

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("BITBLOOM_REAL_DATA", ROOT.parent / "shared" / "data"))
FILE = DATA / "disaster_tweets.csv"

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not FILE.exists(), reason=f"no {FILE.name} in BITBLOOM_REAL_DATA ({DATA.name})"),
]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """tweets-kaggle on the real file, ingested, in a separate workspace."""
    folder = tmp_path_factory.mktemp("tweets")
    composed = composition.compose("tweets-kaggle")
    before = Path.cwd()
    os.chdir(folder)
    try:
        for shared in ("expectations", "weights.lock"):
            (folder / shared).symlink_to(ROOT / shared)
        (folder / ".bitbloom").mkdir()
        (ROOT / ".bitbloom/weights").mkdir(parents=True, exist_ok=True)
        (folder / ".bitbloom/weights").symlink_to(ROOT / ".bitbloom/weights")
        canonical.write_text(params_path("tweets-kaggle"), composition.yaml_text(composed))
        import_data(FILE, Path("data/external/tweets-kaggle"), tweets_csv)
        loaded = Target.load("tweets-kaggle")
        ingest.run(loaded)
        yield loaded
    finally:
        os.chdir(before)


def test_every_tweet_has_a_row_and_its_label(target: Target) -> None:
    manifest = pd.read_parquet(target.manifest)
    assert len(manifest) == 6083
    assert set(manifest["label"]) == {"disaster", "not disaster"}
    assert not manifest["text"].str.contains("&amp;|https?://[a-z]", regex=True).any()
    assert not manifest["keyword"].str.contains("%20").any()


def test_tweets_pass_the_gate_and_repeats_are_reported(target: Target) -> None:
    validate.run(target)
    validation = canonical.read_json(target.reports / "validation.json")
    assert validation["success"]
    rows = {one["name"]: one for one in validation["expectations"]}
    assert rows["conflicting-texts"]["rows_at_fault"]["count"] == 215


def test_repeated_tweets_share_a_split(target: Target) -> None:
    prepare.run(target)
    samples = Dataset.open(target.processed).samples
    assert samples.groupby("key")["split"].nunique().max() == 1
    assert samples["key"].duplicated().any()
    assert samples["split"].value_counts(normalize=True)["test"] == pytest.approx(0.2, abs=0.03)
