"""Source `folder` with folders of splits: refused by default, used if the user says so."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bitbloom.config.sections.prepare import Prepare
from bitbloom.config.target import Target
from bitbloom.core.digests import folder_files
from bitbloom.core.errors import BitBloomError
from bitbloom.data.importing import import_data
from bitbloom.data.sources import folder
from bitbloom.data.sources.folder import Config, collect, fetch
from bitbloom.data.split_folders import role
from bitbloom.stages import ingest, prepare

CLASSES = ("rose", "tulip")


def write_photo(path: Path) -> None:
    """Write a unique photo of noise."""
    seed = sum(number * byte for number, byte in enumerate(str(path.name).encode() + path.parent.name.encode(), start=1))
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).resize((40, 30), Image.Resampling.NEAREST).save(stream, "PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(stream.getvalue())


def fill(root: Path, *patterns: str) -> Path:
    """Write a photo for each pattern; `*` stands for both classes."""
    for pattern in patterns:
        for name in CLASSES:
            write_photo(root / pattern.replace("*", name))
    return root


LAYOUTS = {
    "training_set/test_set": ({"training_set/*/1.png", "test_set/*/2.png"}, {"train", "test"}),
    "seg_train/seg_test/seg_pred": (
        {"seg_train/seg_train/*/1.png", "seg_test/seg_test/*/2.png", "seg_pred/seg_pred/3.png"},
        {"train", "test"},
    ),
    "Train/Test/predict": ({"Train/*/1.png", "Test/*/2.png", "predict/3.png"}, {"train", "test"}),
    "train/val/annotations": ({"train/*/1.png", "val/*/2.png"}, {"train", "val"}),
    "train/valid/test": ({"train/*/1.png", "valid/*/2.png", "test/*/3.png"}, {"train", "val", "test"}),
    "training/validation/evaluation": (
        {"training/*/1.png", "validation/*/2.png", "evaluation/*/3.png"},
        {"train", "val", "test"},
    ),
    "TRAIN/DEV/TEST in a wrapper": (
        {"data/set/TRAIN/*/1.png", "data/set/DEV/*/2.png", "data/set/TEST/*/3.png"},
        {"train", "val", "test"},
    ),
    "train2017/val2017": ({"train2017/*/1.png", "val2017/*/2.png"}, {"train", "val"}),
    "01-TrainingData/02-TestData": ({"01-TrainingData/*/1.png", "02-TestData/*/2.png"}, {"train", "test"}),
    "train/test1 without labels": ({"train/*/1.png", "test1/test1/2.png"}, {"train"}),
    "train/test without classes": ({"train/*/1.png", "test/2.png"}, {"train"}),
    "class/split": ({"*/train/1.png", "*/test/2.png"}, {"train", "test"}),
    "class/split with other photos": ({"*/Training/1.png", "*/Validation/2.png", "*/unlabeled/3.png"}, {"train", "val"}),
}


@pytest.fixture(params=LAYOUTS.values(), ids=LAYOUTS.keys())
def layout(request, tmp_path):
    patterns, splits = request.param
    root = fill(tmp_path / "in", *patterns)
    if "val/*/2.png" in patterns:
        (root / "annotations").mkdir()
        (root / "annotations/boxes.xml").write_text("<xml/>")
    return root, splits


def test_refuses_splits_with_advice(layout, tmp_path):
    with pytest.raises(BitBloomError, match=r"look like splits: SET=source\.splits=given uses them") as caught:
        collect(layout[0], tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_given_splits_are_those_of_the_folders(layout, tmp_path):
    root, splits = layout
    files = collect(root, tmp_path / "out", "given")
    assert {file.attributes["split"] for file in files} == splits
    assert {file.label for file in files} == set(CLASSES)
    assert all(file.path.startswith(f"{file.attributes['split']}/{file.label}/") for file in files)
    assert {split: {file.path[-5] for file in files if file.attributes["split"] == split} for split in splits} == {
        split: {str(number)} for number, split in zip((1, 2, 3), sorted(splits, key=["train", "val", "test"].index), strict=False)
    }


def test_imported_splits_are_read_again(layout, tmp_path):
    root, splits = layout
    place = tmp_path / "data/external/mine"
    import_data(Path(shutil.make_archive(str(tmp_path / "packed"), "zip", root)), place, folder, splits="given")
    assert {Path(name).parts[0] for name in folder_files(place)} == splits
    files = fetch(Config(path=str(place), splits="given"), tmp_path / "raw")
    assert {file.path.removeprefix("train/") for file in files} == {name.removeprefix("train/") for name in folder_files(place)}
    assert {file.attributes["split"] for file in files} == splits


def test_same_archive_is_imported_again_with_other_splits(tmp_path):
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "tar", fill(tmp_path / "in", "train/*/1.png", "test/*/2.png")))
    place = tmp_path / "data/external/mine"
    import_data(packed, place, folder, splits="none")
    assert import_data(packed, place, folder, splits="given")["files"] == 4
    with pytest.raises(BitBloomError, match="look like splits"):
        import_data(packed, place, folder, splits="computed")


LOOSE = {
    "in test": ("test/loose.jpg", {"train/*/1.png", "test/*/2.png"}, {"train", "test"}),
    "in val": ("val/loose.jpg", {"train/*/1.png", "val/*/2.png", "test/*/3.png"}, {"train", "val", "test"}),
    "in train": ("train/loose.jpg", {"train/*/1.png", "test/*/2.png"}, {"train", "test"}),
    "in a wrapper": ("seg_train/loose.jpg", {"seg_train/seg_train/*/1.png", "seg_test/seg_test/*/2.png"}, {"train", "test"}),
    "in a wrapped split": ("test/test/loose.jpg", {"train/train/*/1.png", "test/test/*/2.png"}, {"train", "test"}),
    "in a class of splits": ("rose/loose.jpg", {"*/train/1.png", "*/test/2.png"}, {"train", "test"}),
}


@pytest.mark.parametrize(("loose", "patterns", "splits"), LOOSE.values(), ids=LOOSE)
def test_loose_photo_discards_no_split(tmp_path, capsys, loose, patterns, splits):
    root = fill(tmp_path / "in", *patterns)
    write_photo(root / loose)
    with pytest.raises(BitBloomError, match="look like splits"):
        collect(root, tmp_path / "out")
    files = collect(root, tmp_path / "out", "given")
    assert {(file.attributes["split"], file.label) for file in files} == {(split, name) for split in splits for name in CLASSES}
    assert f"skipped 1 file that is not an image in a class folder: {loose}\n" in capsys.readouterr().err


def test_loose_photo_makes_no_class_of_the_only_split(tmp_path):
    root = fill(tmp_path / "in", "train/*/1.png", "train/loose.png")
    assert {file.label for file in collect(root, tmp_path / "out")} == set(CLASSES)
    assert {file.attributes["split"] for file in collect(root, tmp_path / "given", "given")} == {"train"}


def test_loose_photo_makes_no_class_of_a_fold(tmp_path):
    root = fill(tmp_path / "in", "fold1/*/1.png", "fold2/*/2.png", "fold1/loose.png")
    with pytest.raises(BitBloomError, match=r"hold folders of the same names \(rose, tulip\).*source\.splits=none"):
        collect(root, tmp_path / "out")


def test_loose_photos_in_all_splits_discard_none(tmp_path):
    root = fill(tmp_path / "in", "train/*/1.png", "test/*/2.png", "train/loose.png", "test/loose.png")
    assert len(collect(root, tmp_path / "out", "given")) == 4


STRANGERS = {
    "photos": ({"train/*/1.png", "sample_images/1.png"}, {}),
    "photos and notes": ({"train/*/1.png", "sample_images/1.png"}, {"models/model.bin": "x"}),
    "photos beside a wrapper": ({"train/train/*/1.png", "sample_images/1.png"}, {}),
    "no photos": ({"train/*/1.png"}, {"models/model.bin": "x"}),
    "deep files": ({"test/*/1.png"}, {"models/v1/model.bin": "x"}),
}


@pytest.mark.parametrize(("patterns", "others"), STRANGERS.values(), ids=STRANGERS)
def test_asks_about_a_split_beside_other_folders(tmp_path, patterns, others):
    root = fill(tmp_path / "in", *patterns)
    for name, text in others.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    with pytest.raises(BitBloomError, match=r"(train|test) look like splits: .*splits=given uses them, and .*splits=none"):
        collect(root, tmp_path / "out")
    if (root / "train").is_dir():
        files = collect(root, tmp_path / "out", "given")
        assert {(file.attributes["split"], file.label) for file in files} == {("train", name) for name in CLASSES}


@pytest.mark.parametrize("splits", ["computed", "given"])
@pytest.mark.parametrize("form", ["{0}/{1}/1", "{1}/{0}/1"], ids=["train/images", "images/train"])
@pytest.mark.parametrize(("labels", "suffix"), [("labels", ".txt"), ("Annotations", ".xml")])
def test_folders_of_annotations_are_no_classes(tmp_path, form, labels, suffix, splits):
    for split in ("train", "val"):
        write_photo(tmp_path / "in" / (form.format(split, "images") + ".png"))
        file = tmp_path / "in" / (form.format(split, labels) + suffix)
        file.parent.mkdir(parents=True)
        file.write_text("0 0.5 0.5 0.1 0.1")
    with pytest.raises(BitBloomError, match="look like splits without classes: put the photos of each class into a folder"):
        collect(tmp_path / "in", tmp_path / "out", splits)


CLASSES_AFTER_ALL = {
    "a class named train": {"train/1.png", "car/1.png", "plane/1.png"},
    "a class train with kinds": {"train/steam/1.png", "train/diesel/1.png", "car/red/1.png", "car/blue/1.png"},
    "valid and invalid": {"valid/1.png", "invalid/1.png"},
    "train stations and airports": {"train station/1.png", "airport/1.png"},
    "deeper folders of other names": {"daisy/x/1.png", "rose/y/1.png"},
    "one deeper folder of one name": {"daisy/images/1.png", "rose/images/1.png"},
}


@pytest.mark.parametrize("patterns", CLASSES_AFTER_ALL.values(), ids=CLASSES_AFTER_ALL)
def test_names_alone_make_no_split(tmp_path, patterns):
    files = collect(fill(tmp_path / "in", *patterns), tmp_path / "out")
    assert {file.label for file in files} == {pattern.split("/")[0] for pattern in patterns}
    assert all(not file.attributes for file in files)


@pytest.mark.parametrize("names", [("fold1", "fold2"), ("2019", "2020", "2021"), ("set_a", "trainval")])
def test_refuses_the_same_classes_in_folders_of_other_names(tmp_path, names):
    root = fill(tmp_path / "in", *(f"{name}/*/{name}.png" for name in names))
    for splits in ("computed", "given"):
        with pytest.raises(BitBloomError, match=r"hold folders of the same names \(rose, tulip\).*source\.splits=none"):
            collect(root, tmp_path / "out", splits)
    assert {file.label for file in collect(root, tmp_path / "out", "none")} == set(names)


INVALID = {
    "photos without classes": ({"train/1.png", "test/2.png"}, "look like splits without classes"),
    "no splits": ({"rose/1.png", "tulip/1.png"}, "needs folders for train, val and test"),
    "two folders of one split": ({"train/*/1.png", "train_more/*/2.png", "test/*/3.png"}, "train and train_more are both train"),
    "a class only in test": ({"train/*/1.png", "test/*/2.png", "test/daisy/3.png"}, "the split train has no folder daisy"),
    "classes in a folder of another name": (
        {"train/*/1.png", "test/*/2.png", "more/*/3.png"},
        "more is none of train, val and test",
    ),
    "a copy of all splits": (
        {"train/*/1.png", "test/*/2.png", "all/train/*/1.png", "all/test/*/2.png"},
        "all is none of train, val and test",
    ),
    "one class": ({"train/rose/1.png", "test/rose/2.png"}, "only one class, rose"),
    "labels of two forms": ({"train/*/1.png", "test/Rose/2.png", "test/tulip/1.png"}, "differ only in case"),
}


@pytest.mark.parametrize(("patterns", "says"), INVALID.values(), ids=INVALID)
def test_rejects_given_splits_that_are_not_clear(tmp_path, patterns, says):
    with pytest.raises(BitBloomError, match=says) as caught:
        collect(fill(tmp_path / "in", *patterns), tmp_path / "out", "given")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_rejects_unknown_value_of_splits(tmp_path):
    with pytest.raises(BitBloomError, match=r"source\.splits is 'yes'; it has to be one of computed, given, none"):
        collect(fill(tmp_path / "in", "*/1.png"), tmp_path / "out", "yes")


def test_names_and_counts_photos_without_label(tmp_path, capsys):
    root = fill(tmp_path / "in", "train/*/1.png", "test/*/2.png", "predict/1.png", "predict/2.png", "predict/3.png")
    collect(root, tmp_path / "out", "given")
    assert "skipped predict, which has no classes of a split (3 files)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("Training Set", "train"),
        ("flowers_trainset", "train"),
        ("TrainImages", "train"),
        ("val2014", "val"),
        ("Validation", "val"),
        ("dev", "val"),
        ("test_images", "test"),
        ("hold-out", None),
        ("holdout", "test"),
        ("unlabelled", ""),
        ("train_test", None),
        ("trainer", None),
        ("contest", None),
        ("rose", None),
    ],
)
def test_words_of_a_name_decide_its_split(name, split):
    assert role(name) == split


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKERS", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def prepared(splits: tuple[str, ...], percents: list[int]) -> pd.DataFrame:
    """Ingest and prepare photos with these given splits; return the samples."""
    for split in splits:
        fill(Path("photos"), *(f"{split}/*/{split}-{number}.png" for number in range(40)))
    source = {"kind": "folder", "path": "photos", "splits": "given"}
    target = Target("mine", {"task": "petals", "source": source, "prepare": Prepare(image_size=24, split=percents)})
    ingest.run(target)
    prepare.run(target)
    return pd.read_parquet("data/processed/mine/samples.parquet")


def test_given_splits_are_the_splits_of_the_prepared_data(workspace):
    samples = prepared(("train", "val", "test"), [70, 10, 20])
    assert (samples["split"] == samples["id"].str.split("/").str[0]).all()
    assert samples["split"].value_counts().to_dict() == {"train": 80, "val": 80, "test": 80}


@pytest.mark.parametrize(
    ("given", "percents", "fraction"),
    [
        (("train", "test"), [70, 10, 20], 10 / 80),
        (("train", "val"), [70, 10, 20], 20 / 90),
        (("train", "test"), [50, 50, 0], 0.5),
    ],
)
def test_absent_split_is_taken_from_train_in_proportion(workspace, given, percents, fraction):
    samples = prepared(given, percents)
    folders = samples["id"].str.split("/").str[0]
    absent = ({"train", "val", "test"} - set(given)).pop()
    assert set(samples["split"]) == {"train", "val", "test"}
    assert set(folders[samples["split"] == absent]) == {"train"}
    assert (samples["split"] == folders)[folders != "train"].all()
    assert (samples["split"] == absent).sum() / 80 == pytest.approx(fraction, abs=0.12)
