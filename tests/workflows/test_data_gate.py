"""The data report of a pull request: affected targets, the verdict as text, and pictures of failing samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from PIL import Image

from bitbloom.ci import data
from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.validation.verdict import FAILED, NOT_CHECKED, PASSED, Check, Verdict
from bitbloom.versions import command
from bitbloom.versions.command import Compared
from bitbloom.versions.data import Version as VersionOfData
from bitbloom.versions.diff import Sample, compare

PASS = Check("has_rows", "ExpectTableRowCount", "There are rows.", "Add rows.", PASSED, {})
UNCHECKED = Check("widths", "ExpectColumn", "Wide enough.", "Add wider.", NOT_CHECKED, {})


def failure(*ids: str) -> Check:
    rows = [{"id": name, "value": 0.1} for name in ids]
    observed = {"rows_checked": 3}
    return Check("sharp_enough", "ExpectValues", "Photos are sharp.", "Focus.", FAILED, {}, observed, len(rows), rows)


@pytest.fixture
def photos(tmp_path: Path) -> tuple[pd.DataFrame, Path]:
    """A manifest of three photos, one of them unreadable, and their folder."""
    raw = tmp_path / "raw"
    raw.mkdir()
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (40, 20), colour).save(raw / name)
    (raw / "broken.png").write_bytes(b"no picture")
    names = ["a.png", "b.png", "broken.png"]
    return pd.DataFrame({"id": names, "path": names, "width": [40, 40, 0]}), raw


def test_changed_suite_concerns_targets_of_its_task_whose_data_is_here():
    found = data.concerned(["expectations/petals.json"])
    assert {"petals", "petals-tiny"} <= set(found)
    assert not any(name.startswith(("tweets", "captions")) or name == "petals-folder" for name in found)


def test_changed_data_concerns_its_own_target():
    assert data.concerned(["data/external/petals-folder.dvc"]) == ["petals-folder"]


@pytest.mark.parametrize("path", ["src/bitbloom/cli/use.py", "data/external/notes.txt", "expectations/README.md", "a/petals.dvc"])
def test_other_files_concern_no_target(path):
    assert data.concerned([path]) == []


def test_report_without_targets_passes(tmp_path):
    assert data.report(["README.md"], tmp_path)
    assert "No target has this data" in (tmp_path / "comment.md").read_text()


def test_failing_target_fails_the_report(tmp_path, photos, monkeypatch):
    verdicts = {"petals": Verdict("petals", 3, (PASS,), ()), "petals-tiny": Verdict("petals", 3, (PASS, failure("b.png")), ())}
    monkeypatch.setattr(data, "concerned", lambda changed: sorted(verdicts))
    monkeypatch.setattr(data, "examine", lambda target: (verdicts[target], *photos))
    assert not data.report(["expectations/petals.json"], tmp_path / "report")
    text = (tmp_path / "report/comment.md").read_text()
    assert "### petals: passed\n\nAll 1 expectations hold for 3 rows." in text
    assert "### petals-tiny: failed" in text
    assert [file.name for file in (tmp_path / "report").glob("*.png")] == ["petals-tiny-sharp-enough.png"]


def test_section_of_failure_names_rows_advice_and_what_was_not_checked():
    text = data.section("petals", Verdict("petals", 3, (PASS, failure("b.png", "broken.png"), UNCHECKED), ()))
    assert "1 of 3 expectations fail on 3 rows" in text
    assert "rows at fault: 2 of 3: b.png (0.1), broken.png (0.1)" in text
    assert "what to do: Focus." in text
    assert "not checked, because a column they read is missing or of a wrong type: widths" in text


def test_failing_photos_are_shown_side_by_side(tmp_path, photos):
    data.picture(failure("b.png", "broken.png"), *photos, tmp_path / "fault.png")
    picture = Image.open(tmp_path / "fault.png")
    middle = [picture.getpixel((8 + place * (data.SIDE + 8) + data.SIDE // 2, 8 + data.SIDE // 2)) for place in range(2)]
    assert middle == [(0, 0, 255), data.UNREADABLE]


def test_failure_of_the_whole_table_has_no_picture(tmp_path, photos):
    data.picture(failure(), *photos, tmp_path / "fault.png")
    assert not (tmp_path / "fault.png").exists()


def test_failing_texts_have_no_picture(tmp_path):
    data.picture(failure("1"), pd.DataFrame({"id": ["1"], "text": ["x"]}), tmp_path, tmp_path / "fault.png")
    assert not (tmp_path / "fault.png").exists()


LOCK = "stages:\n  ingest:\n    outs:\n    - path: data/raw/{}\n      md5: {}\n"


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks of three targets, of which the base has other raw data for all but one."""
    monkeypatch.chdir(tmp_path)
    before = {"petals": "old.dir", "petals-tiny": "new.dir", "petals-folder": "old.dir"}
    for name in before:
        canonical.write_text(Path(f"pipelines/{name}/dvc.lock"), LOCK.format(name, "new.dir"))
    embedded = {name: SimpleNamespace(embedded=name != "petals-folder") for name in before}
    monkeypatch.setattr(data.composition, "targets", lambda: sorted(before))
    monkeypatch.setattr(data.composition, "compose", embedded.__getitem__)
    monkeypatch.setattr(data.git, "show", lambda base, path: LOCK.format(path.parent.name, before[path.parent.name]).encode())


@pytest.mark.usefixtures("locks")
def test_changed_raw_data_are_compared_if_they_are_here():
    changed = [f"pipelines/{name}/dvc.lock" for name in ("petals", "petals-tiny", "petals-folder", "removed")]
    assert data.with_other_data(changed, "main") == ["petals"]
    assert data.with_other_data(["data/external/petals-folder.dvc"], "main") == ["petals-folder"]
    assert data.with_other_data(["src/pipelines/petals/dvc.lock"], "main") == []


def compared(*after: Sample) -> Compared:
    before = [Sample("a.png", "1", "1", "rose", "train", "a.png")]
    sides = [VersionOfData(name, samples, lambda path: b"", True) for name, samples in (("main", before), ("now", after))]
    return Compared("petals", *sides, compare(before, after))


def test_difference_has_a_page_and_fails_if_samples_moved(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "run", lambda target, base: compared(Sample("a.png", "1", "1", "rose", "test", "a.png")))
    text, safe = data.difference("petals", "main", tmp_path / "page.html")
    assert "1 samples moved between splits" in text
    assert not safe
    assert "Samples moved between splits" in (tmp_path / "page.html").read_text()


def test_relabelled_samples_fail_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "run", lambda target, base: compared(Sample("a.png", "1", "1", "lily", "train", "a.png")))
    text, safe = data.difference("petals", "main", tmp_path / "page.html")
    assert "| relabelled | a.png · rose · train | a.png · lily · train |" in text
    assert safe


def test_data_of_base_that_are_not_here_are_reported(tmp_path, monkeypatch):
    def fail(target: str, base: str) -> Compared:
        raise BitBloomError("the data are in no remote")

    monkeypatch.setattr(command, "run", fail)
    text, safe = data.difference("petals", "main", tmp_path / "page.html")
    assert text == "### petals: its data are not compared\n\n```text\nthe data are in no remote\n```\n"
    assert safe


def test_moved_samples_fail_the_report(tmp_path, photos, monkeypatch):
    monkeypatch.setattr(data, "with_other_data", lambda changed, base: ["petals"])
    monkeypatch.setattr(data, "examine", lambda target: (Verdict("petals", 3, (PASS,), ()), *photos))
    monkeypatch.setattr(command, "run", lambda target, base: compared(Sample("a.png", "1", "1", "rose", "test", "a.png")))
    assert not data.report(["pipelines/petals/dvc.lock"], tmp_path / "report", "main")
    text = (tmp_path / "report/comment.md").read_text()
    assert text.index("### petals: passed") < text.index("### petals: data since main")
    assert (tmp_path / "report/petals-data-diff.html").exists()


def test_section_shows_failed_expectations_that_are_not_critical():
    warning = replace(PASS, name="few_rows", outcome=FAILED, severity="warning")
    text = data.section("petals", Verdict("petals", 3, [PASS, warning], []))
    assert text.startswith("### petals: passed, with warnings")
    assert "[few_rows, warning]" in text
