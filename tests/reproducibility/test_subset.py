"""The portable subset: allowed and rejected ops, and the messages."""

from __future__ import annotations

import contextlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bitbloom.config.sections.augment import Augment
from bitbloom.config.sections.numerics import Numerics
from bitbloom.config.sections.train import Train
from bitbloom.models.linear import FEWEST_OUTPUTS, PortableLinear
from bitbloom.numerics import subset
from bitbloom.training import loop
from bitbloom.training.checkpoint import Checkpoints
from support import tiny


def fit(network_change, folder, monkeypatch, profile: str = "portable") -> loop.Run:
    """Run a training whose loss is changed by `network_change`."""
    monkeypatch.chdir(folder)
    run = tiny.start(loop.Sections(tiny.MODEL, Augment(), Train(epochs=1, batch_size=32, max_steps=1), Numerics(profile=profile)))
    loss = run.task.loss
    monkeypatch.setattr(run.task, "loss", lambda network, batch, train: network_change(loss(network, batch, train)))
    run.fit(Checkpoints("test"), loop.Report(shown=False))
    return run


@pytest.mark.parametrize(
    ("name", "change", "advice"),
    [
        ("exp", torch.exp, "softmax"),
        ("log", lambda loss: (loss + 5).log(), "log-softmax"),
        ("dot", lambda loss: loss.expand(8).dot(loss.expand(8)), "multiply, then sum"),
        ("sqrt", lambda loss: (loss + 5).sqrt(), "vector_norm"),
        ("erfinv", lambda loss: (loss / 100).erfinv(), "bitbloom.models.initialise"),
    ],
)
def test_rejects_op_outside_subset_before_first_step(name, change, advice, tmp_path, monkeypatch):
    with pytest.raises(subset.Unportable, match=rf"op '{name}' on \(float32\[.*\]\).*{advice}.*numerics=fast") as caught:
        fit(change, tmp_path, monkeypatch)
    assert not (tmp_path / ".bitbloom/checkpoints/test").exists()
    assert "bits differ between CPUs" in str(caught.value)


def test_fast_profile_allows_any_op(tmp_path, monkeypatch):
    assert fit(lambda loss: (loss.float() + 5).log(), tmp_path, monkeypatch, profile="fast").history.ledger


def test_check_does_not_change_training(tmp_path, monkeypatch):
    checked = fit(lambda loss: loss, tmp_path, monkeypatch)
    unchecked = tiny.start(checked.sections)
    unchecked.step(0)
    assert torch.equal(checked.optimiser.weights, unchecked.optimiser.weights)


@pytest.mark.parametrize(("rows", "columns"), [(3, 64), (64, 11), (1, 1)])
def test_rejects_small_matrix_products(rows, columns):
    with (
        pytest.raises(subset.Unportable, match=rf"float32\[{rows},32\], float32\[32,{columns}\].*PortableLinear"),
        subset.Guard(),
    ):
        torch.rand(rows, 32) @ torch.rand(32, columns)


@pytest.mark.parametrize(
    ("terms", "allowed"),
    [(192, True), (193, False), (256, False), (257, False), (258, True), (383, False), (384, True), (385, True)],
)
@pytest.mark.parametrize("multiply", [torch.mm, lambda a, b: torch.bmm(a[None], b[None]), lambda a, b: torch.addmm(b[0], a, b)])
def test_rejects_sums_of_unportable_length(multiply, terms, allowed):
    with contextlib.ExitStack() as stack:
        if not allowed:
            stack.enter_context(pytest.raises(subset.Unportable, match=f"sums of {terms} terms"))
        stack.enter_context(subset.Guard())
        multiply(torch.rand(16, terms), torch.rand(terms, 16))


@pytest.mark.parametrize(
    ("images", "kernel", "side", "allowed"),
    [(4, 1, 14, False), (4, 1, 10, True), (16, 1, 14, True), (1, 3, 16, False), (2, 3, 16, True), (1, 3, 12, True)],
)
def test_rejects_unportable_convolutions(images, kernel, side, allowed):
    layer = nn.Conv2d(16, 24, kernel, padding=kernel // 2)
    with contextlib.ExitStack() as stack:
        if not allowed:
            stack.enter_context(pytest.raises(subset.Unportable, match=f"op 'convolution.*sums of {side * side} terms"))
        stack.enter_context(subset.Guard())
        layer(torch.rand(images, 16, side, side)).sum().backward()


def test_rejects_op_in_backward_pass():
    class Log(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, gradient):
            return gradient.exp()

    weights = torch.rand(4, requires_grad=True)
    with pytest.raises(subset.Unportable, match="op 'exp'"), subset.Guard():
        Log.apply(weights).sum().backward()


def test_rejects_batch_statistics():
    network = nn.BatchNorm2d(3)
    with pytest.raises(subset.Unportable, match="group norm"), subset.Guard():
        network(torch.rand(4, 3, 5, 5))


@given(st.integers(1, 400), st.integers(1, 400), st.integers(4, 9), st.booleans())
def test_portable_layer_equals_linear_layer(inputs, outputs, rows, bias):
    layer = nn.Linear(inputs, outputs, bias=bias)
    portable = PortableLinear.of(layer)
    assert portable.state_dict().keys() == layer.state_dict().keys()
    features = torch.rand(rows, inputs, requires_grad=True)
    with subset.Guard():
        found = portable(features)
        found.sum().backward()
    assert found.shape == (rows, outputs)
    assert torch.allclose(found, layer(features), atol=1e-5)
    assert portable.weight.grad.shape == layer.weight.shape


def test_many_outputs_need_no_padding():
    layer = PortableLinear(8, FEWEST_OUTPUTS + 1)
    features = torch.rand(4, 8)
    assert torch.equal(layer(features), nn.functional.linear(features, layer.weight, layer.bias))
