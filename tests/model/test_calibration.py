"""Temperature scaling corrects over- and underconfident logits and changes no label."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitbloom.core.errors import BitBloomError
from bitbloom.evaluation import calibration, metrics


def calibrated(seed: int, samples: int = 4000, classes: int = 4):
    """Return logits, and labels drawn from their softmax."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(scale=1.5, size=(samples, classes))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (probabilities.cumsum(axis=1) < generator.random((samples, 1))).sum(axis=1).clip(max=classes - 1)
    return torch.from_numpy(logits), labels


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0, 3.0])
def test_recovers_the_temperature_of_scaled_logits(factor):
    logits, labels = calibrated(0)
    assert calibration.best(logits * factor, labels) == pytest.approx(factor, rel=0.1)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.floats(0.1, 8))
def test_best_temperature_minimises_log_loss(seed, samples, factor):
    logits, labels = calibrated(seed, samples)
    found = calibration.best(logits * factor, labels)
    least = math.fsum(metrics.compare(logits * factor / found, labels).loss)
    for other in calibration.TEMPERATURES:
        assert least <= math.fsum(metrics.compare(logits * factor / other, labels).loss) * (1 + 1e-5)


@given(st.integers(0, 2**32 - 1))
def test_temperature_changes_no_label(seed):
    logits, labels = calibrated(seed, 50)
    found = calibration.best(logits, labels)
    assert (metrics.compare(logits / found, labels).predicted == metrics.compare(logits, labels).predicted).all()


def test_temperature_is_one_if_all_are_equally_good():
    assert calibration.best(torch.zeros(5, 3), np.arange(5) % 3) == 1.0


def test_rejects_logits_that_are_not_finite():
    with pytest.raises(BitBloomError, match="NaN"):
        calibration.best(torch.full((2, 2), math.nan), np.zeros(2, dtype=int))
