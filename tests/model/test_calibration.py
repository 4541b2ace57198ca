"""The temperature: what it makes of logits that are too sure or not sure enough, and what it leaves alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitbloom.core.errors import BitBloomError
from bitbloom.evaluation import calibration, metrics


def honest(seed: int, samples: int = 4000, classes: int = 4):
    """Logits whose softmax is the true distribution of the labels that come with them."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(scale=1.5, size=(samples, classes))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (shares.cumsum(axis=1) < generator.random((samples, 1))).sum(axis=1).clip(max=classes - 1)
    return torch.from_numpy(logits), labels


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0, 3.0])
def test_logits_that_are_too_sharp_or_too_flat_are_put_right(factor):
    logits, labels = honest(0)
    assert calibration.best(logits * factor, labels) == pytest.approx(factor, rel=0.1)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.floats(0.1, 8))
def test_no_other_temperature_of_the_grid_surprises_less(seed, samples, factor):
    logits, labels = honest(seed, samples)
    found = calibration.best(logits * factor, labels)
    least = math.fsum(metrics.compare(logits * factor / found, labels).loss)
    for other in calibration.TEMPERATURES:
        assert least <= math.fsum(metrics.compare(logits * factor / other, labels).loss) * (1 + 1e-5)


@given(st.integers(0, 2**32 - 1))
def test_no_label_changes(seed):
    logits, labels = honest(seed, 50)
    found = calibration.best(logits, labels)
    assert (metrics.compare(logits / found, labels).predicted == metrics.compare(logits, labels).predicted).all()


def test_where_all_temperatures_are_as_good_none_is_applied():
    assert calibration.best(torch.zeros(5, 3), np.arange(5) % 3) == 1.0


def test_logits_that_are_not_finite_are_an_error():
    with pytest.raises(BitBloomError, match="NaN"):
        calibration.best(torch.full((2, 2), math.nan), np.zeros(2, dtype=int))
