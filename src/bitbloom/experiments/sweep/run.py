"""A whole search of one space: data by the pipeline, trials in generations, the history after each, a page at the end.

    bitbloom sweep run conf/sweep/petals.yaml --trials 24      # called by `make sweep`

The search is a function of the space, the code and the data, so there is no state to restore: after a kill, the same command
starts it again, and every trial that has its result is read from `trials/` instead of run.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from bitbloom.core import canonical, progress
from bitbloom.core.digests import digest, listing_digest
from bitbloom.core.errors import BitBloomError
from bitbloom.core.processes import workers
from bitbloom.experiments.sweep import history, local, records, space, study
from bitbloom.experiments.sweep.history import History
from bitbloom.experiments.sweep.study import Progress, Task
from bitbloom.experiments.sweep.workspaces import Workspaces
from bitbloom.numerics import pins
from bitbloom.pipeline import build, composition, graph, recovery

if TYPE_CHECKING:
    from bitbloom.experiments.sweep.space import Space

HEAD = "sweep.json"
"""The first line of the history of this folder, from the start of the search."""
Execute = Callable[[Sequence[Task], "Sweep"], Iterator[tuple[Task, Progress]]]
"""Runs tasks of a sweep whose folders are ready."""


def on_this_machine(tasks: Sequence[Task], sweep: Sweep) -> Iterator[tuple[Task, Progress]]:
    """Run tasks in WORKERS processes."""
    return local.execute(tasks, sweep.space.target, str(sweep.tree.task), sweep.space.metric, sweep.place, workers())


class Sweep:
    """A search, and its folder .bitbloom/sweeps/<name>/."""

    def __init__(self, path: Path, target: str = "", trials: int = 0) -> None:
        self.space: Space = space.read(path, target, trials)
        own = space.read(path).target
        self.name = path.stem if self.space.target == own else f"{path.stem}-{self.space.target}"
        self.folder = history.folder(self.name)
        self.tree = composition.compose(self.space.target, self.space.set)
        self.epochs = self._check()
        self.workspaces = Workspaces(self.space.target)

    def _check(self) -> int:
        """Check that every key can be set, and every rung has a checkpoint. Returns the number of epochs, the largest one.

        Raises:
            BitBloomError: a key is unknown, or a rung is between checkpoints.
        """
        ends = [
            [parameter.override(end) for parameter in self.space.searched if (end := parameter.end(high)) is not None]
            for high in (0, 1)
        ]
        choices = [[f"{parameter.key}={choice}"] for parameter in self.space.searched for choice in parameter.choices]
        trees = [self.tree, *(composition.compose(self.space.target, (*self.space.set, *each)) for each in (*ends, *choices))]
        epochs = max(int(tree.train.epochs) for tree in trees)
        self._check_rungs(trees, epochs)
        return epochs

    def _check_rungs(self, trees: Sequence[DictConfig], epochs: int) -> None:
        for tree in trees:
            every = int(tree.train.checkpoint_every)
            for rung in study.rungs(self.space, epochs):
                if rung % every:
                    raise BitBloomError(f"pruner: epoch {rung} has no checkpoint; train.checkpoint_every is {every}: set it to 1")

    def run(self, execute: Execute = on_this_machine, heard: Callable[[list[study.Row]], None] = lambda _: None) -> History:
        """Run the search, or what is left of it. `heard` is called with the rows of each generation.

        Raises:
            BitBloomError: another process runs it, it began with other code or data, or a trial could not run.
        """
        pins.require(str(self.tree.numerics.profile))
        with self._alone():
            head = self.begin()
            rows, count = list[study.Row](), self.space.count()
            with progress.advancing(f"sweep {self.name}", count) as advance:
                for found in study.search(self.space, self.epochs, lambda tasks: self._execute(tasks, execute)):
                    self._require_same_code(head)
                    rows += found
                    done = History(head, rows, whole=len(rows) == count)
                    history.write(done)
                    self._tidy(found)
                    advance(len(found))
                    heard(found)
        return done

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BitBloomError(f"sweep '{self.name}' is running in this checkout already") from error
            yield

    def begin(self) -> dict[str, Any]:
        """Build the data of the target, unless that of the killed search is still here. Returns the first line of the history.

        Raises:
            BitBloomError: the folder has trials of another space, code or data.
        """
        before = canonical.read_json(self.folder / HEAD) if (self.folder / HEAD).exists() else None
        place = self.workspaces.trust(self.tree, self.space.set) if before else None
        if before is None or place is None or self._inputs(place) != before["inputs"]:
            place = self.workspaces.data(self.tree, self.space.set)
        self.workspaces.keep(self.tree, place)
        head = {"sweep": self.name, "space": self.space.plain(), "inputs": self._inputs(place)}
        self._require_same(head, before or head)
        canonical.write_json(self.folder / HEAD, head)
        plain: dict[str, Any] = canonical.read_json(self.folder / HEAD)
        return plain

    def _require_same(self, head: Mapping[str, Any], before: Mapping[str, Any]) -> None:
        for ours, theirs in ((head["inputs"], before["inputs"]), (_searched(head["space"]), _searched(before["space"]))):
            if changed := sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name)):
                raise BitBloomError(
                    f"{self.folder} has trials with other {', '.join(changed)}: a search has one of each. "
                    f"Copy the space to another name, or start again: rm -r {self.folder}"
                )

    def _inputs(self, place: Path) -> dict[str, str]:
        """Digests of what the trials share: code of the train stage, lock, data of a workspace."""
        code = recovery.code(sorted(graph.modules("train", self.tree)))
        lock = Path(pins.lock(str(self.tree.numerics.profile)))
        data = digest(place / self.workspaces.processed)
        return {"code": listing_digest(code), "data": data, "lock": digest(lock)}

    def _require_same_code(self, head: dict[str, Any]) -> None:
        if self._inputs(self.workspaces.data(self.tree, self.space.set)) != head["inputs"]:
            raise BitBloomError(
                f"code, data or lock changed during the sweep: undo the change, or start again: rm -r {self.folder}"
            )

    def one(self, values: Mapping[str, Any], heard: Callable[[dict[str, float]], None] = lambda _: None) -> Progress:
        """Run one trial to its end in this process, for an engine that proposes the trials itself.

        Args:
            values: of every searched key.
            heard: is called with the row of each epoch that is trained now.

        Raises:
            BitBloomError: a searched key has no value, or the trial could not run.
        """
        if missing := sorted({parameter.key for parameter in self.space.searched} - set(values)):
            raise BitBloomError(f"no value for {', '.join(missing)}: a trial of {self.name} has one for each searched key")
        pins.require(str(self.tree.numerics.profile))
        self.begin()
        task = Task(0, self.space.overrides(values), None)
        if self.known(task).ended:
            return self.known(task)
        if failure := self._prepare(task):
            return Progress(ended=True, failure=failure)
        from bitbloom.experiments.sweep import trial

        with build.reading(), contextlib.chdir(self.place(task)), trial.alone():
            return trial.advance(self.space.target, self.space.metric, None, heard)

    def place(self, task: Task) -> Path:
        """The folder of a task's trial."""
        return records.folder(self.folder, task.overrides)

    def described(self, task: Task) -> dict[str, Any]:
        """A task for another process: see `records.command`."""
        place = str(self.place(task).resolve())
        return {"place": place, "target": self.space.target, "metric": self.space.metric, "until": task.until}

    @cached_property
    def _known(self) -> dict[tuple[str, ...], Progress]:
        """The results in a history whose trials were removed."""
        return history.read(self.name).known() if (self.folder / history.FILE).exists() else {}

    def known(self, task: Task) -> Progress:
        """What is known of a task's trial."""
        found = records.read(self.place(task))
        other = self._known.get(task.overrides, Progress())
        return max(found, other, key=lambda each: (each.ended, len(each.curve)))

    def _execute(self, tasks: Sequence[Task], execute: Execute) -> Iterator[tuple[Task, Progress]]:
        """The results of tasks: those that are known, then those of new runs. Equal trials run once."""
        waiting: dict[tuple[str, ...], list[Task]] = {}
        for task in tasks:
            if (found := self.known(task)).reaches(task.until):
                yield task, found
            elif failure := self._prepare(task):
                yield task, Progress(ended=True, failure=failure)
            else:
                waiting.setdefault(task.overrides, []).append(task)
        if waiting:
            with build.reading():  # a build would replace the data
                for task, found in execute([equal[0] for equal in waiting.values()], self):
                    yield from ((equal, found) for equal in waiting[task.overrides])

    def _prepare(self, task: Task) -> str:
        """Make the folder of a trial. Returns why its configuration is not valid, or nothing."""
        try:
            tree = composition.compose(self.space.target, task.overrides)
        except BitBloomError as error:  # a combination of values, since each alone is valid
            return str(error)
        self.workspaces.prepare(self.place(task), tree, task.overrides)
        return ""

    def _tidy(self, rows: Sequence[study.Row]) -> None:
        """Remove the checkpoints of pruned trials."""
        for row in rows:
            shutil.rmtree(records.folder(self.folder, row.overrides) / ".bitbloom/checkpoints", ignore_errors=True)


def _searched(given: Mapping[str, Any]) -> dict[str, Any]:
    """What of a space has to stay: a longer search goes on with the trials of a shorter one."""
    return {**json.loads(canonical.json_text(given)), "trials": 0}
