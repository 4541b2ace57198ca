"""Uninitialised memory: the pins disable PyTorch's filling of new memory with NaN in deterministic mode."""

from __future__ import annotations

import pytest
import torch

from bitbloom.numerics import pins
from support import portable_work


@pytest.fixture
def pinned():
    pins.pin_torch()
    yield
    torch.set_deterministic_debug_mode("default")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "overrides"),
    [("petals", []), ("tweets", ["model.weights=none", "model.layers=1"]), ("captions", [])],
    ids=["petals", "tweets", "captions"],
)
def test_training_step_reads_no_uninitialised_memory(name, overrides, pinned, monkeypatch):
    few = ["numerics.micro_batches=2", "train.batch_size=32"]
    _, bare = portable_work.steps(name, 2, [*few, *overrides])
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    _, filled = portable_work.steps(name, 2, [*few, *overrides])
    assert bare == filled
