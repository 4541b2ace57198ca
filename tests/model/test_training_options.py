"""Options of training: low-rank adaptation, knowledge distillation, gradient checkpointing, precision."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import cross_entropy

from bitbloom import tasks
from bitbloom.config.models.image import ImageModel
from bitbloom.config.sections.numerics import Numerics
from bitbloom.config.sections.train import Distill, Lora, Train
from bitbloom.core import canonical
from bitbloom.core.digests import file_digest
from bitbloom.core.errors import BitBloomError
from bitbloom.models import classifier
from bitbloom.pipeline import composition, graph
from bitbloom.training import activations, inference, loop, lora
from bitbloom.training.checkpoint import Checkpoints
from bitbloom.training.distillation import blend
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


# Knowledge distillation


def write_teacher(run: loop.Run, folder: Path = Path("models/teacher")) -> Path:
    folder.mkdir(parents=True)
    save_file(weights(run), folder / "model.safetensors")
    canonical.write_json(folder / "config.json", {"model": vars(run.sections.model), "meta": run.dataset.meta, "data_digest": ""})
    return folder


@given(st.integers(0, 1000), st.floats(0.5, 20), st.floats(0, 1))
def test_loss_of_a_teacher_is_smallest_at_its_own_logits(seed, temperature, weight):
    generator = torch.Generator().manual_seed(seed)
    teacher, other = torch.randn(2, 4, 3, generator=generator)
    hard = torch.tensor(1.5)
    config = Distill(temperature=temperature, weight=weight)
    assert blend(hard, teacher, teacher, config) <= blend(hard, other, teacher, config) + 1e-3
    assert torch.equal(blend(hard, other, teacher, replace(config, weight=0.0)), hard)


def test_teacher_without_weight_changes_nothing():
    folder = write_teacher(fitted("teacher", epochs=1))
    plain = fitted("plain", DROPPING, epochs=1)
    taught = fitted("taught", DROPPING, epochs=1, distill=Distill(str(folder), weight=0.0))
    assert [line["weights"] for line in taught.history.ledger] == [line["weights"] for line in plain.history.ledger]
    assert equal(weights(plain), weights(taught))


def test_student_learns_from_teacher_what_its_labels_do_not_say():
    teacher = fitted("teacher", epochs=15)
    folder, data = write_teacher(teacher), tiny.dataset()
    wrong = replace(data, arrays={**data.arrays, "labels": (data.arrays["labels"] + 1) % 3})
    test, task = data.split("test"), tasks.model("petals")
    agreement = {}
    for weight in (0.0, 1.0):
        student = fitted(f"student {weight}", data=wrong, epochs=15, distill=Distill(str(folder), weight=weight))
        of_both = [inference.outputs(task, run.network, data, test, tiny.MODEL)["logits"].argmax(1) for run in (teacher, student)]
        agreement[weight] = float(np.mean((of_both[0] == of_both[1]).numpy()))
    assert agreement[1.0] >= 0.9 and agreement[0.0] <= 0.3
    assert student.summary()["teacher"] == {"folder": "models/teacher", "sha256": file_digest(folder / "model.safetensors")}
    assert not any(parameter.requires_grad for parameter in student.teacher.network.parameters())


def test_refuses_teacher_with_other_classes_or_inputs_or_without_files():
    folder = write_teacher(fitted("teacher", epochs=1))
    data, taught = tiny.dataset(), {"distill": Distill(str(folder))}
    with pytest.raises(BitBloomError, match="models/teacher has another 'classes' than this model"):
        tiny.start(tiny.sections(taught), replace(data, meta={**data.meta, "classes": ["a", "b", "c"]}))
    with pytest.raises(BitBloomError, match=r"models/teacher has another 'model\.image_size' than this model"):
        tiny.start(tiny.sections(taught, replace(tiny.MODEL, image_size=8)), data)
    with pytest.raises(BitBloomError, match=r"models/none lacks config\.json or model\.safetensors: train that target first"):
        tiny.start(tiny.sections({"distill": Distill("models/none")}), data)


def test_only_training_depends_on_its_teacher(monkeypatch):
    monkeypatch.chdir(tiny.REPOSITORY)
    tree = composition.compose("petals-tiny", ["train.distill.teacher=models/petals"])
    plain = {stage.stage: set(stage.inputs) for stage in graph.stages("petals-tiny", composition.compose("petals-tiny"))}
    more = {stage.stage: set(stage.inputs) - plain[stage.stage] for stage in graph.stages("petals-tiny", tree)}
    assert more.pop("train") == {"models/petals/config.json", "models/petals/model.safetensors"}
    assert not any(more.values())
    with pytest.raises(BitBloomError, match="models/petals is what this training writes"):
        graph.stages("petals", tree)


# Precision and values


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.precision=bf16", "train.precision=bf16 needs numerics=fast or numerics=cuda: .* would depend on the CPU"),
        ("train.precision=fp16", "train.precision 'fp16' is none of auto, fp32, bf16"),
        ("train.distill.weight=1.5", "train.distill.weight is 1.5: it has to be from 0 to 1"),
        ("train.distill.temperature=0", "train.distill.temperature is 0.0: it has to be more than 0"),
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
