"""What a pull request is told of its data and its model: verdicts with pictures, metrics and digests beside the main branch's."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from PIL import Image

from bitbloom.ci import data, model
from bitbloom.core.errors import BitBloomError
from bitbloom.validation.verdict import FAILED, NOT_CHECKED, PASSED, Finding, Verdict

PASS = Finding("has_rows", "ExpectTableRowCount", "There are rows.", "Add rows.", PASSED, {})
UNCHECKED = Finding("widths", "ExpectColumn", "Wide enough.", "Add wider.", NOT_CHECKED, {})


def fault(rows: list[dict[str, object]], count: int | None = None) -> Finding:
    return Finding(
        "sharp_enough",
        "ExpectValues",
        "Photos are sharp.",
        "Focus: then again.",
        FAILED,
        {},
        {"sharp": 0.1},
        len(rows) if count is None else count,
        rows,
    )


def verdict(*findings: Finding) -> Verdict:
    return Verdict("petals", 3, findings, ())


@pytest.fixture
def photos(tmp_path: Path) -> tuple[pd.DataFrame, Path]:
    """A manifest of three photos, of which one cannot be read, and their folder."""
    raw = tmp_path / "raw"
    raw.mkdir()
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (40, 20), colour).save(raw / name)
    (raw / "broken.png").write_bytes(b"no picture")
    names = ["a.png", "b.png", "broken.png"]
    return pd.DataFrame({"id": names, "path": names, "width": [40, 40, 0]}), raw


def test_a_changed_suite_concerns_the_targets_of_its_task_whose_data_is_here():
    found = data.concerned(["expectations/petals.json"])
    assert {"petals", "petals-tiny"} <= set(found)
    assert not any(name.startswith(("tweets", "captions")) or name == "petals-folder" for name in found)


def test_changed_data_concerns_its_own_target():
    assert data.concerned(["data/external/petals-folder.dvc"]) == ["petals-folder"]


@pytest.mark.parametrize("path", ["src/bitbloom/cli.py", "data/external/notes.txt", "expectations/README.md", "other/petals.dvc"])
def test_other_files_concern_no_target(path):
    assert data.concerned([path]) == []


def test_a_report_of_no_target_says_so_and_passes(tmp_path):
    assert data.report(["README.md"], tmp_path)
    assert "No target has this data" in (tmp_path / "comment.md").read_text()


def test_a_section_of_sound_data_counts_what_holds(tmp_path, photos):
    assert "All 1 expectations hold for 3 rows." in data.section("petals", verdict(PASS), *photos, tmp_path)
    assert list(tmp_path.glob("*.png")) == []


def test_photos_at_fault_are_named_and_shown_side_by_side(tmp_path, photos):
    rows = [{"id": name, "value": 0.1} for name in ("b.png", "broken.png")]
    text = data.section("petals", verdict(PASS, fault(rows), UNCHECKED), *photos, tmp_path)
    assert "1 of 3 expectations fail on 3 rows." in text
    assert "What to do: Focus: then again." in text
    assert "2 rows at fault, the first 2" in text
    assert "Not checked, because a column they read is missing or of a wrong type: widths." in text
    assert "](petals-sharp-enough.png)" in text
    picture = Image.open(tmp_path / "petals-sharp-enough.png")
    middle = [picture.getpixel((8 + place * (data.SIDE + 8) + data.SIDE // 2, 8 + data.SIDE // 2)) for place in range(2)]
    assert middle == [(0, 0, 255), data.UNREADABLE]


def test_a_fault_of_the_whole_table_shows_what_was_found_and_no_picture(tmp_path, photos):
    text = data.section("petals", verdict(fault([])), *photos, tmp_path)
    assert 'Found: {"sharp": 0.1}' in text
    assert "](" not in text


def test_texts_at_fault_have_no_picture(tmp_path):
    rows = [{"id": "1", "value": "x"}]
    manifest = pd.DataFrame({"id": ["1"], "text": ["x"]})
    assert "](" not in data.section("tweets", verdict(fault(rows)), manifest, tmp_path, tmp_path)


def lock(path: Path, **stages: str) -> Path:
    path.write_text(
        yaml.safe_dump({"schema": "2.0", "stages": {name.replace("_", "-"): {"cmd": text} for name, text in stages.items()}})
    )
    return path


def test_targets_with_another_record_are_changed_and_those_with_own_data_are_not(tmp_path):
    base = lock(tmp_path / "base", train_petals="a", train_tweets="a", train_petals_folder="a")
    head = lock(tmp_path / "head", train_petals="b", train_tweets="a", train_petals_folder="b", train_captions_tiny="a")
    assert model.changed_targets(base, head) == ["captions-tiny", "petals"]


def test_a_file_without_stages_is_no_lock(tmp_path):
    (tmp_path / "base").write_text("a: 1\n")
    with pytest.raises(BitBloomError, match=r"no dvc\.lock"):
        model.changed_targets(tmp_path / "base", tmp_path / "base")


def built(place: Path, accuracy: float, digest: str) -> Path:
    """What `ci collect` writes of a target."""
    folder = place / "petals"
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps({"test": {"accuracy": accuracy, "top3": 0.5}, "sure": True, "table": [1, 2]}))
    (folder / "training.json").write_text(json.dumps({"epochs": [{"epoch": 1, "loss": accuracy}, {"epoch": 2, "loss": None}]}))
    (folder / "digests.json").write_text(json.dumps({"models/petals/model.safetensors": digest, "data/raw/petals": "same"}))
    return place


def test_a_metric_that_changed_is_shown_with_both_values_and_the_others_are_counted(tmp_path):
    model.report(built(tmp_path / "base", 0.5, "a" * 64), built(tmp_path / "head", 0.75, "b" * 64), tmp_path / "report")
    text = (tmp_path / "report/comment.md").read_text()
    assert "| test.accuracy | 0.5 | 0.75 | +0.25 |" in text
    assert "1 metrics are the same." in text
    assert f"| models/petals/model.safetensors | {'a' * 12} | {'b' * 12} |" in text
    assert "data/raw" not in text
    assert Image.open(io.BytesIO((tmp_path / "report/petals-curves.png").read_bytes())).width > 200


def test_a_target_that_the_main_branch_lacks_is_shown_whole(tmp_path):
    (tmp_path / "base").mkdir()
    model.report(tmp_path / "base", built(tmp_path / "head", 0.75, "b" * 64), tmp_path / "report")
    assert "| test.accuracy | none | 0.75 |" in (tmp_path / "report/comment.md").read_text()


def test_equal_builds_have_equal_bytes_and_no_table(tmp_path):
    base, head = (built(tmp_path / side, 0.5, "a" * 64) for side in ("base", "head"))
    model.report(base, head, tmp_path / "report")
    text = (tmp_path / "report/comment.md").read_text()
    assert "All 2 outputs are the same bytes." in text
    assert "| metric |" not in text


def test_a_report_on_nothing_is_refused(tmp_path):
    with pytest.raises(BitBloomError, match="nothing was built"):
        model.report(tmp_path, tmp_path, tmp_path / "report")
