"""Training: sampler, optimiser, reduction, ledger, loop, checkpoints and stage."""

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
from bitbloom.core.digests import digest, file_digest
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
    """Change to a temporary folder, where checkpoints are written."""
    monkeypatch.chdir(tmp_path)


# The sampler


@st.composite
def streams(draw):
    keys = np.array(draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=40, unique=True)), np.uint64)
    positions = np.arange(len(keys)) * 3 + 1
    return Stream(positions, keys, draw(st.integers(0, 2**31)), draw(st.sampled_from([8, 16, 24])))


def positions(stream: Stream, step: int) -> list[int]:
    return stream.batch(step, 0, stream.batch_size)[0].tolist()


@given(streams())
def test_every_epoch_is_a_permutation_of_samples(stream):
    size = len(stream.positions)
    seen = [position for step in range(stream.steps(3)) for position in positions(stream, step)]
    for epoch in range(3):
        assert sorted(seen[epoch * size : (epoch + 1) * size]) == stream.positions.tolist()


@given(streams(), st.integers(0, 50), st.sampled_from([1, 2, 4, 8]))
def test_step_does_not_depend_on_number_of_workers(stream, step, parts):
    size = stream.batch_size // parts
    whole = stream.batch(step, 0, stream.batch_size)
    cut = [stream.batch(step, part * size, size) for part in range(parts)]
    for side in (0, 1):
        assert np.array_equal(whole[side], np.concatenate([part[side] for part in cut]))


@given(streams(), st.integers(0, 20))
def test_augmentation_seed_does_not_depend_on_other_samples(stream, step):
    half = Stream(stream.positions[::2], stream.keys[::2], stream.seed, stream.batch_size)
    for epoch in (0, 1):
        whole, part = (_seeds_of_epoch(some, epoch) for some in (stream, half))
        assert all(whole[position] == seed for position, seed in part.items())


def _seeds_of_epoch(stream: Stream, epoch: int) -> dict[int, int]:
    positions, drawn = stream.batch(0, epoch * len(stream.positions), len(stream.positions))
    return dict(zip(positions.tolist(), drawn.tolist(), strict=True))


def test_epochs_differ_in_order_and_augmentation():
    stream = Stream(np.arange(64), np.arange(64, dtype=np.uint64), 1, 64)
    assert positions(stream, 0) != positions(stream, 1)
    assert set(_seeds_of_epoch(stream, 0).values()).isdisjoint(_seeds_of_epoch(stream, 1).values())
    assert positions(stream, 0) != positions(replace(stream, seed=2), 0)


@given(streams(), st.integers(1, 5))
def test_number_of_steps_covers_all_epochs(stream, epochs):
    steps = stream.steps(epochs)
    assert stream.epochs_done(steps) >= epochs
    assert stream.epochs_done(steps - 1) < epochs


# Random numbers and the schedule


@given(st.integers(0, 2**64 - 1), st.integers(-5, 1000), st.integers(0, 1000))
def test_drawn_integers_are_within_bounds(seed, low, span):
    drawn = int(seeds.integers(seeds.derive(seed), low, low + span))
    assert low <= drawn <= low + span


@given(st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=20, unique=True))
def test_mixing_is_injective(numbers):
    assert len(set(seeds.mix(np.array(numbers, np.uint64)).tolist())) == len(numbers)


@given(st.integers(1, 500), st.floats(0, 1))
def test_learning_rate_rises_once_and_falls_towards_zero(steps, warmup):
    factors = [learning_rate_factor(step, steps, warmup) for step in range(steps)]
    top = factors.index(max(factors))
    assert max(factors) == 1 if round(steps * warmup) >= 1 or steps == 1 else max(factors) <= 1
    assert min(factors) > 0
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)


def test_schedule_is_piecewise_linear():
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


def test_parameters_are_views_of_flat_buffer():
    model = network()
    before = torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])
    tested = optimiser(model)
    assert torch.equal(tested.weights, before)
    tested.weights.fill_(0.5)
    assert all(torch.all(parameter == 0.5) for parameter in model.parameters())
    model(torch.rand(2, 3, 16, 16)).sum().backward()
    gradients = torch.cat([parameter.grad.reshape(-1) for parameter in model.parameters()])
    assert torch.equal(tested.take_gradient(), gradients)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_flat_step_equals_adamw_of_torch():
    one, other = network(), network()
    tested = optimiser(one, clip=0.0, warmup=0.0, learning_rate=0.01)
    groups = tasks.model("petals").parameter_groups(other, tested.config)
    plain = torch.optim.AdamW(groups, fused=True)
    for step in range(3):
        gradient = noise(one, step)
        tested.step(gradient, step, 3)
        for group in plain.param_groups:
            group["lr"] = 0.01 * learning_rate_factor(step, 3, 0.0)
        parts = gradient.split([parameter.numel() for parameter in other.parameters()])
        for parameter, part in zip(other.parameters(), parts, strict=True):
            parameter.grad = part.view_as(parameter).clone()
        plain.step()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_restored_optimiser_continues_with_same_bits():
    one, other = network(), network()
    first, second = optimiser(one, ema=0.9), optimiser(other, ema=0.9)
    for step in range(3):
        first.step(noise(one, step), step, 6)
    second.restore({name: tensor.clone() for name, tensor in first.state().items()})
    for step in range(3, 6):
        for tested in (first, second):
            tested.step(noise(one, step), step, 6)
    assert torch.equal(first.weights, second.weights)
    assert torch.equal(first.average, second.average)


def test_clips_only_gradients_above_largest_norm():
    steps = {}
    for size in (1e-4, 1.0, 100.0):
        model = network()
        tested = optimiser(model, clip=1.0, weight_decay=0.0)
        tested.step(noise(model, 0, size), 0, 1)
        moments = [state["exp_avg"] for state in tested.adamw.state.values()]
        steps[size] = math.sqrt(sum(float((moment**2).sum()) for moment in moments)) / 0.1
    assert steps[1.0] == pytest.approx(1, rel=1e-3)
    assert steps[100.0] == pytest.approx(1, rel=1e-3)
    assert steps[1e-4] == pytest.approx(float(noise(network(), 0, 1e-4).norm()), rel=1e-3)


def test_moving_average_lags_behind_weights():
    model = network()
    tested = optimiser(model, ema=0.9, warmup=0.0)
    start = tested.weights.clone()
    for step in range(4):
        tested.step(torch.ones_like(tested.weights), step, 100)
    moved, lagging = (start - tested.weights).mean(), (start - tested.average).mean()
    assert 0 < float(lagging) < float(moved)


def test_only_matrices_decay_and_head_has_own_learning_rate():
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
    """Return the sum of a balanced binary tree by its recursive definition."""
    if len(leaves) == 1:
        return leaves[0]
    middle = len(leaves) // 2
    return by_definition(leaves[:middle]) + by_definition(leaves[middle:])


@given(st.data(), st.sampled_from([1, 2, 4, 8, 16]))
def test_tree_sum_equals_recursive_sum_and_keeps_leaves(data, count):
    leaves = tensors(data, count)
    before = [leaf.clone() for leaf in leaves]
    assert torch.equal(reduction.tree_sum(leaves), by_definition(leaves))
    assert all(torch.equal(leaf, old) for leaf, old in zip(leaves, before, strict=True))


@given(st.data(), st.sampled_from([1, 2, 4, 8]))
def test_sum_does_not_depend_on_number_of_workers(data, world):
    leaves = tensors(data, 8)
    size = reduction.blocks(8, world)
    partial = [reduction.tree_sum(leaves[rank * size : (rank + 1) * size]) for rank in range(world)]
    assert torch.equal(reduction.tree_sum(partial), reduction.tree_sum(leaves))


@pytest.mark.parametrize("count", [0, 3, 6])
def test_rejects_unbalanced_tree(count):
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
def test_rejects_invalid_counts_of_micro_batches_and_workers(micro_batches, world, message):
    with pytest.raises(BitBloomError, match=message):
        reduction.blocks(micro_batches, world)


values = st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=50).map(lambda numbers: torch.tensor(numbers))


@given(values, st.data())
def test_checksum_changes_with_any_bit(flat, data):
    position, bit = data.draw(st.integers(0, len(flat) - 1)), data.draw(st.integers(0, 31))
    flipped = flat.clone().view(torch.int32)
    flipped[position] ^= torch.tensor(1 << bit if bit < 31 else -(1 << 31), dtype=torch.int32)
    assert ledger.checksum(flat) != ledger.checksum(flipped.view(torch.float32))


@given(values, st.data())
def test_checksum_changes_if_different_elements_are_swapped(flat, data):
    one, other = (data.draw(st.integers(0, len(flat) - 1)) for _ in range(2))
    swapped = flat.clone()
    swapped[one], swapped[other] = flat[other], flat[one]
    same = torch.equal(flat.view(torch.int32), swapped.view(torch.int32))
    assert (ledger.checksum(flat) == ledger.checksum(swapped)) == same


@given(values, st.integers(1, 60))
def test_checksum_does_not_depend_on_chunk_size(flat, chunk):
    assert ledger.checksum(flat, chunk=chunk) == ledger.checksum(flat)


@given(values, st.sampled_from([1, 2, 4, 8]), st.integers(1, 20))
def test_partial_checksums_add_up_to_checksum(flat, world, chunk):
    partials = [ledger.checksum(flat, worker, world, chunk) for worker in range(world)]
    assert ledger.total(partials) == exact_checksum(flat)
    assert torch.tensor(partials, dtype=torch.int64).tolist() == partials


def exact_checksum(flat: torch.Tensor) -> int:
    return sum(bits * (2 * position + 1) for position, bits in enumerate(flat.view(torch.int32).tolist())) % (1 << 64)


@pytest.mark.parametrize("size", [ledger.COLUMNS - 1, ledger.COLUMNS, ledger.COLUMNS + 1, 1000, ledger.CHUNK + 1])
@pytest.mark.parametrize("world", [1, 4])
@pytest.mark.parametrize("bits", [None, -(1 << 31), (1 << 31) - 1], ids=["any", "least", "most"])
def test_checksum_is_exact_over_many_rows_and_chunks(size, world, bits):
    some = torch.randint(-(1 << 31), 1 << 31, (size,), dtype=torch.int32, generator=torch.Generator().manual_seed(size))
    flat = (some if bits is None else torch.full_like(some, bits)).view(torch.float32)
    for chunk in (ledger.CHUNK, 700):
        assert ledger.total(ledger.checksum(flat, worker, world, chunk) for worker in range(world)) == exact_checksum(flat)


# The loop


def fitted(train=None, data: Dataset | None = None, name: str = "run") -> loop.Run:
    run = tiny.start(tiny.sections(train), data)
    run.fit(Checkpoints(name), QUIET)
    return run


def test_fits_a_tiny_data_set():
    run = fitted({"epochs": 20})
    losses = [line["loss"] for line in run.history.ledger]
    assert losses[0] > 0.5
    assert losses[-1] < 0.1
    assert run.summary()["epochs"][-1]["val_accuracy"] == 1.0


def test_larger_training_subset_contains_smaller_one():
    data = tiny.dataset()
    subsets = [set(loop.training_subset(data, percent)) for percent in (30, 60, 100)]
    assert subsets[0] < subsets[1] < subsets[2] == set(data.split("train"))
    run = tiny.start(tiny.sections({"part": 30}), data)
    assert set(run.stream.positions) == subsets[0] and run.summary()["train_samples"] == len(subsets[0])
    with pytest.raises(BitBloomError, match=r"train\.part=0 leaves none"):
        loop.training_subset(data, 0)


def test_trained_network_is_invariant_to_light():
    run, data = fitted({"epochs": 20}), tiny.dataset()
    test = data.split("test")
    for light in (0.85, 1.0, 1.1):
        images = np.clip(data.arrays["images"] * light, 0, 255).astype(np.uint8)
        lit = replace(data, arrays={**data.arrays, "images": images})
        logits = inference.outputs(tasks.model("petals"), run.network, lit, test, tiny.MODEL)["logits"]
        assert (logits.argmax(1).numpy() == data.arrays["labels"][test]).mean() >= 0.9


def test_greener_photo_has_higher_probability_of_fern():
    run, data = fitted({"epochs": 20}), tiny.dataset()
    poppies = np.flatnonzero(data.arrays["labels"] == tiny.CLASSES.index("poppy"))
    probabilities = []
    for amount in (0, 60, 120):
        images = data.arrays["images"].astype(np.int64)
        images[:, 1] += amount
        images[:, 0] -= amount
        greener = replace(data, arrays={**data.arrays, "images": np.clip(images, 0, 255).astype(np.uint8)})
        logits = inference.outputs(tasks.model("petals"), run.network, greener, poppies, tiny.MODEL)["logits"]
        probabilities.append(float(logits.softmax(1)[:, tiny.CLASSES.index("fern")].mean()))
    assert probabilities == sorted(probabilities)
    assert probabilities[-1] > probabilities[0] + 0.5


def test_curves_have_row_per_epoch_and_ledger_line_per_step():
    summary = fitted().summary()
    assert [row["epoch"] for row in summary["epochs"]] == [1, 2, 3]
    assert summary["steps"] == summary["epochs"][-1]["step"] == 9
    assert {"learning_rate", "train_loss", "val_loss", "val_accuracy"} < set(summary["epochs"][0])
    assert (summary["kept"], summary["train_samples"], summary["val_samples"]) == ("last", 96, 24)


def test_max_steps_stops_within_epoch_and_validates():
    summary = fitted({"max_steps": 4}).summary()
    assert summary["steps"] == 4
    assert [row["step"] for row in summary["epochs"]] == [3, 4]


def test_early_stopping_keeps_weights_of_best_epoch():
    # The learning rate is too high: after its first epochs, the network gets worse.
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


def test_keeps_moving_average():
    run = fitted({"ema": 0.9})
    trained = run.optimiser.weights.clone()
    kept = torch.cat([tensor.reshape(-1) for name, tensor in run.finish().items()])
    assert not torch.equal(trained, kept)
    assert torch.equal(run.optimiser.weights, run.optimiser.average)


def test_rejects_loss_that_is_not_finite():
    with pytest.raises(FloatingPointError, match=r"the loss of step \d+ is (nan|inf): lower train.learning_rate"):
        fitted({"learning_rate": 1e30, "epochs": 20, "clip": 0.0})


def test_rejects_batch_size_that_does_not_divide():
    with pytest.raises(BitBloomError, match=r"train.batch_size 20 is not a multiple of numerics.micro_batches 8"):
        tiny.start(tiny.sections({"batch_size": 20}))


@pytest.mark.parametrize("extra", [{}, {"ema": 0.9}, {"patience": 2}, {"checkpoint_every": 2}], ids=str)
@pytest.mark.parametrize("stop", [3, 6])
def test_resumed_run_ends_with_same_bits(extra, stop):
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


def _as_of(tested: Optimiser, steps: int):
    """Use the schedule of the whole run in an interrupted run."""
    step = tested.step
    return lambda gradient, number, _: step(gradient, number, steps)


def test_keeps_newest_checkpoint_and_ignores_incomplete_one(tmp_path):
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


def test_checkpoint_keeps_every_bit_of_score():
    # If 1/3 was rounded to 0.333333333, another epoch of equal accuracy would count as better.
    checkpoints = Checkpoints("run")
    checkpoints.save(1, {}, {"best_score": 1 / 3})
    assert checkpoints.load()[1]["best_score"] == 1 / 3


def test_prints_that_run_resumes(capsys):
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
    """Create a workspace for the train stage with one worker; return a function that loads its target."""
    with contextlib.chdir(tiny.REPOSITORY):
        tiny.write_workspace(tmp_path / "workspace")
    monkeypatch.chdir(tmp_path / "workspace")
    monkeypatch.setenv("WORKERS", "1")
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    return lambda **changed: _changed(Target.load("petals-tiny", train.READS), changed)


def _changed(target: Target, changed: dict[str, object]) -> Target:
    return replace(target, sections={**target.sections, "train": replace(target.train, **changed)})


def test_stage_writes_loadable_network_and_removes_checkpoints(stage):
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


def test_rejects_diverged_training_and_writes_no_model(stage):
    with pytest.raises(BitBloomError, match=r"lower train.learning_rate"):
        train.run(stage(learning_rate=1e30, clip=0.0))
    assert not stage().models.exists()


def test_inputs_digest_depends_on_config_data_and_lock(stage):
    before = train.inputs_digest(stage())
    assert before == train.inputs_digest(stage())
    assert before != train.inputs_digest(stage(seed=3))
    Path("weights.lock").write_text("{}")
    assert before == train.inputs_digest(stage())  # the model has no locked weights
    Path("requirements.lock").write_text("torch==0.0.0")
    relocked = train.inputs_digest(stage())
    (stage().processed / "labels.npy").unlink()
    assert len({before, relocked, train.inputs_digest(stage())}) == 3


@pytest.mark.parametrize("module", ["config/sections/augment.py", "config/models/image.py", "tasks/petals/model.py"])
def test_inputs_digest_depends_on_modules_loaded_by_name(stage, monkeypatch, module):
    before = train.inputs_digest(stage())
    monkeypatch.setattr(train, "file_digest", lambda file: "changed" if file.as_posix().endswith(module) else file_digest(file))
    assert before != train.inputs_digest(stage())
