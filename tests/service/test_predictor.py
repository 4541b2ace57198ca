"""The predictor, and the output of `bitbloom predict`."""

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
def test_labels_each_colour(predictor, label):
    assert predictor.predict(photo(COLOURS[label], kind="PNG"))["label"] == label


def test_reads_classes_side_and_digest_of_the_file(predictor, model):
    assert predictor.classes == tuple(COLOURS)
    assert predictor.image_size == SIDE
    assert predictor.digest == file_digest(model)


def test_opens_the_folder_of_a_model_like_its_file(predictor, model):
    assert Predictor.open(model.parent).digest == predictor.digest


def test_rejects_model_of_another_digest(model):
    with pytest.raises(BitBloomError, match="not 0000"):
        Predictor.open(model, "0" * 64)


def test_missing_model_error_names_the_command(tmp_path):
    with pytest.raises(BitBloomError, match="make export"):
        Predictor.open(tmp_path)


def test_rejects_file_that_is_not_a_model(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(BitBloomError, match="cannot be loaded"):
        Predictor.open(tmp_path)


def test_rejects_model_without_metadata(model, tmp_path):
    bare = onnx.load(model)
    del bare.metadata_props[:]
    onnx.save(bare, tmp_path / "model.onnx")
    with pytest.raises(BitBloomError, match="metadata"):
        Predictor.open(tmp_path)


def test_rejects_photo_over_the_limit_of_pixels(model):
    small = Predictor.open(model, max_pixels=100)
    with pytest.raises(UnreadableImage, match="limit of 100 pixels"):
        small.predict(photo((1, 2, 3)))


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_top5_are_sorted_and_keep_every_bit_of_the_model(predictor, colour):
    prediction = predictor.predict(photo(colour, kind="PNG"))
    image = np.broadcast_to(np.array(colour, np.uint8)[:, None, None], (3, SIDE, SIDE))
    expected = np.sort(predictor.run(image)["probabilities"])[::-1][:5]
    assert [np.float32(choice["probability"]) for choice in prediction["top5"]] == list(expected)


def test_prints_one_object_per_file_in_order_and_returns_1_on_errors(model, tmp_path):
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


def test_returns_0_when_every_file_has_a_prediction(model, tmp_path):
    file = tmp_path / "good.jpg"
    file.write_bytes(photo(COLOURS["fern"]))
    assert print_predictions(predict_files(model, [file]), io.StringIO()) == 0
    assert next(predict_files(model, [file]))["label"] == "fern"


def test_predictor_writes_no_telemetry(model, tmp_path):
    """By default, ONNX Runtime writes an identifier and a queue of events below HOME, and sends them."""
    code = (
        "import pathlib as p; from bitbloom.serving.predictor import Predictor as P; print(P.open(p.Path(sys.argv[1])).classes)"
    )
    isolated = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}", str(model)]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run(isolated, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    assert "poppy" in done.stdout
    assert list(tmp_path.iterdir()) == []
