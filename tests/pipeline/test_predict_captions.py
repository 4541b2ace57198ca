"""`bitbloom predict` with a caption model: one object for each photo, and unreadable files."""

from __future__ import annotations

import json
import sys

import pytest

from bitbloom import cli
from bitbloom.serving import model_files
from support.caption_standin import photo, write_model


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with an exported model of photos and sentences, and two photos."""
    write_model(tmp_path / "models/captions-folder")
    for colour in ("red", "blue"):
        (tmp_path / f"{colour}.jpg").write_bytes(photo(colour))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def predict(capsys, monkeypatch, *files: str) -> tuple[int, list[dict[str, object]], str]:
    """Exit code, printed objects and stderr."""
    monkeypatch.setattr(sys, "argv", ["bitbloom", "predict", "captions-folder", *files])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    output = capsys.readouterr()
    return ended.value.code or 0, [json.loads(line) for line in output.out.splitlines()], output.err


def test_predicts_sentences_of_each_photo_in_order(project, capsys, monkeypatch):
    code, predictions, _ = predict(capsys, monkeypatch, "red.jpg", "blue.jpg")
    assert code == 0
    assert [list(prediction) for prediction in predictions] == [["path", "sentences", "model_digest"]] * 2
    assert [prediction["path"] for prediction in predictions] == ["red.jpg", "blue.jpg"]
    assert [prediction["sentences"][0]["sentence"] for prediction in predictions] == ["a red flower", "a blue flower"]
    assert {prediction["model_digest"] for prediction in predictions} == {
        model_files.digest(model_files.files(project / "models/captions-folder"))
    }
    for prediction in predictions:
        scores = [one["score"] for one in prediction["sentences"]]
        assert scores == sorted(scores, reverse=True)


def test_unreadable_file_has_an_error_and_others_a_prediction(project, capsys, monkeypatch):
    (project / "notes.txt").write_text("words")
    code, predictions, _ = predict(capsys, monkeypatch, "notes.txt", "red.jpg", "gone.jpg")
    assert code == 1
    assert [list(prediction) for prediction in predictions] == [
        ["path", "error"],
        ["path", "sentences", "model_digest"],
        ["path", "error"],
    ]
    assert "not an image" in str(predictions[0]["error"])
    assert "No such file" in str(predictions[2]["error"])


def test_names_missing_model_file(project, capsys, monkeypatch):
    (project / "models/captions-folder/decoder.onnx").unlink()
    code, predictions, errors = predict(capsys, monkeypatch, "red.jpg")
    assert (code, predictions) == (1, [])
    assert "decoder.onnx is missing" in errors
