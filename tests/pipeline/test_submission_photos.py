"""`bitbloom submission` on the unlabelled TFRecords of "Petals to the Metal"."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitbloom.core.errors import BitBloomError
from bitbloom.data.sources.tfrecords import shards
from bitbloom.data.sources.tfrecords.shards import Photo
from bitbloom.pipeline import submission
from bitbloom.tasks.petals import submission as petals
from support.standin import COLOURS, photo, write_model
from support.tiny import REPOSITORY

CLASSES = ["another", *sorted(COLOURS, reverse=True)]
"""The class numbers differ from the model's order, and there is a class that the model does not know."""
SOURCE = {"classes": CLASSES}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A model, and two shards with a photo of each class, b before a."""
    write_model(tmp_path / "models/model.onnx")
    for number, (name, colour) in enumerate(sorted(COLOURS.items())):
        shards.write(tmp_path / "test", number, 192, [Photo(f"{'zyxwvu'[number]}-{name}", photo(colour), None)])
    return tmp_path


def lines(project: Path, source: dict[str, object] = SOURCE) -> list[str]:  # type: ignore[assignment]
    petals.write(project / "models", project / "test", project / "out/submission.csv", source)
    return (project / "out/submission.csv").read_text().splitlines()


def expected() -> list[str]:
    return [f"{'zyxwvu'[number]}-{name},{CLASSES.index(name)}" for number, name in enumerate(sorted(COLOURS))]


def test_writes_the_class_number_of_every_photo_in_the_order_of_the_shards(project: Path) -> None:
    assert lines(project) == ["id,label", *expected()]


def test_follows_the_order_of_the_sample_submission(project: Path) -> None:
    ids = sorted(line.partition(",")[0] for line in expected())
    (project / "sample_submission.csv").write_text("id,label\n" + "".join(f"{name},103\n" for name in ids))
    assert lines(project) == ["id,label", *sorted(expected())]


def test_rejects_sample_submission_with_other_ids(project: Path) -> None:
    (project / "sample_submission.csv").write_text("id,label\nq,0\n")
    with pytest.raises(BitBloomError, match=r"its ids are not those of the shards \(1 are in no shard"):
        lines(project)
    assert not (project / "out/submission.csv").exists()


def test_unreadable_photo_gets_a_class_because_every_id_is_required(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shards.write(project / "test", len(COLOURS), 192, [Photo("broken", b"no photo", None)])
    assert lines(project)[-1] == "broken,0"
    assert "broken: not an image of a known format" in capsys.readouterr().err


def test_rejects_model_of_other_classes(project: Path) -> None:
    with pytest.raises(BitBloomError, match=r"has classes that source.classes lacks"):
        lines(project, {"classes": CLASSES[:-1]})


def test_rejects_target_without_class_numbers(project: Path) -> None:
    with pytest.raises(BitBloomError, match=r"source.classes is empty for models"):
        lines(project, {})


def test_rejects_missing_shard(project: Path) -> None:
    (project / "test/00-192x192-1.tfrec").unlink()
    with pytest.raises(BitBloomError, match="1 shards of test are missing"):
        lines(project)


def test_names_what_was_not_imported(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "conf").symlink_to(REPOSITORY / "conf")
    monkeypatch.chdir(project)
    with pytest.raises(BitBloomError, match="no test was imported for petals-104: give it"):
        submission.write("petals-104")
