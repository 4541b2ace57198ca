"""Profiles of data: the part that a manifest gives, and the accepted file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.drift.observations import IMAGE, Observations
from bitbloom.validation import profiling
from bitbloom.versions import profile
from support.synthetic_manifest import manifest


@given(st.permutations(range(36)))
def test_order_of_rows_does_not_matter(order):
    rows = manifest()
    assert profiling.profile(rows.iloc[order]) == profiling.profile(rows)


def test_manifest_of_photos_has_counts_and_quantiles_and_no_vocabulary():
    found = profiling.profile(manifest())
    assert (found["rows"], found["splits"], found["vocabulary"]) == (36, None, None)
    assert found["labels"] == {"daisy": 12, "rose": 12, "tulip": 12}
    numbers = {"aspect", "brightness", "bytes", "contrast", "height", "width"}
    measures = {"highlights", "margin", "noise", "orientation", "saturation", "shadows", "sharpness", "variety"}
    assert set(found["numeric"]) == numbers | measures
    assert found["numeric"]["bytes"] == {
        "min": 3000,
        "p05": 3000,
        "p25": 3002.75,
        "p50": 3005.5,
        "p75": 3008.25,
        "p95": 3011,
        "max": 3011,
    }


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_quantiles_ascend_within_the_values(values):
    found = profiling.profile(pd.DataFrame({"label": "a", "size": values}))["numeric"]["size"]
    ascending = [found[name] for name in profiling.QUANTILES]
    assert ascending == sorted(ascending)
    assert ascending[0] == pytest.approx(min(values), rel=1e-5)
    assert ascending[-1] == pytest.approx(max(values), rel=1e-5)


def test_missing_and_infinite_numbers_do_not_count():
    rows = pd.DataFrame({"label": "a", "size": [1.0, np.nan, np.inf], "none": [np.nan] * 3, "good": [True] * 3})
    assert set(profiling.profile(rows)["numeric"]) == {"size"}
    assert profiling.profile(rows)["numeric"]["size"]["max"] == 1.0


def test_vocabulary_has_the_most_frequent_words():
    rows = pd.DataFrame({"label": "a", "normalised": ["fire and fire\nsmoke"] + [f"word{number:04}" for number in range(900)]})
    found = profiling.profile(rows)["vocabulary"]
    assert len(found) == profiling.WORDS
    assert (found["fire"], found["smoke"], found["word0000"]) == (2, 1, 1)
    assert "word0899" not in found


def test_given_splits_are_counted():
    rows = manifest().assign(attributes=[json.dumps({"split": "train" if row else "test"}) for row in range(36)])
    assert profiling.profile(rows)["splits"] == {"train": 35, "val": 0, "test": 1}


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "data/raw/petals/manifest.parquet"
    file.parent.mkdir(parents=True)
    manifest().to_parquet(file, index=False)
    canonical.write_text(tmp_path / "params/petals.yaml", "prepare:\n  split: [70, 10, 20]\n")
    return tmp_path


@pytest.mark.usefixtures("workspace")
def test_accepted_profile_without_model_says_so():
    done = profile.accept("petals")
    assert done.path == Path("expectations/profiles/petals.json")
    assert canonical.read_json(done.path) == done.content
    assert done.content["centroids"] is None
    assert "make export TARGET=petals" in done.missing
    assert (done.content["target"], sum(done.content["splits"].values())) == ("petals", 36)


@pytest.mark.usefixtures("workspace")
def test_accepting_the_same_data_again_changes_nothing():
    assert profile.accept("petals").changed
    assert not profile.accept("petals").changed


def write_reference(folder: Path, ids: list[str], embeddings: object) -> None:
    rows = Observations.of(
        IMAGE, {"brightness": [0.5] * len(ids)}, embeddings=np.array(embeddings), id=ids, split=["val"] * len(ids)
    )
    (folder / "models/petals").mkdir(parents=True)
    rows.write(folder / "models/petals/reference.parquet")


def test_centroid_is_the_mean_embedding_of_a_label(workspace):
    write_reference(workspace, ["rose/001.jpg", "rose/002.jpg", "tulip/000.jpg"], [[1.0, 0.0], [2.0, 1.0], [0.0, -1.0]])
    done = profile.accept("petals")
    assert done.content["centroids"] == {"rose": [1.5, 0.5], "tulip": [0.0, -1.0]}
    assert done.missing == ""
    assert '  "rose": [1.5, 0.5],\n' in done.path.read_text()


def test_reference_of_other_data_gives_no_centroids(workspace):
    write_reference(workspace, ["iris/001.jpg"], [[1.0, 0.0]])
    done = profile.accept("petals")
    assert done.content["centroids"] is None
    assert "is of other data" in done.missing


def test_profile_needs_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BitBloomError, match="run `make data TARGET=petals` first"):
        profile.accept("petals")


@given(st.dictionaries(st.text(), st.one_of(st.lists(st.integers()), st.text(), st.none())))
def test_text_of_a_profile_is_json_of_the_same_value(content):
    assert json.loads(profile.text(content)) == content
