"""The captioner: towers that meet, a writer that sees the photo and the words before, and what of it learns."""

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


def test_vectors_have_unit_length_and_absent_sentences_no_surprise(network, batch, data):
    with torch.no_grad():
        found = TASK.forward(network, batch)
    absent = data.take(data.split("val"))["words"][:, :, 0] == PADDING
    assert absent.any()
    for vectors in (found["images"], found["texts"][torch.from_numpy(~absent)]):
        assert torch.allclose(torch.linalg.vector_norm(vectors, dim=-1), torch.tensor(1.0), atol=1e-5)
    assert ((found["nll"] == 0).numpy() == absent).all()


def test_a_word_is_written_without_seeing_those_after_it(network, data):
    words = torch.from_numpy(data.arrays["words"][:1, 0])
    other = words.clone()
    other[:, 3:] = UNKNOWN
    with torch.no_grad():
        places = network.patch_features(torch.rand(1, 3, 16, 16)).expand(1, -1, -1)
        before, after = (network.next_words(places, each[:, :-1]) for each in (words, other))
    assert torch.allclose(before[:, :3], after[:, :3], atol=1e-6)
    assert not torch.allclose(before[:, 3], after[:, 3], atol=1e-3)


def test_a_word_is_written_with_the_photo_in_view(network, data):
    words = torch.from_numpy(data.arrays["words"][:1, 0, :-1])
    with torch.no_grad():
        dark, light = (
            network.next_words(network.patch_features(torch.full((1, 3, 16, 16), value)), words) for value in (-1.0, 1.0)
        )
    assert not torch.allclose(dark, light, atol=1e-3)


def test_the_grid_averages_the_patches(network):
    pixels = torch.rand(2, 3, 16, 16)
    averaged = captioner.Captioner(network.dual, network.writer, replace(tiny_captions.MODEL, grid=2), 0)
    with torch.no_grad():
        coarse, patches = averaged.patch_features(pixels), network.patch_features(pixels)
    assert (coarse.shape[1], patches.shape[1]) == (5, 17)
    assert torch.allclose(coarse[:, 0], patches[:, 0])
    assert torch.allclose(coarse[:, 1], patches[:, [1, 2, 5, 6]].mean(1), atol=1e-6)


def test_training_brings_a_photo_and_its_sentence_together(fitted, data):
    test = data.split("test")
    found = inference.outputs(TASK, fitted.network, data, test, tiny_captions.MODEL)
    labels = data.samples["label"].to_numpy()[test]
    nearest = (found["images"] @ found["texts"][:, 0].T).argmax(1).numpy()
    assert (labels[nearest] == labels).mean() >= 0.9


def test_a_trained_writer_says_what_it_sees(fitted, data):
    images = np.stack([tiny_captions.photo(channel) for channel in (0, 1, 2)])
    pixels = TASK.batch({**data.take(np.arange(3)), "images": images}, None, Augment(), tiny_captions.MODEL)["pixels"]
    with torch.no_grad():
        said = generation.greedy(fitted.network, fitted.network.patch_features(pixels))
    for words, label in zip(said, ("poppy", "fern", "sky"), strict=True):
        assert sentence(words, data.meta["vocabulary"]) in tiny_captions.SAYING[label]


def test_greedy_writing_is_a_beam_of_one(fitted, batch):
    with torch.no_grad():
        places = fitted.network.patch_features(batch["pixels"])
    together = generation.greedy(fitted.network, places)
    assert together == [generation.beam(fitted.network, one, 1)[0].words for one in places]


def test_writing_keeps_to_the_portable_subset(network):
    with torch.no_grad():
        places = network.patch_features(torch.rand(4, 3, 16, 16))
        with subset.Guard():
            sentences = generation.greedy(network, places)
            best = generation.beam(network, places[0], 4)
    assert len(sentences) == 4 and best


@pytest.mark.parametrize("count", [1, 2, 3])
def test_sentences_are_drawn_for_every_photo_and_only_those_that_it_has(data, count):
    chosen = TASK.drawn(data.arrays["words"], data.sample_seeds(), count)
    there = (data.arrays["words"][:, :, 0] != PADDING).sum(1)
    assert chosen.shape == (len(there), count) and (chosen < there[:, None]).all()
    assert set(chosen[there == 2, 0]) == {0, 1}
    for photo, has in zip(chosen, there, strict=True):
        assert len(set(photo)) == min(count, has)


@given(st.integers(1, 5), st.integers(1, 3), st.integers(0, 6), st.integers(0, 2**64 - 1), st.floats(0, 1))
def test_gaps_are_left_in_place_of_words_alone(photos, count, length, seed, share):
    words = np.full((photos, count, 8), PADDING)
    words[:, :, 0], words[:, :, 1 : length + 1], words[:, :, length + 1] = START, len(SPECIAL), END
    seeds = np.arange(photos, dtype=np.uint64) + np.uint64(seed)
    shown = TASK.word_dropout(words, seeds, share)
    assert ((shown == words) | ((words == len(SPECIAL)) & (shown == UNKNOWN))).all()
    assert share > 0 or (shown == words).all()
    assert share < 1 or (shown != len(SPECIAL)).all()
    assert (TASK.word_dropout(words[-1:], seeds[-1:], share) == shown[-1:]).all()  # of its own seed alone


def test_as_many_words_are_left_out_as_was_asked_for(data):
    words = data.arrays["words"][:, :1]
    of = words >= len(SPECIAL)
    share = float((TASK.word_dropout(words, data.sample_seeds(), 0.3) == UNKNOWN)[of].mean())
    assert share == pytest.approx(0.3, abs=4 * (0.3 * 0.7 / of.sum()) ** 0.5)


def test_what_training_draws_is_shown_with_gaps_and_asked_for_whole(data):
    model = replace(tiny_captions.MODEL, sentences=2, writer=replace(tiny_captions.MODEL.writer, word_dropout=0.5))
    found = TASK.batch(data.take(np.arange(12)), data.sample_seeds()[:12], Augment(), model)
    assert found["words"].shape == found["shown"].shape and found["words"].shape[:2] == (12, 2)
    assert found["tokens"].shape[:2] == (12, 1)
    assert (found["shown"] == UNKNOWN).any() and not (found["words"] == UNKNOWN).all()


def test_frozen_towers_learn_nothing_and_the_rest_does(data):
    held, featured = tiny_captions.frozen(data)
    run = tiny_captions.start(held, featured)
    before = {name: parameter.detach().clone() for name, parameter in run.network.named_parameters()}
    run.step(0)
    for name, parameter in run.network.named_parameters():
        tower = name.startswith(("dual.vision_model", "dual.text_model"))
        assert torch.equal(parameter, before[name]) == tower, name


@pytest.mark.parametrize(("layers", "learning"), [(-1, {0, 1}), (1, {1}), (2, {0, 1})])
def test_the_last_layers_of_a_tower_learn_alone(data, layers, learning):
    network = captioner.build(replace(tiny_captions.MODEL, image_layers=layers), data.meta)
    names = [name for name, parameter in network.named_parameters() if parameter.requires_grad and "vision_model" in name]
    assert {
        number for number in (0, 1) for name in names if f".layer.{number}." in name or f".layers.{number}." in name
    } == learning
    assert any("embeddings" in name for name in names) == (layers < 0)


def test_features_say_of_a_photo_what_the_tower_says(data):
    held, featured = tiny_captions.frozen(data)
    torch.manual_seed(tiny_captions.Train().seed)
    network = captioner.build(held, data.meta).eval()
    some = data.split("val")
    with torch.no_grad():
        asked = TASK.forward(network, TASK.batch(data.take(some), None, Augment(), held))
        looked_up = TASK.forward(network, TASK.batch(featured.take(some), None, Augment(), held))
    for name, tensor in asked.items():
        assert torch.allclose(tensor, looked_up[name], atol=5e-3), name  # float16 between


def test_augmented_views_of_a_frozen_tower_differ_from_the_photo_and_are_drawn_for_training_alone(data):
    held, featured = tiny_captions.frozen(data)
    places = featured.arrays["places"]
    assert places.dtype == np.float16 and places.shape[1] == 2
    assert not np.array_equal(places[:, 0], places[:, 1])
    some = featured.take(np.arange(20))
    plain = TASK.batch(some, None, Augment(), held)["places"].numpy()
    drawn = TASK.batch(some, data.sample_seeds()[:20], Augment(), held)["places"].numpy()
    assert np.array_equal(plain, places[:20, 0].astype(np.float32))
    assert {int(np.array_equal(one, other)) for one, other in zip(plain, drawn, strict=True)} == {0, 1}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image": replace(tiny_captions.MODEL.image, architecture="cnn")}, "is no transformer of patches"),
        ({"text": replace(tiny_captions.MODEL.text, architecture="auto")}, "is not bert"),
    ],
)
def test_towers_that_do_not_fit_are_refused(data, changed, message):
    with pytest.raises(BitBloomError, match=message):
        captioner.build(replace(tiny_captions.MODEL, **changed), data.meta)


SENTENCES = st.lists(st.lists(st.sampled_from(["red", "blue", "two", "three"]), max_size=9), min_size=1, max_size=4)


@given(SENTENCES, st.integers(1, 3))
@settings(max_examples=50)
def test_numbers_of_words_name_the_words_again(said, fewest):
    vocabulary = samples.known_words(said, fewest)
    rows = samples.numbered([said], vocabulary, 12)
    for words, row in zip(said, rows[0], strict=True):
        inside = row[(row != PADDING) & (row != START) & (row != END)]
        assert [vocabulary[number] for number in inside] == [word if word in vocabulary else "<unknown>" for word in words]
        assert row[0] == START and row[len(words) + 1] == END


def test_a_grid_that_does_not_divide_the_patches_is_refused(data):
    network = captioner.build(replace(tiny_captions.MODEL, grid=3), data.meta)
    size = tiny_captions.MODEL.image.image_size
    with pytest.raises(BitBloomError, match="grid 3 does not divide a photo's 4 x 4 patches"):
        network.patch_features(torch.rand(2, 3, size, size))


def test_a_model_section_survives_being_written_down():
    assert typed_model(asdict(tiny_captions.MODEL)) == tiny_captions.MODEL
    assert isinstance(typed_model({"kind": "caption"}), CaptionModel)
