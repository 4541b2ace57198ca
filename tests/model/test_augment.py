"""Augmentation: every sample's look follows from its own seed, and every probability means what it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bitbloom.config.sections.augment import Augment
from bitbloom.models import augment

FULL = 24
OFF = {"crop": 0.0, "flip": 0.0, "vertical_flip": 0.0, "colour": 0.0, "erase": 0.0, "mixup": 0.0, "cutmix": 0.0}
ALL_BUT_MIX = Augment(crop=0.7, crop_scale=[0.5, 1.0], flip=0.5, vertical_flip=0.5, colour=0.7, erase=0.5)
MANY = [np.uint64(number * 0x9E3779B97F4A7C15 % 2**64) for number in range(64)]
seed_lists = st.lists(st.integers(0, 2**64 - 1).map(np.uint64), min_size=2, max_size=5)


def only(**chosen) -> Augment:
    """One augmentation and no other."""
    return Augment(**(OFF | chosen))


def photos(count: int, side: int = FULL) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(3).random((count, 3, side, side), dtype=np.float32))


def constant(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1, 1).expand(-1, 3, FULL, FULL).contiguous()


def augmented(pixels: torch.Tensor, seeds, config: Augment, side: int = FULL) -> augment.Mixed:
    return augment.augment(pixels, torch.arange(len(pixels)), np.array(seeds, np.uint64), side, config)


@settings(max_examples=15)
@given(seed_lists, st.sampled_from([16, FULL]))
def test_a_sample_looks_the_same_alone_and_among_any_neighbours(seeds, side):
    pixels = photos(len(seeds))
    together = augmented(pixels, seeds, ALL_BUT_MIX, side).pixels
    for number, seed in enumerate(seeds):
        alone = augmented(pixels[number : number + 1], [seed], ALL_BUT_MIX, side).pixels
        assert torch.equal(together[number], alone[0])


@settings(max_examples=15)
@given(seed_lists, st.randoms(use_true_random=False))
def test_the_place_in_the_micro_batch_does_not_matter(seeds, dice):
    pixels, order = photos(len(seeds)), list(range(len(seeds)))
    dice.shuffle(order)
    straight = augmented(pixels, seeds, ALL_BUT_MIX).pixels
    shuffled = augmented(pixels[order], [seeds[place] for place in order], ALL_BUT_MIX).pixels
    assert torch.equal(straight[order], shuffled)


@settings(max_examples=15)
@given(seed_lists, st.floats(0, 1, width=32), st.floats(0, 1, width=32))
def test_pixels_stay_floats_between_zero_and_one_and_labels_keep_their_shares(seeds, mixup, cutmix):
    config = Augment(crop=1.0, colour=1.0, brightness=0.9, contrast=0.9, saturation=0.9, erase=1.0, mixup=mixup, cutmix=cutmix)
    mixed = augmented(photos(len(seeds)), seeds, config, 16)
    assert mixed.pixels.shape == (len(seeds), 3, 16, 16)
    assert mixed.pixels.dtype == mixed.weight.dtype == torch.float32
    assert 0 <= float(mixed.pixels.min()) <= float(mixed.pixels.max()) <= 1
    assert 0 <= float(mixed.weight.min()) <= float(mixed.weight.max()) < 0.5
    assert mixed.first.tolist() == list(range(len(seeds)))


@given(seed_lists)
def test_what_never_happens_leaves_every_bit_alone(seeds):
    pixels = photos(len(seeds))
    mixed = augmented(pixels.clone(), seeds, only())
    assert torch.equal(mixed.pixels, pixels)
    assert torch.equal(mixed.first, mixed.second)
    assert float(mixed.weight.abs().max()) == 0


@pytest.mark.parametrize(("name", "axis"), [("flip", -1), ("vertical_flip", -2)])
def test_a_certain_flip_mirrors_every_sample(name, axis):
    pixels = photos(8)
    assert torch.equal(augmented(pixels, MANY[:8], only(**{name: 1.0})).pixels, pixels.flip(axis))


def test_a_flip_at_one_half_mirrors_about_half_of_the_samples():
    pixels = photos(64)
    flipped = augmented(pixels, MANY, only(flip=0.5)).pixels
    mirrored = [torch.equal(after, before.flip(-1)) for after, before in zip(flipped, pixels, strict=True)]
    kept = [torch.equal(after, before) for after, before in zip(flipped, pixels, strict=True)]
    assert 16 < sum(mirrored) < 48
    assert sum(mirrored) + sum(kept) == 64


def test_a_crop_is_a_square_of_the_picture_and_reaches_every_border():
    pixels = photos(64)
    cropped = augmented(pixels, MANY, only(crop=1.0, crop_scale=[0.5, 0.5]), FULL // 2).pixels
    places = [_place(before, after) for before, after in zip(pixels, cropped, strict=True)]
    assert None not in places
    for axis in (0, 1):
        assert {0, FULL // 2} <= {place[axis] for place in places}


def _place(picture: torch.Tensor, part: torch.Tensor) -> tuple[int, int] | None:
    """Row and column at which a part is found in a picture."""
    side = part.shape[-1]
    span = range(picture.shape[-1] - side + 1)
    found = [
        (row, column)
        for row in span
        for column in span
        if torch.allclose(picture[:, row : row + side, column : column + side], part)
    ]
    return found[0] if found else None


def test_without_a_crop_the_whole_picture_is_shrunk():
    pixels = constant([0.1, 0.6])
    assert torch.allclose(augmented(pixels, MANY[:2], only(), 12).pixels, pixels[..., :12, :12])


def test_a_certain_colour_change_stays_within_its_amounts():
    changed = augmented(constant([0.5] * 64), MANY, only(colour=1.0, brightness=0.2, contrast=0.0, saturation=0.0)).pixels
    means = changed.mean(dim=(1, 2, 3))
    assert 0.2 < float(means.max() - means.min()) <= 0.4 + 1e-5
    assert float((means - 0.5).abs().max()) <= 0.2 + 1e-5 or float((means / 0.5 - 1).abs().max()) <= 0.2 + 1e-5


def test_an_erased_square_is_grey_and_of_the_declared_size():
    erased = augmented(constant([0.9] * 64), MANY, only(erase=1.0, erase_scale=[0.02, 0.25])).pixels
    for picture in erased:
        grey = (picture == 0.5).all(dim=0)
        rows, columns = int(grey.any(dim=1).sum()), int(grey.any(dim=0).sum())
        assert int(grey.sum()) == rows * columns
        assert all(3 <= side <= FULL // 2 for side in (rows, columns))
        assert torch.all(picture[:, ~grey] == 0.9)


def test_switching_one_augmentation_off_leaves_the_others_alone():
    erased, also_flipped = (augmented(constant([0.9] * 16), MANY[:16], only(erase=0.5, flip=flip)).pixels for flip in (0.0, 1.0))
    assert torch.equal(erased, also_flipped)


def test_mixup_blends_each_sample_with_its_neighbour_by_the_share_it_reports():
    pixels = photos(6)
    mixed = augmented(pixels, MANY[:6], only(mixup=1.0))
    weight = mixed.weight.reshape(-1, 1, 1, 1)
    assert torch.allclose(mixed.pixels, pixels * (1 - share) + pixels.roll(1, 0) * share, atol=1e-6)
    assert mixed.second.tolist() == [5, 0, 1, 2, 3, 4]
    assert len(set(mixed.weight.tolist())) > 1


def test_cutmix_pastes_just_the_share_of_the_neighbour_that_it_reports():
    values = [0.1, 0.3, 0.5, 0.7, 0.9]
    mixed = augmented(constant(values), MANY[:5], only(cutmix=1.0))
    for number, picture in enumerate(mixed.pixels):
        pasted = picture[0] == torch.tensor(values[number - 1])
        assert float(pasted.float().mean()) == pytest.approx(float(mixed.weight[number]))
        assert torch.all(picture[0][~pasted] == torch.tensor(values[number]))
        assert 1 / 16 <= float(mixed.weight[number]) <= 0.5
    assert mixed.second.tolist() == [4, 0, 1, 2, 3]


def test_a_micro_batch_is_mixed_by_at_most_one_kind():
    pixels = photos(2)
    kinds = {"mixup": 0, "cutmix": 0, "none": 0}
    for seed in MANY:
        mixed = augmented(pixels, [seed, seed + np.uint64(1)], only(mixup=0.3, cutmix=0.3))
        kept = (mixed.pixels == pixels).float().mean()
        kinds["none" if kept == 1 else "cutmix" if kept > 0.4 else "mixup"] += 1
    assert min(kinds.values()) > 8


def test_the_global_generator_is_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    augmented(photos(4), MANY[:4], Augment(crop=1, flip=1, vertical_flip=1, colour=1, erase=1, mixup=1))
    augmented(photos(4), MANY[:4], only(cutmix=1.0))
    assert torch.equal(before, torch.get_rng_state())
