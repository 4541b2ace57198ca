"""The predictor, and what `bitbloom predict` prints with it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitbloom.core.digests import file_digest
from bitbloom.core.errors import BitBloomError, UnreadableImage
from bitbloom.serving.files import predict_files, print_predictions
from bitbloom.serving.predictor import Predictor
from support.standin import COLOURS, SIDE, photo, write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models") / "model.onnx")


@pytest.fixture(scope="module")
def predictor(model):
    return Predictor.open(model)


@pytest.mark.parametrize("label", COLOURS)
def test_each_colour_gets_its_own_label(predictor, label):
    assert predictor.predict(photo(COLOURS[label], kind="PNG"))["label"] == label


def test_classes_side_and_digest_are_those_of_the_file(predictor, model):
    assert predictor.classes == tuple(COLOURS)
    assert predictor.image_size == SIDE
    assert predictor.digest == file_digest(model)


def test_the_folder_of_a_model_opens_like_its_file(predictor, model):
    assert Predictor.open(model.parent).digest == predictor.digest


def test_a_model_of_another_digest_is_refused(model):
    with pytest.raises(BitBloomError, match="not 0000"):
        Predictor.open(model, "0" * 64)


def test_a_missing_model_is_an_error_that_says_how_to_build_it(tmp_path):
    with pytest.raises(BitBloomError, match="make export"):
        Predictor.open(tmp_path)


def test_a_file_that_is_no_model_is_refused_by_name(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(BitBloomError, match="cannot be loaded"):
        Predictor.open(tmp_path)


def test_a_model_without_our_metadata_is_refused(model, tmp_path):
    bare = onnx.load(model)
    del bare.metadata_props[:]
    onnx.save(bare, tmp_path / "model.onnx")
    with pytest.raises(BitBloomError, match="metadata"):
        Predictor.open(tmp_path)


def test_a_photo_over_the_limit_of_pixels_is_unreadable(model):
    small = Predictor.open(model, max_pixels=100)
    with pytest.raises(UnreadableImage, match="limit of 100 pixels"):
        small.predict(photo((1, 2, 3)))


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_choices_are_the_likeliest_first_and_keep_every_bit_of_the_model(predictor, colour):
    answer = predictor.predict(photo(colour, kind="PNG"))
    image = np.broadcast_to(np.array(colour, np.uint8)[:, None, None], (3, SIDE, SIDE))
    expected = np.sort(predictor.ask(image)[0])[::-1][:5]
    assert [np.float32(choice["probability"]) for choice in answer["top5"]] == list(expected)


def test_files_are_answered_in_order_as_one_object_a_line_and_the_code_tells_of_errors(model, tmp_path):
    good, bad, gone = tmp_path / "good.jpg", tmp_path / "bad.jpg", tmp_path / "gone.jpg"
    good.write_bytes(photo(COLOURS["fern"]))
    bad.write_bytes(b"words")
    stream = io.StringIO()
    assert print_predictions(predict_files(model, [bad, good, gone, tmp_path]), stream) == 1
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["path"] for line in lines] == [str(bad), str(good), str(gone), str(tmp_path)]
    assert [sorted(line) for line in lines[::2]] == [["error", "path"]] * 2
    assert list(lines[1]) == ["path", "label", "probability", "top5", "model_digest"]
    assert "directory" in lines[3]["error"]


def test_the_code_is_zero_when_every_file_has_an_answer(model, tmp_path):
    file = tmp_path / "good.jpg"
    file.write_bytes(photo(COLOURS["fern"]))
    assert print_predictions(predict_files(model, [file]), io.StringIO()) == 0
    assert next(predict_files(model, [file]))["label"] == "fern"


def test_a_model_that_is_asked_keeps_what_it_does_to_itself(model, tmp_path):
    """ONNX Runtime would write an identifier and a queue of events below HOME, and send them."""
    code = (
        "import pathlib as p; from bitbloom.serving.predictor import Predictor as P; print(P.open(p.Path(sys.argv[1])).classes)"
    )
    kept = {"PATH": os.environ["PATH"]}
    isolated = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}", str(model)]
    said = subprocess.run(isolated, env=kept | {"HOME": str(tmp_path)}, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert "poppy" in said
    assert list(tmp_path.iterdir()) == []
