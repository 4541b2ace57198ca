"""The study: its history is a function of the space and of the trials, whatever the order, the workers and the kills."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.sweep import study
from bitbloom.experiments.sweep.history import History
from bitbloom.experiments.sweep.space import Pruner, Space
from bitbloom.experiments.sweep.study import Progress, Task

EPOCHS = 9
PARAMETERS = {
    "train.learning_rate": {"log": [1e-4, 1e-1]},
    "train.weight_decay": {"float": [0.0, 0.3], "step": 0.1},
    "model.layers": {"int": [1, 3]},
    "augment": {"choice": ["garden", "strong"]},
}
GRID = {key: PARAMETERS[key] for key in ("train.weight_decay", "augment", "model.layers")}


def space(**values: object) -> Space:
    """A space of the parameters above; those of a grid for sampler grid."""
    parameters = GRID if values.get("sampler") == "grid" else PARAMETERS
    return Space("petals", parameters=parameters, startup=3, **values)


def whole(overrides: Sequence[str]) -> Progress:
    """A fake training, a function of its overrides: a curve, and for some an early end or a failure."""
    dice = random.Random("\n".join(overrides))
    curve = tuple(round(dice.random() + epoch / EPOCHS, 3) for epoch in range(dice.choice([EPOCHS, EPOCHS, EPOCHS, 2, 3, 4])))
    if dice.random() < 0.15:
        return Progress(curve[: dice.randrange(len(curve))], ended=True, failure="the loss is nan")
    return Progress(curve, ended=True, value=curve[-1], sha256={"model.safetensors": f"{dice.getrandbits(64):x}"})


class Killed(Exception):
    """The sweep was killed here."""


@dataclass
class Machine:
    """Runs fake trainings in a random order; keeps what they reach over kills, at times more than a task needs.

    `left` counts down the results until the next kill.
    """

    dice: random.Random
    workers: int
    left: float = float("inf")
    reached: dict[tuple[str, ...], int] = field(default_factory=dict)
    trained: int = 0

    def execute(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Progress]]:
        """Run tasks, `workers` at a time, each for a random time."""
        ends = [0.0] * self.workers
        arrivals = []
        for task in tasks:
            worker = ends.index(min(ends))
            ends[worker] += self.dice.random()
            arrivals.append((ends[worker], task))
        for _, task in sorted(arrivals, key=lambda arrival: arrival[0]):
            if self.left <= 0:
                raise Killed
            self.left -= 1
            yield task, self.train(task)

    def train(self, task: Task) -> Progress:
        """Train up to a task's epoch, or from an earlier run further.

        A trial that ends at the very epoch is seen paused by some runs, and at its end by others.
        """
        end = whole(task.overrides)
        before = self.reached.get(task.overrides, -1)
        wanted = EPOCHS + 1 if task.until is None else task.until
        if before < wanted:
            self.trained += 1
            self.reached[task.overrides] = max(before, wanted)
        epochs = self.reached[task.overrides]
        stops = len(end.curve) < epochs or (len(end.curve) == epochs and self.dice.random() < 0.5)
        return end if stops else Progress(end.curve[:epochs])


def history(chosen: Space, execute: study.Execute) -> str:
    rows = list(itertools.chain(*study.search(chosen, EPOCHS, execute)))
    return History({"sweep": "s", "space": chosen.plain()}, rows, whole=True).text()


spaces = st.builds(
    space,
    sampler=st.sampled_from(["tpe", "random", "grid"]),
    seed=st.integers(0, 99),
    trials=st.integers(1, 10),
    generation=st.integers(1, 6),
    direction=st.sampled_from(["maximize", "minimize"]),
    pruner=st.builds(
        Pruner,
        kind=st.sampled_from(["none", "median", "halving", "hyperband"]),
        first=st.integers(1, 3),
        every=st.integers(1, 3),
        factor=st.integers(2, 3),
        startup=st.integers(1, 3),
    ),
)


@given(spaces, st.integers(1, 8), st.lists(st.integers(0, 12), max_size=4), st.integers())
@settings(max_examples=20)
def test_order_workers_and_kills_do_not_change_the_history(chosen, workers, kills, seed):
    one = Machine(random.Random(0), workers=1)
    expected = history(chosen, one.execute)
    other = Machine(random.Random(seed), workers)
    for other.left in kills:
        with contextlib.suppress(Killed):
            history(chosen, other.execute)
    other.left = float("inf")
    assert history(chosen, other.execute) == expected
    assert other.trained == one.trained  # nothing ran twice


@given(spaces, st.integers(1, 10))
@settings(max_examples=8)
def test_longer_search_reuses_the_trials_of_a_shorter_one(chosen, more):
    machine = Machine(random.Random(1), workers=2)
    history(chosen, machine.execute)
    chosen.trials += more
    fresh = Machine(random.Random(2), workers=3)
    assert history(chosen, machine.execute) == history(chosen, fresh.execute)


def test_study_that_tells_results_as_they_arrive_has_other_trials():
    """What the order of the study prevents: Optuna alone, told in another order between two proposals."""

    def proposals(order: Callable[[list[int]], list[int]]) -> list[float]:
        alone = study.create(space(), EPOCHS)
        found = []
        for _ in range(4):
            asked = [alone.ask({p.key: p.distribution() for p in space().searched}) for _ in range(3)]
            found += [trial.params["train.learning_rate"] for trial in asked]
            for place in order([0, 1, 2]):
                alone.tell(asked[place], asked[place].params["train.learning_rate"])
                extra = alone.ask({p.key: p.distribution() for p in space().searched})  # the worker that is free now
                alone.tell(extra, extra.params["train.learning_rate"])
                found.append(extra.params["train.learning_rate"])
        return found

    assert proposals(sorted) != proposals(lambda places: places[::-1])


@pytest.mark.parametrize("kind", ["median", "halving", "hyperband"])
def test_pruners_stop_trials_early_and_keep_the_winner(kind):
    def good_or_bad(overrides: Sequence[str]) -> Progress:
        rate = float(next(item for item in overrides if "learning_rate" in item).split("=")[1])
        return Progress(tuple(rate * epoch for epoch in range(1, EPOCHS + 1)), ended=True, value=rate * EPOCHS)

    def execute(tasks: Sequence[Task]) -> Iterator[tuple[Task, Progress]]:
        for task in tasks:
            end = good_or_bad(task.overrides)
            yield task, end if task.until is None else Progress(end.curve[: task.until])

    chosen = space(trials=24, generation=6, sampler="random", pruner=Pruner(kind, first=1, every=2))
    rows = list(itertools.chain(*study.search(chosen, EPOCHS, execute)))
    pruned = [row for row in rows if row.state == study.PRUNED]
    assert 6 <= len(pruned) < 24
    assert {len(row.curve) for row in pruned} <= set(study.rungs(chosen, EPOCHS))
    winner = study.best(rows, "maximize")
    assert winner is not None
    assert winner.value == max(good_or_bad(row.overrides).value or 0 for row in rows)


def test_grid_has_each_point_once():
    chosen = space(sampler="grid", trials=100, generation=7)
    rows = list(itertools.chain(*study.search(chosen, EPOCHS, Machine(random.Random(0), 2).execute)))
    assert len(rows) == chosen.count() == 4 * 2 * 3
    assert len({row.overrides for row in rows}) == len(rows)


def test_winner_is_the_first_of_equal_trials():
    rows = [
        study.Row(number, 0, (), {}, study.COMPLETE, value, (value,), {}, "") for number, value in enumerate([0.5, 0.7, 0.7, 0.1])
    ]
    rows.append(study.Row(4, 0, (), {}, study.PRUNED, 0.9, (0.9,), {}, ""))
    assert study.best(rows, "maximize") is rows[1]
    assert study.best(rows, "minimize") is rows[3]
    assert study.best(rows[4:], "maximize") is None


def test_history_survives_its_file_and_names_damage(tmp_path):
    from bitbloom.experiments.sweep import history as histories

    text = history(space(), Machine(random.Random(0), 1).execute)
    path = tmp_path / "history.jsonl"
    path.write_text(text)
    assert histories.parse(path).text() == text
    path.write_text(text.replace('"state": "complete"', '"state": "pruned"', 1).replace('"value": 0', '"value": 00', 1))
    with pytest.raises(BitBloomError, match="is not a history"):
        histories.parse(path)
