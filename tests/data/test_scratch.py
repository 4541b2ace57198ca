"""Large arrays of `prepare` outside the memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bitbloom.config.sections.prepare import Prepare
from bitbloom.data import scratch
from bitbloom.data.dataset import Dataset
from bitbloom.tasks.petals import samples
from support.standin import photo


@pytest.fixture
def on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scratch, "LARGE", 1)
    return tmp_path


def test_large_array_is_a_mapped_file_that_leaves_nothing(on_disk: Path) -> None:
    array = scratch.empty((3, 2), np.int16)
    array[:] = 7
    assert isinstance(array, np.memmap)
    assert array.sum() == 42
    assert list((on_disk / scratch.FOLDER).iterdir()) == []


def test_small_array_is_in_memory() -> None:
    assert not isinstance(scratch.empty((3, 2), np.int16), np.memmap)


def test_packed_files_are_the_same_from_disk_and_memory(on_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = [photo((seed, 40 * seed, 90)) for seed in range(4)]
    rows = pd.DataFrame({"label": ["rose", "iris", "rose", "iris"]})
    for name, large in (("disk", 1), ("memory", 1 << 40)):
        monkeypatch.setattr(scratch, "LARGE", large)
        arrays, meta = samples.pack(rows, raw, Prepare(image_size=16))
        Dataset(arrays, rows, meta).save(on_disk / name)
    assert (on_disk / "disk/images.npy").read_bytes() == (on_disk / "memory/images.npy").read_bytes()
