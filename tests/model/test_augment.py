"""Augmentation depends only on the seed of each sample, and follows the configured probabilities."""

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
    """Return a config with only these augmentations."""
    return Augment(**(OFF | chosen))


def photos(count: int, side: int = FULL) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(3).random((count, 3, side, side), dtype=np.float32))


def constant(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1, 1).expand(-1, 3, FULL, FULL).contiguous()


def augmented(pixels: torch.Tensor, seeds, config: Augment, side: int = FULL) -> augment.Mixed:
    return augment.augment(pixels, torch.arange(len(pixels)), np.array(seeds, np.uint64), side, config)


@settings(max_examples=15)
@given(seed_lists, st.sampled_from([16, FULL]))
def test_augmentation_does_not_depend_on_other_samples(seeds, side):
    pixels = photos(len(seeds))
    together = augmented(pixels, seeds, ALL_BUT_MIX, side).pixels
    for number, seed in enumerate(seeds):
        alone = augmented(pixels[number : number + 1], [seed], ALL_BUT_MIX, side).pixels
        assert torch.equal(together[number], alone[0])


@settings(max_examples=15)
@given(seed_lists, st.randoms(use_true_random=False))
def test_augmentation_does_not_depend_on_position_in_micro_batch(seeds, dice):
    pixels, order = photos(len(seeds)), list(range(len(seeds)))
    dice.shuffle(order)
    straight = augmented(pixels, seeds, ALL_BUT_MIX).pixels
    shuffled = augmented(pixels[order], [seeds[position] for position in order], ALL_BUT_MIX).pixels
    assert torch.equal(straight[order], shuffled)


@settings(max_examples=15)
@given(seed_lists, st.floats(0, 1, width=32), st.floats(0, 1, width=32))
def test_pixels_and_label_weights_stay_in_range(seeds, mixup, cutmix):
    config = Augment(crop=1.0, colour=1.0, brightness=0.9, contrast=0.9, saturation=0.9, erase=1.0, mixup=mixup, cutmix=cutmix)
    mixed = augmented(photos(len(seeds)), seeds, config, 16)
    assert mixed.pixels.shape == (len(seeds), 3, 16, 16)
    assert mixed.pixels.dtype == mixed.weight.dtype == torch.float32
    assert 0 <= float(mixed.pixels.min()) <= float(mixed.pixels.max()) <= 1
    assert 0 <= float(mixed.weight.min()) <= float(mixed.weight.max()) < 0.5
    assert mixed.first.tolist() == list(range(len(seeds)))


@given(seed_lists)
def test_zero_probabilities_change_no_bit(seeds):
    pixels = photos(len(seeds))
    mixed = augmented(pixels.clone(), seeds, only())
    assert torch.equal(mixed.pixels, pixels)
    assert torch.equal(mixed.first, mixed.second)
    assert float(mixed.weight.abs().max()) == 0


@pytest.mark.parametrize(("name", "axis"), [("flip", -1), ("vertical_flip", -2)])
def test_flip_with_probability_one_mirrors_every_sample(name, axis):
    pixels = photos(8)
    assert torch.equal(augmented(pixels, MANY[:8], only(**{name: 1.0})).pixels, pixels.flip(axis))


def test_flip_with_probability_half_mirrors_about_half_of_samples():
    pixels = photos(64)
    flipped = augmented(pixels, MANY, only(flip=0.5)).pixels
    mirrored = [torch.equal(after, before.flip(-1)) for after, before in zip(flipped, pixels, strict=True)]
    kept = [torch.equal(after, before) for after, before in zip(flipped, pixels, strict=True)]
    assert 16 < sum(mirrored) < 48
    assert sum(mirrored) + sum(kept) == 64


def test_crops_are_squares_and_reach_every_border():
    pixels = photos(64)
    cropped = augmented(pixels, MANY, only(crop=1.0, crop_scale=[0.5, 0.5]), FULL // 2).pixels
    positions = [_position(before, after) for before, after in zip(pixels, cropped, strict=True)]
    assert None not in positions
    for axis in (0, 1):
        assert {0, FULL // 2} <= {position[axis] for position in positions}


def _position(image: torch.Tensor, crop: torch.Tensor) -> tuple[int, int] | None:
    """Return row and column of a crop in an image, or None."""
    side = crop.shape[-1]
    span = range(image.shape[-1] - side + 1)
    found = [
        (row, column)
        for row in span
        for column in span
        if torch.allclose(image[:, row : row + side, column : column + side], crop)
    ]
    return found[0] if found else None


def test_resizes_whole_image_without_crop():
    pixels = constant([0.1, 0.6])
    assert torch.allclose(augmented(pixels, MANY[:2], only(), 12).pixels, pixels[..., :12, :12])


def test_colour_changes_stay_within_their_amounts():
    changed = augmented(constant([0.5] * 64), MANY, only(colour=1.0, brightness=0.2, contrast=0.0, saturation=0.0)).pixels
    means = changed.mean(dim=(1, 2, 3))
    assert 0.2 < float(means.max() - means.min()) <= 0.4 + 1e-5
    assert float((means - 0.5).abs().max()) <= 0.2 + 1e-5 or float((means / 0.5 - 1).abs().max()) <= 0.2 + 1e-5


def test_erased_rectangle_is_grey_and_of_declared_size():
    erased = augmented(constant([0.9] * 64), MANY, only(erase=1.0, erase_scale=[0.02, 0.25])).pixels
    for picture in erased:
        grey = (picture == 0.5).all(dim=0)
        rows, columns = int(grey.any(dim=1).sum()), int(grey.any(dim=0).sum())
        assert int(grey.sum()) == rows * columns
        assert all(3 <= side <= FULL // 2 for side in (rows, columns))
        assert torch.all(picture[:, ~grey] == 0.9)


def test_disabling_one_augmentation_does_not_change_others():
    erased, also_flipped = (augmented(constant([0.9] * 16), MANY[:16], only(erase=0.5, flip=flip)).pixels for flip in (0.0, 1.0))
    assert torch.equal(erased, also_flipped)


def test_mixup_blends_samples_by_the_returned_weight():
    pixels = photos(6)
    mixed = augmented(pixels, MANY[:6], only(mixup=1.0))
    weight = mixed.weight.reshape(-1, 1, 1, 1)
    assert torch.allclose(mixed.pixels, pixels * (1 - weight) + pixels.roll(1, 0) * weight, atol=1e-6)
    assert mixed.second.tolist() == [5, 0, 1, 2, 3, 4]
    assert len(set(mixed.weight.tolist())) > 1


def test_cutmix_pastes_the_returned_fraction():
    values = [0.1, 0.3, 0.5, 0.7, 0.9]
    mixed = augmented(constant(values), MANY[:5], only(cutmix=1.0))
    for number, picture in enumerate(mixed.pixels):
        pasted = picture[0] == torch.tensor(values[number - 1])
        assert float(pasted.float().mean()) == pytest.approx(float(mixed.weight[number]))
        assert torch.all(picture[0][~pasted] == torch.tensor(values[number]))
        assert 1 / 16 <= float(mixed.weight[number]) <= 0.5
    assert mixed.second.tolist() == [4, 0, 1, 2, 3]


def test_mixes_micro_batch_by_at_most_one_method():
    pixels = photos(2)
    kinds = {"mixup": 0, "cutmix": 0, "none": 0}
    for seed in MANY:
        mixed = augmented(pixels, [seed, seed + np.uint64(1)], only(mixup=0.3, cutmix=0.3))
        kept = (mixed.pixels == pixels).float().mean()
        kinds["none" if kept == 1 else "cutmix" if kept > 0.4 else "mixup"] += 1
    assert min(kinds.values()) > 8


def test_does_not_change_global_generator():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    augmented(photos(4), MANY[:4], Augment(crop=1, flip=1, vertical_flip=1, colour=1, erase=1, mixup=1))
    augmented(photos(4), MANY[:4], only(cutmix=1.0))
    assert torch.equal(before, torch.get_rng_state())
