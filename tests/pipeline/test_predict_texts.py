"""`bitbloom predict` and `bitbloom submission` on texts: CSV files, lines, and unreadable files."""

from __future__ import annotations

import csv
import io
import json
import sys

import pytest

from bitbloom import cli
from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import submission
from support.text_standin import write_model
from support.tiny import REPOSITORY

ROWS = [("7", "fire", "Leeds", "a flood &amp; a fire"), ("9", "", "", "what a party"), ("12", "", "", " ")]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with an exported text model and a CSV file of three rows, the last of them empty."""
    (tmp_path / "conf").symlink_to(REPOSITORY / "conf")
    write_model(tmp_path / "models/tweets-kaggle/model.onnx")
    with (tmp_path / "rows.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("id", "keyword", "location", "text"), *ROWS])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def predict(capsys, monkeypatch, *files: str) -> tuple[int, list[dict[str, object]], str]:
    """Exit code, printed objects and stderr."""
    monkeypatch.setattr(sys, "argv", ["bitbloom", "predict", "tweets-kaggle", *files])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    output = capsys.readouterr()
    return ended.value.code or 0, [json.loads(line) for line in output.out.splitlines()], output.err


def test_predicts_each_csv_row_in_order(project, capsys, monkeypatch) -> None:
    code, predictions, _ = predict(capsys, monkeypatch, "rows.csv")
    assert code == 1  # one row has no prediction
    assert [prediction["id"] for prediction in predictions] == ["7", "9", "12"]
    assert list(predictions[0]) == ["id", "label", "probability", "model_digest"]
    assert [prediction.get("label") for prediction in predictions] == ["disaster", "not disaster", None]
    assert "nothing is left" in str(predictions[2]["error"])


def test_numbers_lines_from_one(project, capsys, monkeypatch) -> None:
    (project / "lines.txt").write_text("a flood\nno party\n", encoding="utf-8")
    code, predictions, _ = predict(capsys, monkeypatch, "lines.txt")
    assert code == 0
    assert [(prediction["id"], prediction["label"]) for prediction in predictions] == [("1", "disaster"), ("2", "not disaster")]


def test_reads_lines_from_standard_input(project, capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("fire\n"))
    code, predictions, _ = predict(capsys, monkeypatch, "-")
    assert (code, predictions[0]["label"]) == (0, "disaster")


def test_ignores_byte_order_mark(project, capsys, monkeypatch) -> None:
    (project / "rows.csv").write_text("\ufefftext,id\nfire,3\n", encoding="utf-8")
    _, predictions, _ = predict(capsys, monkeypatch, "rows.csv")
    assert (predictions[0]["id"], predictions[0]["label"]) == ("3", "disaster")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"id,words\n1,a\n", "lacks the columns text"), (b"text\n\xff\xfe\n", "cannot be read as text in UTF-8")],
)
def test_names_malformed_file(project, capsys, monkeypatch, content, message) -> None:
    (project / "rows.csv").write_bytes(content)
    code, predictions, errors = predict(capsys, monkeypatch, "rows.csv")
    assert (code, predictions) == (1, [])
    assert f"rows.csv {message}" in errors


def test_names_missing_file(project, capsys, monkeypatch) -> None:
    code, _, errors = predict(capsys, monkeypatch, "gone.csv")
    assert code == 1
    assert "gone.csv cannot be read" in errors


def test_submission_has_exactly_the_ids(project) -> None:
    place = submission.write("tweets-kaggle", project / "rows.csv")
    assert place.read_text() == "id,target\n7,1\n9,0\n12,0\n"


def test_submission_rejects_missing_import(project) -> None:
    with pytest.raises(BitBloomError, match=r"no test.csv was imported for tweets-kaggle"):
        submission.write("tweets-kaggle")


def test_submission_defaults_to_the_imported_rows(project) -> None:
    (project / "data/external/tweets-kaggle").mkdir(parents=True)
    (project / "rows.csv").rename(project / "data/external/tweets-kaggle/test.csv")
    assert submission.write("tweets-kaggle").read_text().count("\n") == 4
