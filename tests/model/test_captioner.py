"""The captioning network: towers, decoder, word dropout, and frozen parameters."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bitbloom import tasks
from bitbloom.config.models import typed_model
from bitbloom.config.models.caption import CaptionModel
from bitbloom.config.sections.augment import Augment
from bitbloom.core.errors import BitBloomError
from bitbloom.data.vocabulary import END, PADDING, SPECIAL, START, UNKNOWN, sentence
from bitbloom.models import captioner, generation
from bitbloom.numerics import subset
from bitbloom.tasks.captions import samples
from bitbloom.training import inference
from support import tiny_captions

TASK = tasks.model("captions")


@pytest.fixture(scope="module")
def data():
    return tiny_captions.dataset()


@pytest.fixture(scope="module")
def network(data):
    torch.manual_seed(0)
    return captioner.build(tiny_captions.MODEL, data.meta).eval()


@pytest.fixture(scope="module")
def fitted():
    return tiny_captions.trained()


@pytest.fixture(scope="module")
def batch(data):
    return TASK.batch(data.take(data.split("val")), None, Augment(), tiny_captions.MODEL)


def test_embeddings_have_unit_length_and_absent_captions_no_nll(network, batch, data):
    with torch.no_grad():
        found = TASK.forward(network, batch)
    absent = data.take(data.split("val"))["words"][:, :, 0] == PADDING
    assert absent.any()
    for vectors in (found["images"], found["texts"][torch.from_numpy(~absent)]):
        assert torch.allclose(torch.linalg.vector_norm(vectors, dim=-1), torch.tensor(1.0), atol=1e-5)
    assert ((found["nll"] == 0).numpy() == absent).all()


def test_next_word_does_not_depend_on_later_words(network, data):
    words = torch.from_numpy(data.arrays["words"][:1, 0])
    other = words.clone()
    other[:, 3:] = UNKNOWN
    with torch.no_grad():
        patches = network.patch_features(torch.rand(1, 3, 16, 16)).expand(1, -1, -1)
        before, after = (network.next_words(patches, each[:, :-1]) for each in (words, other))
    assert torch.allclose(before[:, :3], after[:, :3], atol=1e-6)
    assert not torch.allclose(before[:, 3], after[:, 3], atol=1e-3)


def test_next_word_depends_on_photo(network, data):
    words = torch.from_numpy(data.arrays["words"][:1, 0, :-1])
    with torch.no_grad():
        dark, light = (
            network.next_words(network.patch_features(torch.full((1, 3, 16, 16), value)), words) for value in (-1.0, 1.0)
        )
    assert not torch.allclose(dark, light, atol=1e-3)


def test_grid_averages_patch_features(network):
    pixels = torch.rand(2, 3, 16, 16)
    averaged = captioner.Captioner(network.dual, network.writer, replace(tiny_captions.MODEL, grid=2), 0)
    with torch.no_grad():
        coarse, patches = averaged.patch_features(pixels), network.patch_features(pixels)
    assert (coarse.shape[1], patches.shape[1]) == (5, 17)
    assert torch.allclose(coarse[:, 0], patches[:, 0])
    assert torch.allclose(coarse[:, 1], patches[:, [1, 2, 5, 6]].mean(1), atol=1e-6)


def test_trained_model_retrieves_captions_of_photos(fitted, data):
    test = data.split("test")
    found = inference.outputs(TASK, fitted.network, data, test, tiny_captions.MODEL)
    labels = data.samples["label"].to_numpy()[test]
    nearest = (found["images"] @ found["texts"][:, 0].T).argmax(1).numpy()
    assert (labels[nearest] == labels).mean() >= 0.9


def test_trained_decoder_generates_matching_captions(fitted, data):
    images = np.stack([tiny_captions.photo(channel) for channel in (0, 1, 2)])
    pixels = TASK.batch({**data.take(np.arange(3)), "images": images}, None, Augment(), tiny_captions.MODEL)["pixels"]
    with torch.no_grad():
        generated = generation.greedy(fitted.network, fitted.network.patch_features(pixels))
    for words, label in zip(generated, ("poppy", "fern", "sky"), strict=True):
        assert sentence(words, data.meta["vocabulary"]) in tiny_captions.SAYING[label]


def test_greedy_search_equals_beam_of_one(fitted, batch):
    with torch.no_grad():
        patches = fitted.network.patch_features(batch["pixels"])
    together = generation.greedy(fitted.network, patches)
    assert together == [generation.beam(fitted.network, photo, 1)[0].words for photo in patches]


def test_generation_stays_in_portable_subset(network):
    with torch.no_grad():
        patches = network.patch_features(torch.rand(4, 3, 16, 16))
        with subset.Guard():
            sentences = generation.greedy(network, patches)
            best = generation.beam(network, patches[0], 4)
    assert len(sentences) == 4 and best


@pytest.mark.parametrize("count", [1, 2, 3])
def test_draws_existing_captions_of_every_photo(data, count):
    chosen = TASK.draw_captions(data.arrays["words"], data.sample_seeds(), count)
    captions = (data.arrays["words"][:, :, 0] != PADDING).sum(1)
    assert chosen.shape == (len(captions), count) and (chosen < captions[:, None]).all()
    assert set(chosen[captions == 2, 0]) == {0, 1}
    for photo, available in zip(chosen, captions, strict=True):
        assert len(set(photo)) == min(count, available)


@given(st.integers(1, 5), st.integers(1, 3), st.integers(0, 6), st.integers(0, 2**64 - 1), st.floats(0, 1))
def test_word_dropout_replaces_only_words(photos, count, length, seed, probability):
    words = np.full((photos, count, 8), PADDING)
    words[:, :, 0], words[:, :, 1 : length + 1], words[:, :, length + 1] = START, len(SPECIAL), END
    seeds = np.arange(photos, dtype=np.uint64) + np.uint64(seed)
    shown = TASK.word_dropout(words, seeds, probability)
    assert ((shown == words) | ((words == len(SPECIAL)) & (shown == UNKNOWN))).all()
    assert probability > 0 or (shown == words).all()
    assert probability < 1 or (shown != len(SPECIAL)).all()
    assert (TASK.word_dropout(words[-1:], seeds[-1:], probability) == shown[-1:]).all()  # depends on its own seed only


def test_word_dropout_follows_its_probability(data):
    words = data.arrays["words"][:, :1]
    of = words >= len(SPECIAL)
    found = float((TASK.word_dropout(words, data.sample_seeds(), 0.3) == UNKNOWN)[of].mean())
    assert found == pytest.approx(0.3, abs=4 * (0.3 * 0.7 / of.sum()) ** 0.5)


def test_training_batch_has_dropout_in_inputs_and_not_in_targets(data):
    model = replace(tiny_captions.MODEL, sentences=2, writer=replace(tiny_captions.MODEL.writer, word_dropout=0.5))
    found = TASK.batch(data.take(np.arange(12)), data.sample_seeds()[:12], Augment(), model)
    assert found["words"].shape == found["shown"].shape and found["words"].shape[:2] == (12, 2)
    assert found["tokens"].shape[:2] == (12, 1)
    assert (found["shown"] == UNKNOWN).any() and not (found["words"] == UNKNOWN).all()


def test_training_changes_only_unfrozen_parameters(data):
    config, featured = tiny_captions.frozen(data)
    run = tiny_captions.start(config, featured)
    before = {name: parameter.detach().clone() for name, parameter in run.network.named_parameters()}
    run.step(0)
    for name, parameter in run.network.named_parameters():
        tower = name.startswith(("dual.vision_model", "dual.text_model"))
        assert torch.equal(parameter, before[name]) == tower, name


@pytest.mark.parametrize(("layers", "trainable"), [(-1, {0, 1}), (1, {1}), (2, {0, 1})])
def test_trains_only_last_layers_of_tower(data, layers, trainable):
    network = captioner.build(replace(tiny_captions.MODEL, image_layers=layers), data.meta)
    names = [name for name, parameter in network.named_parameters() if parameter.requires_grad and "vision_model" in name]
    assert {
        number for number in (0, 1) for name in names if f".layer.{number}." in name or f".layers.{number}." in name
    } == trainable
    assert any("embeddings" in name for name in names) == (layers < 0)


def test_features_equal_outputs_of_tower(data):
    config, featured = tiny_captions.frozen(data)
    torch.manual_seed(tiny_captions.Train().seed)
    network = captioner.build(config, data.meta).eval()
    some = data.split("val")
    with torch.no_grad():
        expected = TASK.forward(network, TASK.batch(data.take(some), None, Augment(), config))
        from_features = TASK.forward(network, TASK.batch(featured.take(some), None, Augment(), config))
    for name, tensor in expected.items():
        assert torch.allclose(tensor, from_features[name], atol=5e-3), name  # features are float16


def test_augmented_views_are_used_only_in_training(data):
    config, featured = tiny_captions.frozen(data)
    places = featured.arrays["places"]
    assert places.dtype == np.float16 and places.shape[1] == 2
    assert not np.array_equal(places[:, 0], places[:, 1])
    some = featured.take(np.arange(20))
    plain = TASK.batch(some, None, Augment(), config)["places"].numpy()
    drawn = TASK.batch(some, data.sample_seeds()[:20], Augment(), config)["places"].numpy()
    assert np.array_equal(plain, places[:20, 0].astype(np.float32))
    assert {int(np.array_equal(one, other)) for one, other in zip(plain, drawn, strict=True)} == {0, 1}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image": replace(tiny_captions.MODEL.image, architecture="cnn")}, "has no patch features"),
        ({"text": replace(tiny_captions.MODEL.text, architecture="auto")}, "use bert"),
    ],
)
def test_rejects_unsupported_towers(data, changed, message):
    with pytest.raises(BitBloomError, match=message):
        captioner.build(replace(tiny_captions.MODEL, **changed), data.meta)


SENTENCES = st.lists(st.lists(st.sampled_from(["red", "blue", "two", "three"]), max_size=9), min_size=1, max_size=4)


@given(SENTENCES, st.integers(1, 3))
@settings(max_examples=50)
def test_word_indices_decode_to_words(said, fewest):
    vocabulary = samples.known_words(said, fewest)
    rows = samples.numbered([said], vocabulary, 12)
    for words, row in zip(said, rows[0], strict=True):
        inside = row[(row != PADDING) & (row != START) & (row != END)]
        assert [vocabulary[number] for number in inside] == [word if word in vocabulary else "<unknown>" for word in words]
        assert row[0] == START and row[len(words) + 1] == END


def test_rejects_grid_that_does_not_divide_patches(data):
    network = captioner.build(replace(tiny_captions.MODEL, grid=3), data.meta)
    size = tiny_captions.MODEL.image.image_size
    with pytest.raises(BitBloomError, match="grid 3 does not divide a photo's 4 x 4 patches"):
        network.patch_features(torch.rand(2, 3, size, size))


def test_model_section_survives_serialisation():
    assert typed_model(asdict(tiny_captions.MODEL)) == tiny_captions.MODEL
    assert isinstance(typed_model({"kind": "caption"}), CaptionModel)
