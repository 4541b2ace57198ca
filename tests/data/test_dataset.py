"""Processed data: what `Dataset.open` accepts after `save`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitbloom.core.errors import BitBloomError
from bitbloom.data.dataset import Dataset, write_checksums
from support import tiny


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("processed") / "flowers"
    tiny.dataset(samples=36).save(folder)
    return folder


def test_opened_arrays_are_those_that_were_saved(saved):
    data, opened = tiny.dataset(samples=36), Dataset.open(saved)
    assert set(opened.arrays) == set(data.arrays)
    assert all(np.array_equal(opened.arrays[name], array) for name, array in data.arrays.items())
    assert all(isinstance(array, np.memmap) for array in opened.arrays.values())


@given(st.data())
def test_any_changed_byte_of_an_array_is_refused(saved, data):
    file = data.draw(st.sampled_from(sorted(saved.glob("*.npy"))))
    content = bytearray(file.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    before = content[position]
    content[position] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    try:
        with pytest.raises(BitBloomError, match=rf"{file.name} is damaged according to checksums\.json: delete .*flowers"):
            Dataset.open(saved)
    finally:
        content[position] = before
        file.write_bytes(content)
    Dataset.open(saved)


def test_missing_and_unrecorded_arrays_are_refused(tmp_path):
    tiny.dataset(samples=36).save(tmp_path / "processed")
    (tmp_path / "processed/images.npy").rename(tmp_path / "processed/photos.npy")
    with pytest.raises(BitBloomError, match=r"images\.npy is missing according to checksums\.json"):
        Dataset.open(tmp_path / "processed")
    np.save(tmp_path / "processed/images.npy", np.zeros(3))
    write_checksums(tmp_path / "processed")
    np.save(tmp_path / "processed/zeros.npy", np.zeros(3))
    with pytest.raises(BitBloomError, match=r"zeros\.npy is not recorded according to checksums\.json"):
        Dataset.open(tmp_path / "processed")


def test_features_have_checksums_of_their_own(tmp_path):
    tiny.dataset(samples=36).save(tmp_path / "processed")
    (tmp_path / "features").mkdir()
    np.save(tmp_path / "features/pooled.npy", np.ones((36, 4), np.float32))
    with pytest.raises(BitBloomError, match=r"features has no checksums\.json"):
        Dataset.open(tmp_path / "processed", tmp_path / "features")
    write_checksums(tmp_path / "features")
    assert "pooled" in Dataset.open(tmp_path / "processed", tmp_path / "features").arrays
