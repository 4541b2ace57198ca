"""Ingest, validate and prepare: from photos in folders to arrays and splits."""

from __future__ import annotations

import io
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bitbloom import stages
from bitbloom.config.sections.gate import Gate
from bitbloom.config.sections.prepare import Prepare
from bitbloom.config.target import Target
from bitbloom.core.digests import digest, file_digest
from bitbloom.core.errors import BitBloomError, GateFailed
from bitbloom.data.dataset import Dataset
from bitbloom.numerics import pins
from bitbloom.stages import ingest, prepare, validate
from support.tiny import REPOSITORY

PHOTOS = {"rose": 30, "tulip": 30}


def photo(number: int) -> bytes:
    """A unique photo of noise, 40×30."""
    pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).resize((40, 30), Image.Resampling.NEAREST).save(stream, "PNG")
    return stream.getvalue()


def target(**sections) -> Target:
    source = {"kind": "folder", "path": "photos"}
    defaults = {"task": "petals", "source": source, "prepare": Prepare(image_size=24), "gate": Gate()}
    return Target("mine", defaults | sections)


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Photos of two classes, one of them truncated."""
    monkeypatch.setenv("WORKERS", "1")
    (tmp_path / "expectations").symlink_to(REPOSITORY / "expectations")
    monkeypatch.chdir(tmp_path)
    for start, (label, count) in enumerate(PHOTOS.items()):
        folder = tmp_path / "photos" / label
        folder.mkdir(parents=True)
        for number in range(count):
            (folder / f"{number:02}.png").write_bytes(photo(1000 * start + number))
    (tmp_path / "photos/rose/cut-off.png").write_bytes(photo(9)[:200])
    return tmp_path


def test_manifest_has_one_sorted_row_for_each_photo(workspace):
    ingest.run(target())
    manifest = pd.read_parquet("data/raw/mine/manifest.parquet")
    assert list(manifest["id"]) == sorted(manifest["id"])
    assert manifest["label"].value_counts().to_dict() == {"rose": 31, "tulip": 30}
    row = manifest.set_index("id").loc["tulip/03.png"]
    assert (
        row["sha256"] == file_digest(workspace / "photos/tulip/03.png") == file_digest(workspace / "data/raw/mine/tulip/03.png")
    )
    assert (row["width"], row["height"], row["mode"], row["source"]) == (40, 30, "RGB", "folder")
    assert row["bytes"] == (workspace / "photos/tulip/03.png").stat().st_size


def test_manifest_has_the_error_of_an_undecodable_photo(workspace):
    ingest.run(target())
    row = pd.read_parquet("data/raw/mine/manifest.parquet").set_index("id").loc["rose/cut-off.png"]
    assert not row["decodable"]
    assert row["error"]
    assert (row["width"], row["perceptual_hash"]) == (0, "")


def test_several_workers_write_the_same_bytes(workspace, monkeypatch):
    ingest.run(target())
    alone = digest(workspace / "data/raw/mine")
    monkeypatch.setenv("WORKERS", "2")
    ingest.run(target())
    assert digest(workspace / "data/raw/mine") == alone


def test_failed_ingest_keeps_earlier_data(workspace):
    ingest.run(target())
    before = digest(workspace / "data/raw/mine")
    with pytest.raises(BitBloomError, match="there is no such folder"):
        ingest.run(target(source={"kind": "folder", "path": "nowhere"}))
    assert digest(workspace / "data/raw/mine") == before
    assert [path.name for path in (workspace / "data/raw").iterdir()] == ["mine"]


def test_prepared_data_has_each_decodable_photo_once(workspace):
    ingest.run(target())
    prepare.run(target())
    data = Dataset.open(workspace / "data/processed/mine")
    assert data.arrays["images"].shape == (60, 3, 24, 24)
    assert data.arrays["images"].dtype == np.uint8
    assert data.meta == {"classes": ["rose", "tulip"], "image_size": 24}
    assert [data.meta["classes"][label] for label in data.arrays["labels"]] == list(data.samples["label"])
    assert "rose/cut-off.png" not in set(data.samples["id"])
    assert sum(len(data.split(name)) for name in ("train", "val", "test")) == 60 - data.samples["excluded"].sum()


def test_prepare_gives_the_same_bytes_again(workspace):
    ingest.run(target())
    found = []
    for _ in range(2):
        prepare.run(target())
        found.append(digest(workspace / "data/processed/mine"))
    assert found[0] == found[1]


def test_copy_in_another_format_shares_the_split_or_is_excluded(workspace):
    for number in range(30):
        original = Image.open(workspace / f"photos/rose/{number:02}.png")
        original.save(workspace / f"photos/rose/{number:02}-copy.jpg", quality=95)
    ingest.run(target())
    prepare.run(target())
    rows = Dataset.open(workspace / "data/processed/mine").samples.set_index("id")
    straddling = 0
    for number in range(30):
        one, copy = rows.loc[f"rose/{number:02}.png"], rows.loc[f"rose/{number:02}-copy.jpg"]
        if one["split"] != copy["split"]:
            straddling += 1
            assert one["excluded"] != copy["excluded"]
            assert "near-duplicate of rose/" in one["reason"] + copy["reason"]
    assert straddling > 3


def test_leak_between_given_splits_is_reported_and_left_out_of_training(workspace, capsys):
    for split, numbers in {"train": range(20), "val": range(20, 25), "test": range(25, 30)}.items():
        for label in PHOTOS:
            (workspace / "splits" / split / label).mkdir(parents=True)
            for number in numbers:
                name = f"{label}/{number:02}.png"
                (workspace / "photos" / name).rename(workspace / "splits" / split / name)
    again = Image.open(workspace / "splits/test/rose/25.png")
    again.save(workspace / "splits/train/rose/again.bmp")
    chosen = target(source={"kind": "folder", "path": "splits", "splits": "given"})
    ingest.run(chosen)
    prepare.run(chosen)
    assert "near-duplicates between the splits that the source gives (train and test: 1)" in capsys.readouterr().out
    dataset = Dataset.open(chosen.processed)
    assert dataset.meta["leaks"] == [{"lower": "train", "higher": "test", "pairs": 1}]
    samples = dataset.samples.set_index("id")
    assert list(samples.index[samples["excluded"]]) == ["train/rose/again.bmp"]
    assert samples.loc["train/rose/again.bmp", "reason"] == "near-duplicate of test/rose/25.png in test"


def test_rejects_empty_split_and_writes_nothing(workspace):
    ingest.run(target())
    with pytest.raises(BitBloomError, match=r"mine: no sample falls in val: add data or change prepare.split"):
        prepare.run(target(prepare=Prepare(image_size=24, split=[80, 0, 20])))
    assert not (workspace / "data/processed/mine").exists()


def test_gate_names_damaged_photo(workspace):
    ingest.run(target())
    with pytest.raises(GateFailed, match=r"rose/cut-off\.png"):
        validate.run(target())
    assert (workspace / "reports/mine/validation.json").exists()


def test_gate_passes_good_photos(workspace, capsys):
    (workspace / "photos/rose/cut-off.png").unlink()
    ingest.run(target())
    validate.run(target(gate=Gate(side=[30, 40])))
    assert "expectations hold for 60 rows" in capsys.readouterr().out


def test_validate_without_data_names_the_command(workspace):
    with pytest.raises(BitBloomError, match="run `make data TARGET=mine` first"):
        validate.run(target())


@pytest.fixture
def pinned(monkeypatch):
    for key, value in pins.environment("portable").items():
        monkeypatch.setenv(key, value)


@pytest.mark.usefixtures("pinned")
def test_stage_loads_its_target_with_declared_sections(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "argv", ["prepare", "petals-tiny"])
    stages.main(seen.append, ("task", "prepare"))
    assert seen[0].name == "petals-tiny"
    assert set(seen[0].sections) == {"task", "prepare"}


@pytest.mark.usefixtures("pinned")
def test_stage_error_is_one_line_and_exit_code_one(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["prepare", "petals-tiny"])

    def fail(_: Target) -> None:
        raise BitBloomError("no petals: add some")

    with pytest.raises(SystemExit) as ended:
        stages.main(fail, ())
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: no petals: add some\n"


def test_stage_without_target_prints_usage(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["prepare"])
    with pytest.raises(SystemExit, match="usage: prepare TARGET"):
        stages.main(lambda _: None, ())
