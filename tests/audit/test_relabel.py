"""Corrected labels: an edited CSV, the file that git keeps, and the data that ingest makes of it."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pandas as pd
import pytest

from bitbloom.audit import relabel, table
from bitbloom.audit.table import Finding
from bitbloom.core.errors import BitBloomError
from bitbloom.data.relabels import Relabels
from bitbloom.data.sources import SourceFile
from bitbloom.pipeline import composition, graph
from support.command_line import run
from support.tiny import REPOSITORY

TARGET = "petals-tiny"
LABELS = {"a.png": "daisy", "b.png": "rose", "c.png": "tulip", "d.png": "lily"}
HEADER = "id,label,suggested,score,verdict\n"
OVERLAY = Path(f"conf/relabel/{TARGET}.csv")


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A project with the raw data of a target."""
    for name in ("conf", "weights.lock", "requirements.lock"):
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copyfile
        copy(REPOSITORY / name, tmp_path / name)
    for name in ("src", "bentos"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    monkeypatch.chdir(tmp_path)
    Path(f"data/raw/{TARGET}").mkdir(parents=True)
    pd.DataFrame({"id": list(LABELS), "label": list(LABELS.values())}).to_parquet(f"data/raw/{TARGET}/manifest.parquet")
    return tmp_path


def apply(*rows: str, header: str = HEADER, target: str = TARGET) -> relabel.Applied:
    """Apply a CSV of these rows."""
    file = Path("edited.csv")
    file.write_text(header + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return relabel.run(target, file)


def written() -> list[list[str]]:
    """The rows of the file of corrected labels."""
    with OVERLAY.open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))[1:]


def relabelled(files: list[SourceFile], overlay: Path) -> list[SourceFile]:
    """Apply a file of corrected labels as ingest does."""
    relabels = Relabels.read(overlay)
    found = list(relabels.apply(files))
    relabels.check_applied()
    return found


def files() -> list[SourceFile]:
    """The samples of the source."""
    return [SourceFile(name, label) for name, label in LABELS.items()]


@pytest.mark.usefixtures("workspace")
def test_verdicts_become_labels_of_the_data():
    assert apply("a.png,daisy,rose,0.01,rose", "b.png,rose,lily,0.2,") == relabel.Applied(OVERLAY, 1, 1)
    assert [file.label for file in relabelled(files(), OVERLAY)] == ["rose", "rose", "tulip", "lily"]


@pytest.mark.slow
@pytest.mark.usefixtures("workspace")
def test_second_relabel_adds_to_the_first():
    apply("a.png,daisy,rose,0.01,rose")
    assert apply("c.png,tulip,lily,0.01,lily") == relabel.Applied(OVERLAY, 2, 1)
    assert written() == [["a.png", "daisy", "rose"], ["c.png", "tulip", "lily"]]


@pytest.mark.slow
@pytest.mark.usefixtures("workspace")
def test_same_file_twice_changes_nothing():
    apply("a.png,daisy,rose,0.01,rose")
    before = OVERLAY.read_bytes()
    assert apply("a.png,daisy,rose,0.01,rose") == relabel.Applied(OVERLAY, 1, 0)
    assert OVERLAY.read_bytes() == before


@pytest.mark.usefixtures("workspace")
def test_label_that_was_confirmed_is_not_written():
    assert apply("a.png,daisy,rose,0.01,daisy").new == 0
    assert not OVERLAY.exists()


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x.png,daisy,rose,0.01,rose", "row 3: the data has no sample 'x.png'"),
        ("b.png,rose,lily,0.01,rosé", "row 3: no label 'rosé'; there are: bellflower"),
        ("b.png,lily,lily,0.01,lily", "row 3: 'b.png' has the label 'rose', not 'lily': write the right one into verdict"),
        ("a.png,daisy,rose,0.01,lily", "row 3: 'a.png' has two verdicts, 'rose' and 'lily'"),
    ],
)
def test_wrong_row_leaves_all_labels_as_they_are(row, message):
    with pytest.raises(BitBloomError, match=message) as error:
        apply("a.png,daisy,rose,0.01,rose", row)
    assert str(error.value).endswith("no label was changed")
    assert not OVERLAY.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("workspace")
def test_label_in_conflict_with_an_earlier_correction_is_refused():
    apply("a.png,daisy,rose,0.01,rose")
    with pytest.raises(BitBloomError, match=r"'a\.png' was already corrected from 'daisy' to 'rose'"):
        apply("a.png,rose,lily,0.01,lily", "b.png,rose,lily,0.01,lily")
    assert written() == [["a.png", "daisy", "rose"]]


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("id,label,suggested,score,correct\n", "lacks the columns verdict"),
        ("id,label,suggested,score,verdict,note\n", "also has the columns 'note'"),
    ],
)
def test_changed_columns_are_refused(header, message):
    with pytest.raises(BitBloomError, match=message):
        apply("a.png,daisy,rose,0.01,rose,", header=header)


@pytest.mark.slow
@pytest.mark.usefixtures("workspace")
def test_file_as_a_spreadsheet_saves_it_is_read():
    apply("a.png;daisy;rose;0,01;rose", header="\ufeff" + HEADER.replace(",", ";"))
    assert written() == [["a.png", "daisy", "rose"]]


@pytest.mark.usefixtures("workspace")
def test_many_errors_are_counted():
    with pytest.raises(BitBloomError, match="… and 3 more"):
        apply(*(f"{number}.png,daisy,rose,0.01,rose" for number in range(8)))


@pytest.mark.usefixtures("workspace")
def test_captions_have_no_labels():
    with pytest.raises(BitBloomError, match="has captions, not labels"):
        apply(target="captions-tiny")


@pytest.mark.usefixtures("workspace")
def test_ingest_depends_on_corrections_only_where_there_are_some():
    before = ingest_inputs()
    apply("a.png,daisy,rose,0.01,rose")
    assert ingest_inputs() - before == {OVERLAY.as_posix()}
    assert OVERLAY.as_posix() in Path(f"pipelines/{TARGET}/dvc.yaml").read_text(encoding="utf-8")
    assert OVERLAY.as_posix() not in Path("pipelines/petals/dvc.yaml").read_text(encoding="utf-8")


def ingest_inputs() -> set[str]:
    """What the ingest stage depends on."""
    return set(next(stage for stage in graph.stages(TARGET, composition.compose(TARGET)) if stage.stage == "ingest").inputs)


def test_without_corrections_the_source_decides(tmp_path):
    assert relabelled(files(), tmp_path / "none.csv") == files()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("z.png,daisy,rose\n", "the source has no sample 'z.png' any more"),
        ("a.png,lily,rose\n", "corrected from 'lily' to 'rose', and the source now says 'daisy'"),
        ("a.png,daisy\n", "row 2: not a value for each of id, before, label"),
        ("a.png,daisy,rose\na.png,daisy,lily\n", "row 3: 'a.png' has a second label"),
    ],
)
def test_ingest_refuses_corrections_that_do_not_fit_the_source(tmp_path, rows, message):
    (tmp_path / "labels.csv").write_text("id,before,label\n" + rows)
    with pytest.raises(BitBloomError, match=message):
        relabelled(files(), tmp_path / "labels.csv")


def test_ingest_refuses_a_file_of_another_form(tmp_path):
    (tmp_path / "labels.csv").write_text("id,label\n")
    with pytest.raises(BitBloomError, match="has the columns id, label, not id, before, label"):
        relabelled(files(), tmp_path / "labels.csv")


def test_source_that_was_corrected_itself_needs_no_correction(tmp_path):
    (tmp_path / "labels.csv").write_text("id,before,label\na.png,poppy,daisy\n")
    assert relabelled(files(), tmp_path / "labels.csv") == files()


def test_csv_of_an_audit_is_read_back(tmp_path):
    findings = [Finding('a "b", c.png', "one, two", "three", 0.25), Finding("d.png", "é", "three", 1.0)]
    (tmp_path / "found.csv").write_text(table.text(findings), encoding="utf-8")
    assert table.text(findings).splitlines()[2] == "d.png,é,three,1.000000,"
    assert [(row.id, row.label, row.verdict) for row in table.read(tmp_path / "found.csv")] == [
        ('a "b", c.png', "one, two", ""),
        ("d.png", "é", ""),
    ]


@pytest.mark.usefixtures("workspace")
def test_command_names_the_next_step(capsys):
    Path("edited.csv").write_text(HEADER + "a.png,daisy,rose,0.01,rose\n")
    code, out, _ = run(capsys, "relabel", TARGET, "edited.csv")
    assert (code, out.splitlines()[0]) == (0, f"{OVERLAY}: corrected labels: 1 new, 1 in all")
    assert f"make all TARGET={TARGET}" in out
