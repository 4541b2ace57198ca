"""Attention rollout: normalised rows, and a map with its maximum at the attended patch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitbloom.config.models.image import ImageModel
from bitbloom.models import attention, classifier
from support import tiny

VIT = ImageModel(
    architecture="vit", image_size=16, patch_size=4, hidden_size=32, layers=2, heads=2, mlp_ratio=2, pooling="mean", stem="patch"
)


@given(st.integers(1, 4), st.integers(1, 3), st.integers(2, 9), st.integers(0, 2**31))
def test_rows_of_rollout_add_up_to_one(layers, heads, tokens, seed):
    torch.manual_seed(seed)
    attentions = [torch.rand(2, heads, tokens, tokens).softmax(dim=-1) for _ in range(layers)]
    flow = attention.rollout(attentions)
    assert (flow >= 0).all()
    assert torch.allclose(flow.sum(dim=-1), torch.ones(2, tokens), atol=1e-5)


def test_maps_attention_to_the_attended_patch():
    grid, target = 4, 6
    attentions = torch.zeros(1, 2, 1 + grid**2, 1 + grid**2)
    attentions[..., 1 + target] = 1
    found = attention.patch_map(attention.rollout([attentions, attentions]), [slice(1)], grid)
    assert found.shape == (1, grid, grid)
    assert int(found.argmax()) == target
    assert found.sum() == pytest.approx(1)


def test_pooled_groups_have_equal_weight():
    flow = torch.zeros(1, 5, 5)
    flow[0, 0, 1], flow[0, 1:, 4] = 1, 1
    assert attention.patch_map(flow, [slice(1), slice(-4, None)], 2).flatten().tolist() == [0.5, 0, 0, 0.5]


@pytest.mark.parametrize("changed", [{"pooling": "mean"}, {"pooling": "class"}, {"architecture": "dinov2", "weights": "none"}])
def test_attention_does_not_change_logits(changed):
    shape = ImageModel(**{**vars(VIT), **changed})
    network = classifier.build(shape, 3).eval()
    pixels = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        logits, attended = network.with_attention(pixels)
        assert torch.equal(logits, network(pixels))
    assert attended.shape == (2, 4, 4)
    assert torch.allclose(attended.sum(dim=(1, 2)), torch.ones(2), atol=1e-5)


def test_cnn_has_no_attention():
    cnn = ImageModel(architecture="cnn", image_size=16, hidden_size=32, layers=2, stem="patch")
    assert not classifier.has_attention(classifier.build(cnn, 3))
    assert classifier.has_attention(classifier.build(tiny.MODEL, 3))
