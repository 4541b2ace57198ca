"""A whole search of one space: data by the pipeline, trials in generations, the history after each, a page at the end.

    bitbloom sweep run conf/sweep/petals.yaml --trials 24      # called by `make sweep`

The search is a function of the space, the code, the configuration and the data, so there is no state to restore: after a kill,
the same command starts it again, and every trial that has its result is read from `trials/` instead of run.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from bitbloom.core import canonical, progress
from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.sweep import configurations, history, inputs, local, records, space, study
from bitbloom.experiments.sweep.history import History
from bitbloom.experiments.sweep.inputs import Inputs
from bitbloom.experiments.sweep.study import Progress, Task
from bitbloom.experiments.sweep.workspaces import Workspaces
from bitbloom.numerics import pins
from bitbloom.pipeline import build, composition

if TYPE_CHECKING:
    from bitbloom.experiments.sweep.space import Space

HEAD = "sweep.json"
"""The first line of the history of this folder, from the start of the search."""
Execute = Callable[[Sequence[Task], "Sweep"], Iterator[tuple[Task, Progress]]]
"""Runs tasks of a sweep whose folders are ready."""


class Sweep:
    """A search, and its folder .bitbloom/sweeps/<name>/."""

    def __init__(self, path: Path, target: str = "", trials: int = 0) -> None:
        self.space: Space = space.read(path, target, trials)
        own = space.read(path).target
        self.name = path.stem if self.space.target == own else f"{path.stem}-{self.space.target}"
        self.folder = history.folder(self.name)
        self.ends = configurations.ends(self.space)
        self.tree = self.ends[0]
        self.epochs = configurations.check(self.space, self.ends)
        self.workspaces = Workspaces(self.space.target)
        self.inputs, self.head = Inputs(), dict[str, Any]()
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    def run(self, execute: Execute = local.execute, heard: Callable[[list[study.Row]], None] = lambda _: None) -> History:
        """Run the search, or what is left of it. `heard` is called with the rows of each generation.

        Raises:
            BitBloomError: another process runs it, it began with other code, configuration or data, or a trial could not run.
        """
        pins.require(str(self.tree.numerics.profile))
        with self._alone():
            head = self.begin()
            rows, count = list[study.Row](), self.space.count()
            with progress.advancing(f"sweep {self.name}", count) as advance:
                for found in study.search(self.space, self.epochs, lambda tasks: self._execute(tasks, execute)):
                    self._require_unchanged()
                    rows += found
                    done = history.write(History(head, rows, whole=len(rows) == count))
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
            BitBloomError: the folder has trials of another space, code, configuration or data.
        """
        before = canonical.read_json(self.folder / HEAD) if (self.folder / HEAD).exists() else None
        if before:  # before the data is built
            shared = Inputs().of_search(self.ends)
            self._require_same(
                history.searched(self.space.plain()) | shared, history.searched(before["space"]) | before["inputs"]
            )
        place = self.workspaces.trust(self.tree, self.space.set) if before else None
        if not before or place is None or inputs.changed(Inputs().data(self.tree, place, self.space.target), before["inputs"]):
            place = self.workspaces.data(self.tree, self.space.set)
        self.workspaces.keep(self.tree, place)
        self.inputs = Inputs()
        found = self._found(self.inputs, self.ends)
        if before:
            self._require_same(found, before["inputs"])
        canonical.write_json(self.folder / HEAD, {"sweep": self.name, "space": self.space.plain(), "inputs": found})
        self.head = canonical.read_json(self.folder / HEAD)
        return self.head

    def _found(self, now: Inputs, trees: Sequence[DictConfig]) -> dict[str, str]:
        """The digests of the inputs of this search."""
        place = self.workspaces.data(self.tree, self.space.set)
        return now.of_search(trees) | now.data(self.tree, place, self.space.target)

    def _require_same(self, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
        if changed := inputs.changed(ours, theirs):
            raise BitBloomError(
                f"{self.folder} has trials with other {', '.join(changed)}: a search has one of each. "
                f"Copy the space to another name, or start again: rm -r {self.folder}"
            )

    def _require_unchanged(self) -> None:
        if changed := inputs.changed(self._found(Inputs(), configurations.ends(self.space)), self.head["inputs"]):
            raise BitBloomError(
                f"{', '.join(changed)} changed during the sweep: undo the change and run it again, "
                f"or start again: rm -r {self.folder}"
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
        if failure := self._failure(task):
            return Progress(ended=True, failure=failure)
        if (found := self.known(task)).ended:
            return found
        self._prepare(task)
        from bitbloom.experiments.sweep import trial

        with build.reading(), contextlib.chdir(self.place(task)), trial.alone():
            return trial.advance(self.space.target, self.space.metric, None, heard)

    def place(self, task: Task) -> Path:
        """The folder of a task's trial. Raises BitBloomError when its configuration is not valid."""
        return records.folder(self.folder, self._tree(task.overrides))

    def described(self, task: Task) -> dict[str, Any]:
        """A task for another process: see `records.command`."""
        place = self.place(task).resolve()
        given = {"place": str(place), "target": self.space.target, "metric": self.space.metric, "until": task.until}
        return given | {"inputs": self.inputs.of_trial(place, self.space.target)}

    @cached_property
    def _known(self) -> dict[tuple[str, ...], Progress]:
        """The results in this search's history, whose trials may be removed."""
        before = history.read(self.name) if (self.folder / history.FILE).exists() else None
        return before.known() if before and before.is_of(self.head) else {}

    def known(self, task: Task) -> Progress:
        """What is known of a task's trial."""
        other = self._known.get(task.overrides, Progress())
        return max(self.recorded(task), other, key=lambda each: (each.ended, len(each.curve)))

    def recorded(self, task: Task) -> Progress:
        """What the record of a task's trial says; nothing if it is of other inputs than this search began with."""
        place = self.place(task)
        if not (place / records.RECORD).exists():
            return Progress()
        return records.read(place, self.inputs.of_trial(place, self.space.target))

    def _execute(self, tasks: Sequence[Task], execute: Execute) -> Iterator[tuple[Task, Progress]]:
        """The results of tasks: those that are known, then those of new runs. Equal trials run once."""
        waiting: dict[Path, list[Task]] = {}
        for task in tasks:
            if failure := self._failure(task):
                yield task, Progress(ended=True, failure=failure)
            elif (found := self.known(task)).reaches(task.until):
                yield task, found
            else:
                self._prepare(task)
                waiting.setdefault(self.place(task), []).append(task)
        if waiting:
            with build.reading():  # a build would replace the data
                for task, found in execute([equal[0] for equal in waiting.values()], self):
                    if not found.reaches(task.until):
                        self._require_unchanged()
                        raise BitBloomError(f"trial {task.number} has no result: see {self.place(task) / records.LOG}")
                    yield from ((equal, found) for equal in waiting[self.place(task)])

    def _tree(self, overrides: tuple[str, ...]) -> DictConfig:
        """The configuration of a trial. Raises BitBloomError when it is not valid."""
        if overrides not in self._composed:
            self._composed[overrides] = composition.compose(self.space.target, overrides)
        return self._composed[overrides]

    def _failure(self, task: Task) -> str:
        """Why a trial's configuration is not valid, or nothing: each value alone is valid, a combination may not be."""
        try:
            self._tree(task.overrides)
        except BitBloomError as error:
            return str(error)
        return ""

    def _prepare(self, task: Task) -> None:
        self.workspaces.prepare(self.place(task), self._tree(task.overrides), task.overrides)

    def _tidy(self, rows: Sequence[study.Row]) -> None:
        """Remove the checkpoints of pruned trials."""
        for row in rows:
            if row.state == study.PRUNED:
                place = records.folder(self.folder, self._tree(row.overrides))
                shutil.rmtree(place / ".bitbloom/checkpoints", ignore_errors=True)
