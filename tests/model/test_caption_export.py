"""The exported captioning graphs: equal to the network, and independent of the machine."""

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
    """Return a workspace with an exported captioner, and the captioner in PyTorch."""
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


def test_exported_model_generates_learned_captions(predictor):
    for channel, label in enumerate(("poppy", "fern", "sky")):
        best = predictor.caption(png(tiny_captions.photo(channel)))["sentences"][0]
        assert best["sentence"] in tiny_captions.SAYING[label]


def test_exported_model_retrieves_photos_by_sentence(predictor):
    for label, captions_ in tiny_captions.SAYING.items():
        found = predictor.search(captions_[0], 1)
        assert found is not None and found["photos"][0]["id"].startswith(label)


@pytest.mark.parametrize("width", [1, 3])
def test_cached_decoding_equals_uncached_decoding(exported, predictor, width):
    _, trained = exported
    image = trained.dataset.arrays["images"][0]
    with torch.no_grad():
        pixels = captions.ImageEncoder(trained.network, trained.model).preprocess(torch.tensor(image[None]))
        whole = generation.beam(trained.network, trained.network.patch_features(pixels)[0], width)
    cached = predictor.caption(png(image), width)["sentences"]
    assert [one["sentence"] for one in cached] == [vocabulary.sentence(one.words, trained.meta["vocabulary"]) for one in whole]
    assert [one["score"] for one in cached] == pytest.approx([one.score for one in whole], abs=1e-4)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_outputs_do_not_depend_on_batch_size(exported, count):
    folder, trained = exported
    images = trained.dataset.arrays["images"][:8]
    several, all_of_them = (graphs.by_onnx(folder / MODELS / "image.onnx", {"images": some}) for some in (images[:count], images))
    for name, array in several.items():
        assert np.allclose(array, all_of_them[name][:count], atol=1e-5)


def test_verdict_confirms_embeddings_and_sentences(exported):
    folder, trained = exported
    parity = canonical.read_json(folder / MODELS / "parity.json")
    assert parity == {
        "samples": len(trained.dataset.split("test")),
        "within_tolerance": True,
        "tolerance": 1e-4,
        "sentences_equal": True,
    }


@pytest.mark.slow
def test_rejects_graphs_that_differ_from_network(tmp_path, exported, monkeypatch):
    _, trained = exported
    sentences = captions.greedy_sentences(trained, trained.dataset.arrays["images"][:2])
    assert len(sentences) == 2
    monkeypatch.setattr(captions, "greedy_sentences", lambda trained, images: ["something else"] * len(images))
    with tiny_captions.workspace(tmp_path, trained.network), pytest.raises(BitBloomError, match="differs from the network"):
        export.run(tiny_captions.TARGET)


def test_index_has_first_photos_of_test_split(exported):
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
def test_graphs_contain_no_paths_of_the_machine(exported, name):
    folder, _ = exported
    data = (folder / MODELS / name).read_bytes()
    assert MACHINE.search(data) is None
    assert str(folder).encode() not in data
    onnx.checker.check_model(onnx.load_from_string(data))


@pytest.mark.slow
def test_export_is_reproducible_in_another_folder(exported, tmp_path):
    folder, trained = exported
    other = tmp_path / "a longer name" / "and depth"
    with tiny_captions.workspace(other, trained.network):
        export.run(tiny_captions.TARGET)
    made = sorted(path.relative_to(folder / MODELS) for path in (folder / MODELS).rglob("*") if path.is_file())
    assert len(made) >= 10
    for name in made:
        assert (folder / MODELS / name).read_bytes() == (other / MODELS / name).read_bytes(), name


def test_sentences_are_truncated_at_cache_length(exported):
    folder, trained = exported
    with contextlib.chdir(folder):
        predictor = CaptionPredictor.open(MODELS)
    for sentence in predictor.caption(png(trained.dataset.arrays["images"][3]), 8)["sentences"]:
        assert 1 <= len(sentence["sentence"].split()) <= tiny_captions.TOKENS - 1
