"""Training: the laws of its parts, and what the loop promises a person."""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitbloom import tasks
from bitbloom.config.sections.train import Train
from bitbloom.config.target import Target
from bitbloom.core.digests import digest
from bitbloom.core.errors import BitBloomError
from bitbloom.data.dataset import Dataset
from bitbloom.models import classifier
from bitbloom.numerics import ledger, reduction, seeds
from bitbloom.stages import train
from bitbloom.training import inference, loop
from bitbloom.training.checkpoint import Checkpoints
from bitbloom.training.optimiser import Optimiser, learning_rate_factor
from bitbloom.training.sampler import Stream
from support import tiny

QUIET = loop.Report(shown=False)
floats = st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-1e6, max_value=1e6)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Checkpoints are written below the current folder."""
    monkeypatch.chdir(tmp_path)


# The sampler


@st.composite
def streams(draw):
    keys = np.array(draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=40, unique=True)), np.uint64)
    positions = np.arange(len(keys)) * 3 + 1
    return Stream(positions, keys, draw(st.integers(0, 2**31)), draw(st.sampled_from([8, 16, 24])))


def places(stream: Stream, step: int) -> list[int]:
    return stream.batch(step, 0, stream.batch_size)[0].tolist()


@given(streams())
def test_every_epoch_is_a_permutation_of_the_samples(stream):
    size = len(stream.positions)
    seen = [place for step in range(stream.steps(3)) for place in places(stream, step)]
    for epoch in range(3):
        assert sorted(seen[epoch * size : (epoch + 1) * size]) == stream.positions.tolist()


@given(streams(), st.integers(0, 50), st.sampled_from([1, 2, 4, 8]))
def test_a_step_is_the_same_however_it_is_cut_among_workers(stream, step, parts):
    size = stream.batch_size // parts
    whole = stream.batch(step, 0, stream.batch_size)
    cut = [stream.batch(step, part * size, size) for part in range(parts)]
    for side in (0, 1):
        assert np.array_equal(whole[side], np.concatenate([part[side] for part in cut]))


@given(streams(), st.integers(0, 20))
def test_a_sample_is_augmented_alike_whatever_else_the_data_holds(stream, step):
    half = Stream(stream.positions[::2], stream.keys[::2], stream.seed, stream.batch_size)
    for epoch in (0, 1):
        whole, part = (_seeds_of_epoch(some, epoch) for some in (stream, half))
        assert all(whole[position] == seed for position, seed in part.items())


def _seeds_of_epoch(stream: Stream, epoch: int) -> dict[int, int]:
    positions, drawn = stream.batch(0, epoch * len(stream.positions), len(stream.positions))
    return dict(zip(positions.tolist(), drawn.tolist(), strict=True))


def test_epochs_have_orders_and_augmentations_of_their_own():
    stream = Stream(np.arange(64), np.arange(64, dtype=np.uint64), 1, 64)
    assert places(stream, 0) != places(stream, 1)
    assert set(_seeds_of_epoch(stream, 0).values()).isdisjoint(_seeds_of_epoch(stream, 1).values())
    assert places(stream, 0) != places(replace(stream, seed=2), 0)


@given(streams(), st.integers(1, 5))
def test_the_number_of_steps_sees_every_epoch_and_hardly_more(stream, epochs):
    steps = stream.steps(epochs)
    assert stream.epochs_done(steps) >= epochs
    assert stream.epochs_done(steps - 1) < epochs


# Random numbers and the schedule


@given(st.integers(0, 2**64 - 1), st.integers(-5, 1000), st.integers(0, 1000))
def test_drawn_integers_lie_within_their_bounds(seed, low, span):
    drawn = int(seeds.integers(seeds.derive(seed), low, low + span))
    assert low <= drawn <= low + span


@given(st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=20, unique=True))
def test_mixing_keeps_different_seeds_different(numbers):
    assert len(set(seeds.mix(np.array(numbers, np.uint64)).tolist())) == len(numbers)


@given(st.integers(1, 500), st.floats(0, 1))
def test_the_learning_rate_rises_to_its_full_value_once_and_falls_towards_zero(steps, warmup):
    factors = [learning_rate_factor(step, steps, warmup) for step in range(steps)]
    top = factors.index(max(factors))
    assert max(factors) == 1 if round(steps * warmup) >= 1 or steps == 1 else max(factors) <= 1
    assert min(factors) > 0
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)


def test_the_schedule_is_piecewise_linear():
    assert [learning_rate_factor(step, 8, 0.5) for step in range(8)] == pytest.approx([0.25, 0.5, 0.75, 1, 0.8, 0.6, 0.4, 0.2])


# The optimiser


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return classifier.build(tiny.MODEL, 3)


def optimiser(model: torch.nn.Module, **train) -> Optimiser:
    config = Train(**train)
    return Optimiser(model, tasks.model("petals").parameter_groups(model, config), config)


def noise(model: torch.nn.Module, seed: int, size: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(sum(p.numel() for p in model.parameters()), generator=generator) * size


def test_parameters_are_views_of_a_flat_buffer_and_gradients_are_taken_flat():
    model = network()
    before = torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])
    held = optimiser(model)
    assert torch.equal(held.weights, before)
    held.weights.fill_(0.5)
    assert all(torch.all(parameter == 0.5) for parameter in model.parameters())
    model(torch.rand(2, 3, 16, 16)).sum().backward()
    gradients = torch.cat([parameter.grad.reshape(-1) for parameter in model.parameters()])
    assert torch.equal(held.take_gradient(), gradients)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_flat_step_is_that_of_torchs_adamw():
    one, other = network(), network()
    held = optimiser(one, clip=0.0, warmup=0.0, learning_rate=0.01)
    groups = tasks.model("petals").parameter_groups(other, held.config)
    plain = torch.optim.AdamW(groups, fused=True)
    for step in range(3):
        gradient = noise(one, step)
        held.step(gradient, step, 3)
        for group in plain.param_groups:
            group["lr"] = 0.01 * learning_rate_factor(step, 3, 0.0)
        parts = gradient.split([parameter.numel() for parameter in other.parameters()])
        for parameter, part in zip(other.parameters(), parts, strict=True):
            parameter.grad = part.view_as(parameter).clone()
        plain.step()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_a_restored_optimiser_goes_on_bit_for_bit():
    one, other = network(), network()
    first, second = optimiser(one, ema=0.9), optimiser(other, ema=0.9)
    for step in range(3):
        first.step(noise(one, step), step, 6)
    second.restore({name: tensor.clone() for name, tensor in first.state().items()})
    for step in range(3, 6):
        for held in (first, second):
            held.step(noise(one, step), step, 6)
    assert torch.equal(first.weights, second.weights)
    assert torch.equal(first.average, second.average)


def test_a_long_gradient_is_cut_to_the_largest_norm_and_a_short_one_is_not():
    steps = {}
    for size in (1e-4, 1.0, 100.0):
        model = network()
        held = optimiser(model, clip=1.0, weight_decay=0.0)
        held.step(noise(model, 0, size), 0, 1)
        moments = [state["exp_avg"] for state in held.adamw.state.values()]
        steps[size] = math.sqrt(sum(float((moment**2).sum()) for moment in moments)) / 0.1
    assert steps[1.0] == pytest.approx(1, rel=1e-3)
    assert steps[100.0] == pytest.approx(1, rel=1e-3)
    assert steps[1e-4] == pytest.approx(float(noise(network(), 0, 1e-4).norm()), rel=1e-3)


def test_the_moving_average_lags_behind_the_weights():
    model = network()
    held = optimiser(model, ema=0.9, warmup=0.0)
    start = held.weights.clone()
    for step in range(4):
        held.step(torch.ones_like(held.weights), step, 100)
    moved, lagging = (start - held.weights).mean(), (start - held.average).mean()
    assert 0 < float(lagging) < float(moved)


def test_matrices_decay_and_biases_do_not_and_the_head_has_its_own_rate():
    config = Train(learning_rate=1e-4, head_learning_rate=1e-2, weight_decay=0.1)
    model = classifier.build(replace(tiny.MODEL, pooling="class"), 3)
    groups = tasks.model("petals").parameter_groups(model, config)
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    for group in groups:
        assert all((parameter.ndim > 1) == (group["weight_decay"] > 0) for parameter in group["params"])
    fast = {id(parameter) for group in groups if group["lr"] == 1e-2 for parameter in group["params"]}
    assert fast == {id(parameter) for parameter in model.head().parameters()}


# Ordered sums and the ledger


def tensors(data, count):
    return [torch.tensor(data.draw(st.lists(floats, min_size=3, max_size=3)), dtype=torch.float32) for _ in range(count)]


def by_definition(leaves):
    """The sum of a balanced binary tree, as a mathematician writes it."""
    if len(leaves) == 1:
        return leaves[0]
    middle = len(leaves) // 2
    return by_definition(leaves[:middle]) + by_definition(leaves[middle:])


@given(st.data(), st.sampled_from([1, 2, 4, 8, 16]))
def test_the_tree_sum_is_the_recursive_one_bit_for_bit_and_keeps_its_leaves(data, count):
    leaves = tensors(data, count)
    before = [leaf.clone() for leaf in leaves]
    assert torch.equal(reduction.tree_sum(leaves), by_definition(leaves))
    assert all(torch.equal(leaf, old) for leaf, old in zip(leaves, before, strict=True))


@given(st.data(), st.sampled_from([1, 2, 4, 8]))
def test_any_number_of_workers_gives_the_bits_of_one(data, world):
    leaves = tensors(data, 8)
    size = reduction.blocks(8, world)
    partial = [reduction.tree_sum(leaves[rank * size : (rank + 1) * size]) for rank in range(world)]
    assert torch.equal(reduction.tree_sum(partial), reduction.tree_sum(leaves))


@pytest.mark.parametrize("count", [0, 3, 6])
def test_an_unbalanced_tree_has_no_sum(count):
    with pytest.raises(ValueError, match="power of two"):
        reduction.tree_sum([torch.zeros(1)] * count)


@pytest.mark.parametrize(
    ("micro_batches", "world", "message"),
    [
        (12, 1, "numerics.micro_batches is 12"),
        (8, 3, "number of workers is 3"),
        (8, 16, "use at most 8 workers"),
        (0, 1, "is 0"),
    ],
)
def test_counts_that_make_no_tree_are_refused(micro_batches, world, message):
    with pytest.raises(BitBloomError, match=message):
        reduction.blocks(micro_batches, world)


values = st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=50).map(lambda numbers: torch.tensor(numbers))


@given(values, st.data())
def test_the_checksum_changes_with_any_bit(flat, data):
    place, bit = data.draw(st.integers(0, len(flat) - 1)), data.draw(st.integers(0, 31))
    flipped = flat.clone().view(torch.int32)
    flipped[place] ^= torch.tensor(1 << bit if bit < 31 else -(1 << 31), dtype=torch.int32)
    assert ledger.checksum(flat) != ledger.checksum(flipped.view(torch.float32))


@given(values, st.data())
def test_the_checksum_changes_when_two_different_elements_change_places(flat, data):
    one, other = (data.draw(st.integers(0, len(flat) - 1)) for _ in range(2))
    swapped = flat.clone()
    swapped[one], swapped[other] = flat[other], flat[one]
    same = torch.equal(flat.view(torch.int32), swapped.view(torch.int32))
    assert (ledger.checksum(flat) == ledger.checksum(swapped)) == same


@given(values, st.integers(1, 60))
def test_the_checksum_is_the_same_in_chunks_of_any_size(flat, chunk):
    assert ledger.checksum(flat, chunk=chunk) == ledger.checksum(flat)


@given(values, st.sampled_from([1, 2, 4, 8]), st.integers(1, 20))
def test_the_workers_shares_add_up_to_the_checksum(flat, world, chunk):
    shares = [ledger.checksum(flat, worker, world, chunk) for worker in range(world)]
    assert ledger.total(shares) == exact_checksum(flat)
    assert torch.tensor(shares, dtype=torch.int64).tolist() == shares


def exact_checksum(flat: torch.Tensor) -> int:
    return sum(bits * (2 * place + 1) for place, bits in enumerate(flat.view(torch.int32).tolist())) % (1 << 64)


@pytest.mark.parametrize("size", [ledger.COLUMNS - 1, ledger.COLUMNS, ledger.COLUMNS + 1, 1000, ledger.CHUNK + 1])
@pytest.mark.parametrize("world", [1, 4])
@pytest.mark.parametrize("bits", [None, -(1 << 31), (1 << 31) - 1], ids=["any", "least", "most"])
def test_the_checksum_is_exact_over_many_rows_and_chunks(size, world, bits):
    some = torch.randint(-(1 << 31), 1 << 31, (size,), dtype=torch.int32, generator=torch.Generator().manual_seed(size))
    flat = (some if bits is None else torch.full_like(some, bits)).view(torch.float32)
    for chunk in (ledger.CHUNK, 700):
        assert ledger.total(ledger.checksum(flat, worker, world, chunk) for worker in range(world)) == exact_checksum(flat)


# The loop


def fitted(train=None, data: Dataset | None = None, name: str = "run") -> loop.Run:
    run = tiny.start(tiny.sections(train), data)
    run.fit(Checkpoints(name), QUIET)
    return run


def test_a_tiny_set_is_learnt_by_heart():
    run = fitted({"epochs": 20})
    losses = [line["loss"] for line in run.history.ledger]
    assert losses[0] > 0.5
    assert losses[-1] < 0.1
    assert run.summary()["epochs"][-1]["val_accuracy"] == 1.0


def test_a_part_of_the_training_samples_is_learned_from_and_a_larger_part_holds_a_smaller_one():
    data = tiny.dataset()
    parts = [set(loop.training_subset(data, percent)) for percent in (30, 60, 100)]
    assert parts[0] < parts[1] < parts[2] == set(data.split("train"))
    run = tiny.start(tiny.sections({"part": 30}), data)
    assert set(run.stream.positions) == parts[0] and run.summary()["train_samples"] == len(parts[0])
    with pytest.raises(BitBloomError, match=r"train\.part=0 leaves none"):
        loop.training_subset(data, 0)


def test_a_trained_network_tells_the_colours_apart_whatever_the_light():
    run, data = fitted({"epochs": 20}), tiny.dataset()
    test = data.split("test")
    for light in (0.85, 1.0, 1.1):
        images = np.clip(data.arrays["images"] * light, 0, 255).astype(np.uint8)
        lit = replace(data, arrays={**data.arrays, "images": images})
        logits = inference.outputs(tasks.model("petals"), run.network, lit, test, tiny.MODEL)["logits"]
        assert (logits.argmax(1).numpy() == data.arrays["labels"][test]).mean() >= 0.9


def test_a_photo_turned_greener_looks_more_like_a_fern():
    run, data = fitted({"epochs": 20}), tiny.dataset()
    poppies = np.flatnonzero(data.arrays["labels"] == tiny.CLASSES.index("poppy"))
    chances = []
    for amount in (0, 60, 120):
        images = data.arrays["images"].astype(np.int64)
        images[:, 1] += amount
        images[:, 0] -= amount
        greener = replace(data, arrays={**data.arrays, "images": np.clip(images, 0, 255).astype(np.uint8)})
        logits = inference.outputs(tasks.model("petals"), run.network, greener, poppies, tiny.MODEL)["logits"]
        chances.append(float(logits.softmax(1)[:, tiny.CLASSES.index("fern")].mean()))
    assert chances == sorted(chances)
    assert chances[-1] > chances[0] + 0.5


def test_the_curves_have_a_row_an_epoch_and_the_ledger_a_line_a_step():
    summary = fitted().summary()
    assert [row["epoch"] for row in summary["epochs"]] == [1, 2, 3]
    assert summary["steps"] == summary["epochs"][-1]["step"] == 9
    assert {"learning_rate", "train_loss", "val_loss", "val_accuracy"} < set(summary["epochs"][0])
    assert (summary["kept"], summary["train_samples"], summary["val_samples"]) == ("last", 96, 24)


def test_max_steps_stops_in_the_middle_of_an_epoch_and_still_validates():
    summary = fitted({"max_steps": 4}).summary()
    assert summary["steps"] == 4
    assert [row["step"] for row in summary["epochs"]] == [3, 4]


def test_early_stopping_keeps_the_weights_of_the_best_epoch():
    # The rate is far too high: after its first epochs the network only gets worse.
    run = fitted({"epochs": 40, "patience": 3, "learning_rate": 0.02})
    summary = run.summary()
    scores = [row["val_accuracy"] for row in summary["epochs"]]
    assert summary["kept"] == "best"
    assert scores.index(max(scores)) + 1 == summary["best_epoch"]
    assert len(scores) == summary["best_epoch"] + 3 < 40
    run.network.load_state_dict(run.finish())
    positions = run.dataset.split("val")
    found = inference.outputs(run.task, run.network, run.dataset, positions, tiny.MODEL)
    assert run.task.score(found, run.dataset.take(positions))["accuracy"] == max(scores)


def test_a_moving_average_is_what_is_validated_and_kept():
    run = fitted({"ema": 0.9})
    trained = run.optimiser.weights.clone()
    kept = torch.cat([tensor.reshape(-1) for name, tensor in run.finish().items()])
    assert not torch.equal(trained, kept)
    assert torch.equal(run.optimiser.weights, run.optimiser.average)


def test_a_loss_that_is_no_number_is_an_error_that_says_what_to_change():
    with pytest.raises(FloatingPointError, match=r"the loss of step \d+ is (nan|inf): lower train.learning_rate"):
        fitted({"learning_rate": 1e30, "epochs": 20, "clip": 0.0})


def test_a_batch_that_does_not_divide_is_an_error_that_names_both_keys():
    with pytest.raises(BitBloomError, match=r"train.batch_size 20 is not a multiple of numerics.micro_batches 8"):
        tiny.start(tiny.sections({"batch_size": 20}))


@pytest.mark.parametrize("extra", [{}, {"ema": 0.9}, {"patience": 2}, {"checkpoint_every": 2}], ids=str)
@pytest.mark.parametrize("stop", [3, 6])
def test_a_run_taken_up_from_a_checkpoint_ends_with_the_same_bits(extra, stop):
    whole = fitted(extra, name="whole")
    interrupted = tiny.start(tiny.sections(extra))
    checkpoints = Checkpoints("interrupted")
    interrupted.steps, steps = stop + 1, interrupted.steps
    interrupted.optimiser.step = _as_of(interrupted.optimiser, steps)
    interrupted.fit(checkpoints, QUIET)
    resumed = tiny.start(tiny.sections(extra))
    resumed.fit(checkpoints, QUIET)
    assert resumed.history.ledger == whole.history.ledger
    assert resumed.summary() == whole.summary()
    assert all(torch.equal(tensor, whole.finish()[name]) for name, tensor in resumed.finish().items())


def _as_of(held: Optimiser, steps: int):
    """The schedule of the whole run, in a run that is going to be cut off."""
    step = held.step
    return lambda gradient, number, _: step(gradient, number, steps)


def test_only_the_newest_checkpoint_is_kept_and_half_a_one_is_not_taken(tmp_path):
    checkpoints = Checkpoints("run")
    assert checkpoints.load() is None
    for step in (3, 12):
        checkpoints.save(step, {"weights": torch.full((2,), float(step))}, {"epochs": []})
    (checkpoints.folder / ".step-00000020.killed.tmp").mkdir()
    tensors_, state = checkpoints.load()
    assert state == {"epochs": [], "step": 12}
    assert tensors_["weights"].tolist() == [12, 12]
    assert [path.name for path in checkpoints.folder.glob("step-*")] == ["step-00000012"]
    checkpoints.remove()
    assert checkpoints.load() is None


def test_a_checkpoint_keeps_every_bit_of_a_score():
    # Were 1/3 rounded down to 0.333333333, the next epoch of the same accuracy would pass for a better one.
    checkpoints = Checkpoints("run")
    checkpoints.save(1, {}, {"best_score": 1 / 3})
    assert checkpoints.load()[1]["best_score"] == 1 / 3


def test_a_resumed_run_says_so(capsys):
    report = loop.Report(shown=True)
    report.start(4, 9)
    report.step()
    report.epoch({"epoch": 1, "step": 5, "val_loss": 0.25})
    report.close()
    shown = capsys.readouterr().out
    assert "resuming at step 4 of 9" in shown
    assert "epoch 1: val_loss 0.25" in shown


# The stage


@pytest.fixture
def stage(elsewhere, tmp_path, monkeypatch):
    """A workspace in which the train stage can run, with one worker; a function that gives its target."""
    with contextlib.chdir(tiny.REPOSITORY):
        tiny.write_workspace(tmp_path / "workspace")
    monkeypatch.chdir(tmp_path / "workspace")
    monkeypatch.setenv("WORKERS", "1")
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    return lambda **changed: _changed(Target.load("petals-tiny", train.READS), changed)


def _changed(target: Target, changed: dict[str, object]) -> Target:
    return replace(target, sections={**target.sections, "train": replace(target.train, **changed)})


def test_the_stage_writes_a_network_that_evaluation_can_load_and_forgets_its_checkpoints(stage):
    train.run(stage(epochs=2))
    target = stage()
    assert {path.name for path in target.models.iterdir()} == {
        "model.safetensors",
        "config.json",
        "training.json",
        "ledger.jsonl",
    }
    trained = inference.load(target, tasks.model(target.task))
    assert trained.meta["classes"] == tiny.CLASSES
    assert trained.data_digest == digest(target.processed)
    assert trained.network(torch.zeros(1, 3, 16, 16)).shape == (1, 3)
    assert not any(Path(".bitbloom/checkpoints").glob("*"))


def test_a_training_that_explodes_is_a_clear_error_and_writes_no_model(stage):
    with pytest.raises(BitBloomError, match=r"lower train.learning_rate"):
        train.run(stage(learning_rate=1e30, clip=0.0))
    assert not stage().models.exists()


def test_checkpoints_are_filed_under_everything_that_the_weights_depend_on(stage):
    before = train.inputs_digest(stage())
    assert before == train.inputs_digest(stage())
    assert before != train.inputs_digest(stage(seed=3))
    Path("weights.lock").write_text("{}")
    assert before == train.inputs_digest(stage())  # it starts from no locked weights
    Path("requirements.lock").write_text("torch==0.0.0")
    relocked = train.inputs_digest(stage())
    (stage().processed / "labels.npy").unlink()
    assert len({before, relocked, train.inputs_digest(stage())}) == 3
