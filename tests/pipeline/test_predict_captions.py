"""`bitbloom predict` on photos to be described: one object a photo, and what cannot be read."""

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
    """Exit code, the objects printed, and what was said on stderr."""
    monkeypatch.setattr(sys, "argv", ["bitbloom", "predict", "captions-folder", *files])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    return ended.value.code or 0, [json.loads(line) for line in said.out.splitlines()], said.err


def test_predicts_sentences_of_each_photo_in_order(project, capsys, monkeypatch):
    code, answers, _ = predict(capsys, monkeypatch, "red.jpg", "blue.jpg")
    assert code == 0
    assert [list(answer) for answer in answers] == [["path", "sentences", "model_digest"]] * 2
    assert [answer["path"] for answer in answers] == ["red.jpg", "blue.jpg"]
    assert [answer["sentences"][0]["sentence"] for answer in answers] == ["a red flower", "a blue flower"]
    assert {answer["model_digest"] for answer in answers} == {
        model_files.digest(model_files.files(project / "models/captions-folder"))
    }
    for answer in answers:
        scores = [one["score"] for one in answer["sentences"]]
        assert scores == sorted(scores, reverse=True)


def test_unreadable_file_has_an_error_and_others_a_prediction(project, capsys, monkeypatch):
    (project / "notes.txt").write_text("words")
    code, answers, _ = predict(capsys, monkeypatch, "notes.txt", "red.jpg", "gone.jpg")
    assert code == 1
    assert [list(answer) for answer in answers] == [["path", "error"], ["path", "sentences", "model_digest"], ["path", "error"]]
    assert "not an image" in str(answers[0]["error"])
    assert "No such file" in str(answers[2]["error"])


def test_names_missing_model_file(project, capsys, monkeypatch):
    (project / "models/captions-folder/decoder.onnx").unlink()
    code, answers, said = predict(capsys, monkeypatch, "red.jpg")
    assert (code, answers) == (1, [])
    assert "decoder.onnx is missing" in said
