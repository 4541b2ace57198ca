"""Options of training: low-rank adaptation, gradient checkpointing, precision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from bitbloom.config.models.image import ImageModel
from bitbloom.config.sections.numerics import Numerics
from bitbloom.config.sections.train import Lora, Train
from bitbloom.core.errors import BitBloomError
from bitbloom.models import classifier
from bitbloom.pipeline import composition
from bitbloom.training import activations, loop, lora
from bitbloom.training.checkpoint import Checkpoints
from support import tiny

QUIET = loop.Report(shown=False)
DROPPING = replace(tiny.MODEL, layers=2, dropout=0.1, pooling="class")


def fitted(name: str, model: ImageModel = tiny.MODEL, data=None, **train) -> loop.Run:
    run = tiny.start(tiny.sections(train, model), data)
    run.fit(Checkpoints(name), QUIET)
    return run


def weights(run: loop.Run) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in run.finish().items()}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Change to a temporary folder, where checkpoints are written."""
    monkeypatch.chdir(tmp_path)


def network(model: ImageModel = DROPPING) -> nn.Module:
    torch.manual_seed(0)
    return classifier.build(model, 3)


# Gradient checkpointing


def gradients(model: nn.Module, pixels: torch.Tensor) -> list[torch.Tensor]:
    torch.manual_seed(1)
    model.train()
    cross_entropy(model(pixels), torch.arange(len(pixels)) % 3).backward()
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


@settings(max_examples=5)
@given(st.integers(1, 3), st.sampled_from([0.0, 0.3]), st.integers(0, 1000))
def test_recomputed_gradients_have_the_same_bits(layers, dropout, seed):
    model = replace(DROPPING, layers=layers, dropout=dropout)
    pixels = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
    plain, recomputed = network(model), network(model)
    activations.recompute(recomputed)
    pairs = zip(gradients(plain, pixels), gradients(recomputed, pixels), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_layers_run_again_in_the_backward_pass():
    calls: dict[bool, int] = {False: 0, True: 0}
    for again in calls:
        model = network()
        if again:
            activations.recompute(model)
        inner = next(module for name, module in model.named_modules() if isinstance(module, nn.LayerNorm) and ".0." in name)
        inner.register_forward_hook(lambda *_, again=again: calls.update({again: calls[again] + 1}))
        gradients(model, torch.rand(4, 3, 16, 16))
    assert calls == {False: 1, True: 2}


def test_portable_training_with_checkpointing_has_the_same_ledger():
    plain, recomputed = (fitted(str(on), DROPPING, epochs=1, checkpointing=on) for on in (False, True))
    assert plain.history.ledger == recomputed.history.ledger
    assert equal(weights(plain), weights(recomputed))


def test_network_without_transformer_has_no_checkpointing():
    cnn = replace(tiny.MODEL, architecture="cnn")
    with pytest.raises(BitBloomError, match=r"train\.checkpointing works for transformers.*set train\.checkpointing=false"):
        tiny.start(tiny.sections({"checkpointing": True}, cnn))


# Low-rank adaptation


@settings(max_examples=10)
@given(st.integers(1, 20), st.floats(0.5, 64), st.integers(0, 1000))
def test_merged_network_equals_adapted_one_in_bits(rank, alpha, seed):
    adapted, plain = network().eval(), network()
    names = list(plain.state_dict())
    lora.adapt(adapted, Lora(rank=rank, alpha=alpha))
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(4, 3, 16, 16, generator=generator)
    before = plain.eval()(pixels)
    assert torch.equal(adapted(pixels), before)  # the product starts as zero
    for name, parameter in adapted.named_parameters():
        if name.endswith(".up"):
            parameter.data = torch.rand(parameter.shape, generator=generator)
    unmerged = adapted(pixels)
    lora.merge(adapted)
    assert torch.equal(adapted(pixels), unmerged) and not torch.equal(unmerged, before)
    assert sorted(adapted.state_dict()) == sorted(names)


@pytest.mark.parametrize("rank", [4, 16])
def test_low_rank_training_changes_only_adapted_layers_and_the_head(rank):
    run = fitted("lora", DROPPING, epochs=2, lora=Lora(rank=rank))
    torch.manual_seed(run.sections.train.seed)
    start = classifier.build(DROPPING, 3).state_dict()
    found = weights(run)
    changed = {name for name in start if not torch.equal(found[name], start[name])}
    adapted = {name for name in start if name.endswith(("q_proj.weight", "v_proj.weight"))}
    assert len(adapted) == 4 and changed == adapted | {name for name in start if ".classifier." in name}
    for name in adapted:
        assert int(torch.linalg.matrix_rank(found[name] - start[name], rtol=1e-4)) <= rank
    assert run.summary()["parameters"] == sum(2 * rank * 32 for _ in adapted) + 3 * 32 + 3
    classifier.build(DROPPING, 3).load_state_dict(found)


def test_adaptation_names_the_layers_that_exist():
    with pytest.raises(
        BitBloomError, match=r"train\.lora\.targets: no trainable linear layer is named keys; there are: .*q_proj"
    ):
        lora.adapt(network(), Lora(rank=4, targets=["keys"]))


# Precision and values


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.precision=bf16", "train.precision=bf16 needs numerics=fast or numerics=cuda: .* would depend on the CPU"),
        ("train.precision=fp16", "train.precision 'fp16' is none of auto, fp32, bf16"),
        ("train.lora.rank=-1", "train.lora.rank is -1: it has to be 0 or more"),
    ],
)
def test_refuses_values_at_composition(monkeypatch, override, message):
    monkeypatch.chdir(tiny.REPOSITORY)
    with pytest.raises(BitBloomError, match=message):
        composition.compose("petals-tiny", [override])


def test_portable_training_refuses_bf16():
    with pytest.raises(BitBloomError, match="needs numerics=fast or numerics=cuda"):
        tiny.start(tiny.sections({"precision": "bf16"}))


def test_precision_can_differ_from_that_of_the_profile():
    assert loop.precision("portable") == loop.precision("fast", "fp32") == loop.precision("cuda", "fp32") == "32-true"
    chosen = replace(tiny.sections({"precision": "bf16", "max_steps": 2}), numerics=Numerics(profile="fast"))
    run = tiny.start(chosen)
    run.fit(Checkpoints("bf16"), QUIET)
    plain = tiny.start(replace(chosen, train=Train(**{**vars(chosen.train), "precision": "fp32"})))
    plain.fit(Checkpoints("fp32"), QUIET)
    losses = [[line["loss"] for line in each.history.ledger] for each in (run, plain)]
    assert losses[0] != losses[1] and np.allclose(*losses, rtol=0.05)
