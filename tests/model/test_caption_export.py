"""The exported graphs of photos and sentences: what they say, and that nothing of the machine is in them."""

from __future__ import annotations

import contextlib
import io
import json
import re

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from bitbloom import tasks
from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.data import vocabulary
from bitbloom.export import graphs
from bitbloom.models import generation
from bitbloom.serving.caption_predictor import CaptionPredictor
from bitbloom.stages import export
from bitbloom.tasks.captions import export as captions
from bitbloom.training import inference
from support import tiny_captions

MACHINE = re.compile(rb"/(home|root|tmp|usr|work|opt)/|site-packages|\.py\b|Traceback|File \"")
MODELS = tiny_captions.TARGET.models


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A workspace in which a trained captioner was exported, and what there is of it in PyTorch."""
    folder = tmp_path_factory.mktemp("exported")
    with tiny_captions.workspace(folder, tiny_captions.trained().network):
        export.run(tiny_captions.TARGET)
        trained = inference.load(tiny_captions.TARGET, tasks.model("captions"))
    return folder, trained


@pytest.fixture(scope="module")
def predictor(exported):
    return CaptionPredictor.open(exported[0] / MODELS)


def png(image):
    with io.BytesIO() as stream:
        Image.fromarray(image.transpose(1, 2, 0)).save(stream, "PNG")
        return stream.getvalue()


def test_the_exported_model_writes_what_was_learned_of_a_photo(predictor):
    for channel, label in enumerate(("poppy", "fern", "sky")):
        best = predictor.answer(png(tiny_captions.photo(channel)))["sentences"][0]
        assert best["sentence"] in tiny_captions.SAYING[label]


def test_the_exported_model_finds_photos_by_a_sentence(predictor):
    for label, said in tiny_captions.SAYING.items():
        found = predictor.find(said[0], 1)
        assert found is not None and found["photos"][0]["id"].startswith(label)


@pytest.mark.parametrize("width", [1, 3])
def test_step_by_step_with_a_cache_the_sentences_are_those_of_the_whole(exported, predictor, width):
    _, trained = exported
    image = trained.dataset.arrays["images"][0]
    with torch.no_grad():
        pixels = captions.ImageEncoder(trained.network, trained.model).preprocess(torch.tensor(image[None]))
        whole = generation.beam(trained.network, trained.network.patch_features(pixels)[0], width)
    cached = predictor.answer(png(image), width)["sentences"]
    assert [one["sentence"] for one in cached] == [vocabulary.sentence(one.words, trained.meta["vocabulary"]) for one in whole]
    assert [one["score"] for one in cached] == pytest.approx([one.score for one in whole], abs=1e-4)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_any_number_of_rows_gives_the_same_answers(exported, count):
    folder, trained = exported
    images = trained.dataset.arrays["images"][:8]
    several, all_of_them = (graphs.by_onnx(folder / MODELS / "image.onnx", {"images": some}) for some in (images[:count], images))
    for name, array in several.items():
        assert np.allclose(array, all_of_them[name][:count], atol=1e-5)


def test_the_verdict_says_that_vectors_and_sentences_are_the_networks(exported):
    folder, trained = exported
    parity = canonical.read_json(folder / MODELS / "parity.json")
    assert parity == {
        "samples": len(trained.dataset.split("test")),
        "within_tolerance": True,
        "tolerance": 1e-4,
        "sentences_equal": True,
    }


@pytest.mark.slow
def test_another_networks_graphs_are_an_error(tmp_path, exported, monkeypatch):
    _, trained = exported
    said = captions.greedy_sentences(trained, trained.dataset.arrays["images"][:2])
    assert len(said) == 2
    monkeypatch.setattr(captions, "greedy_sentences", lambda trained, images: ["something else"] * len(images))
    with tiny_captions.workspace(tmp_path, trained.network), pytest.raises(BitBloomError, match="is not the network"):
        export.run(tiny_captions.TARGET)


def test_the_index_holds_the_first_photos_of_the_test_split(exported):
    folder, trained = exported
    index = folder / MODELS / "index"
    photos = json.loads((index / "photos.json").read_text())
    rows = trained.dataset.samples.iloc[trained.dataset.split("test")[:5]]
    assert [photo["id"] for photo in photos] == list(rows["id"])
    assert photos[0]["captions"] == json.loads(rows["captions"].iloc[0])
    expected = trained.outputs("test")["images"][:5].numpy()
    assert np.array_equal(np.load(index / "embeddings.npy"), expected)
    assert len(list((index / "photos").glob("*.jpg"))) == 5


@pytest.mark.parametrize("name", ["image.onnx", "text.onnx", "decoder.onnx"])
def test_no_byte_of_a_graph_knows_where_it_was_made(exported, name):
    folder, _ = exported
    data = (folder / MODELS / name).read_bytes()
    assert MACHINE.search(data) is None
    assert str(folder).encode() not in data
    onnx.checker.check_model(onnx.load_from_string(data))


@pytest.mark.slow
def test_exporting_again_elsewhere_gives_the_same_bytes(exported, tmp_path):
    folder, trained = exported
    place = tmp_path / "a longer name" / "and depth"
    with tiny_captions.workspace(place, trained.network):
        export.run(tiny_captions.TARGET)
    made = sorted(path.relative_to(folder / MODELS) for path in (folder / MODELS).rglob("*") if path.is_file())
    assert len(made) >= 10
    for name in made:
        assert (folder / MODELS / name).read_bytes() == (place / MODELS / name).read_bytes(), name


def test_a_long_sentence_is_cut_where_the_cache_ends(exported):
    folder, trained = exported
    with contextlib.chdir(folder):
        predictor = CaptionPredictor.open(MODELS)
    for sentence in predictor.answer(png(trained.dataset.arrays["images"][3]), 8)["sentences"]:
        assert 1 <= len(sentence["sentence"].split()) <= tiny_captions.TOKENS - 1
