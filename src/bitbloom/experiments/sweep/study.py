"""The study: Optuna's samplers and pruners, asked and told in an order that does not depend on time.

Trials are proposed in generations of a fixed size. At each rung, an epoch of the space, all values of the generation are
reported before the first trial is compared, and both happen in the order of the trials. The next generation is proposed when
all trials of the last one have their result. So a row of the history is a function of the space and of the trials' results:
neither the number of workers nor the order of arrival can change it.

Optuna by itself gives other trials in each parallel run: a worker proposes a trial from the results that exist at that time
(https://github.com/optuna/optuna/issues/3056). TPE is from Bergstra et al. 2011, Hyperband from Li et al. 2018, asynchronous
successive halving from Li et al. 2020; here its "asynchronous" order is that of the trials.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna

    from bitbloom.experiments.sweep.space import Space

COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"


@dataclass(frozen=True)
class Task:
    """Train a trial with these overrides up to an epoch; None means to its end."""

    number: int
    overrides: tuple[str, ...]
    until: int | None


@dataclass(frozen=True)
class Progress:
    """What is known of a trial: the metric after each epoch so far, and at the end the rest."""

    curve: tuple[float, ...] = ()
    ended: bool = False
    value: float | None = None
    """The metric of the weights that the training kept; None before the end, and of a failed trial."""
    sha256: Mapping[str, str] = field(default_factory=dict)
    """The digest of each file of the trained model."""
    failure: str = ""
    """Why the training cannot end with these values of the searched keys."""

    def reaches(self, until: int | None) -> bool:
        """Whether this is enough for a task up to an epoch."""
        return self.ended or (until is not None and len(self.curve) >= until)


Execute = Callable[[Sequence[Task]], Iterable[tuple[Task, Progress]]]
"""Runs tasks in any order, and yields each with its result when it has one."""


@dataclass(frozen=True)
class Row:
    """A trial in the history."""

    number: int
    generation: int
    overrides: tuple[str, ...]
    params: Mapping[str, Any]
    state: str
    value: float | None
    curve: tuple[float, ...]
    sha256: Mapping[str, str]
    failure: str


def rungs(space: Space, epochs: int) -> list[int]:
    """The epochs, below the last, at which trials are compared."""
    pruner, found, epoch = space.pruner, list[int](), space.pruner.first
    while pruner.kind != "none" and epoch < epochs:
        found.append(epoch)
        epoch = epoch + pruner.every if pruner.kind == "median" else epoch * pruner.factor
    return found


def search(space: Space, epochs: int, execute: Execute) -> Iterator[list[Row]]:
    """Run a search of trials with up to `epochs` epochs. Yields the rows of each generation, in order."""
    study, count = create(space, epochs), space.count()
    for generation, first in enumerate(range(0, count, space.generation)):
        size = min(space.generation, count - first)
        yield Generation(space, study, generation, size).run(rungs(space, epochs), execute)


def create(space: Space, epochs: int) -> optuna.Study:
    """An empty study in memory. Hyperband chooses the bracket of a trial by the name of the study and the trial's number."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    direction = optuna.study.StudyDirection[space.direction.upper()]
    return optuna.create_study(
        study_name=f"sweep-{space.seed}", direction=direction, sampler=_sampler(space), pruner=_pruner(space, epochs)
    )


def _sampler(space: Space) -> optuna.samplers.BaseSampler:
    from optuna import samplers

    class Grid(samplers.GridSampler):
        def after_trial(self, *_: Any) -> None:
            """Optuna's stops a loop here that this study does not have: `Space.count` ends the search."""

    if space.sampler == "grid":
        return Grid({parameter.key: parameter.grid() for parameter in space.searched}, seed=space.seed)
    if space.sampler == "random":
        return samplers.RandomSampler(seed=space.seed)
    # constant_liar: a proposal keeps away from the others of its generation, which have no value yet.
    return samplers.TPESampler(seed=space.seed, n_startup_trials=space.startup, constant_liar=True)


def _pruner(space: Space, epochs: int) -> optuna.pruners.BasePruner:
    from optuna import pruners

    given = space.pruner
    if given.kind == "median":
        return pruners.MedianPruner(n_startup_trials=given.startup)
    if given.kind == "halving":
        return pruners.SuccessiveHalvingPruner(min_resource=given.first, reduction_factor=given.factor)
    if given.kind == "hyperband":
        largest = max(epochs, given.first)
        return pruners.HyperbandPruner(min_resource=given.first, max_resource=largest, reduction_factor=given.factor)
    return pruners.NopPruner()


class Generation:
    """The trials that are proposed together."""

    def __init__(self, space: Space, study: optuna.Study, number: int, size: int) -> None:
        self.space, self.study, self.number = space, study, number
        distributions = {parameter.key: parameter.distribution() for parameter in space.searched}
        self.trials = {trial.number: trial for trial in (study.ask(distributions) for _ in range(size))}
        self.overrides = {number: space.overrides(trial.params) for number, trial in self.trials.items()}
        self.found: dict[int, Progress] = {}
        self.pruned: dict[int, int] = {}
        """Number of a pruned trial → the epoch."""

    def run(self, rungs: Sequence[int], execute: Execute) -> list[Row]:
        """Run all trials to their end, or to the rung that prunes them, and tell the study."""
        for rung in rungs:
            self.advance(rung, execute)
            self.compare(rung)
        self.advance(None, execute)
        return [self.tell(number) for number in self.trials]

    def advance(self, until: int | None, execute: Execute) -> None:
        """Run the trials that are not pruned up to an epoch. The results arrive in any order."""
        tasks = [Task(number, self.overrides[number], until) for number in self.trials if number not in self.pruned]
        self.found |= {task.number: progress for task, progress in execute(tasks)}

    def compare(self, rung: int) -> None:
        """Report all values of a rung, then let the pruner decide, both in the order of the trials.

        A trial is compared if its curve reaches the rung, whether it goes on or ends there: a trial that pauses at the rung in
        one run is seen at its end when a resumed search runs again, so `ended` must not matter.
        """
        reached = [number for number in self.trials if number not in self.pruned and len(self.found[number].curve) >= rung]
        for number in reached:
            self.trials[number].report(self.found[number].curve[rung - 1], rung)
        self.pruned |= {number: rung for number in reached if self.trials[number].should_prune()}

    def tell(self, number: int) -> Row:
        """Tell the study the result of a trial. Returns its row."""
        from optuna.trial import TrialState

        progress, trial = self.found[number], self.trials[number]
        row = row_of(progress, self.pruned.get(number))
        states = {COMPLETE: TrialState.COMPLETE, PRUNED: TrialState.PRUNED, FAILED: TrialState.FAIL}
        self.study.tell(trial, row["value"] if row["state"] == COMPLETE else None, state=states[row["state"]])
        return Row(number, self.number, self.overrides[number], dict(sorted(trial.params.items())), **row)


def row_of(progress: Progress, pruned: int | None) -> dict[str, Any]:
    """The result of a trial that was or was not pruned at an epoch."""
    if pruned is not None:
        curve = progress.curve[:pruned]
        return {"state": PRUNED, "value": curve[-1], "curve": curve, "sha256": {}, "failure": ""}
    if progress.failure:
        return {"state": FAILED, "value": None, "curve": progress.curve, "sha256": {}, "failure": progress.failure}
    assert progress.value is not None and math.isfinite(progress.value)
    return {"state": COMPLETE, "value": progress.value, "curve": progress.curve, "sha256": progress.sha256, "failure": ""}


def best(rows: Sequence[Row], direction: str) -> Row | None:
    """The winner: the complete trial with the best value, of equal ones the first."""
    complete = [row for row in rows if row.state == COMPLETE and row.value is not None]
    sign = 1 if direction == "maximize" else -1
    return max(complete, key=lambda row: (sign * (row.value or 0.0), -row.number), default=None)
