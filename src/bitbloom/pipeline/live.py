"""The curves of a training while it runs, outside of hashed outputs: for DVC's plots, editors and the tracker.

    reports/<target>/live/training.json             the rows so far, as models/<target>/training.json has them at the end
    reports/<target>/live/metrics.json              the newest row
    reports/<target>/live/plots/metrics/<name>.tsv  one curve, with the columns `step` and <name>

`metrics.json` and `plots/` have the format of DVCLive's files. Training saves its rows with every checkpoint
(`train.checkpoint_every`), and an observer in the build's process only reads them. So a training has the same bytes with it.
A checkpoint does not name its target: beside a training that was started by hand, the curves of a build come at its end.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bitbloom.core import canonical

Row = dict[str, float]

CHECKPOINTS = Path(".bitbloom/checkpoints")
INTERVAL = 0.5
"""Seconds between two looks."""
LONGEST_WAIT = 5.0
"""Seconds that the end of a build waits for the last write."""
UNPLOTTED = ("epoch", "step")
PROCESSES = Path("/proc")
"""Linux's folder with the command line, parent and folder of each process. Without it, no other training is noticed."""
TRAINING = b"bitbloom.stages.train"
"""The module of a training, a word of its command line."""


def folder(target: str, workspace: Path) -> Path:
    """The folder of a target's live curves."""
    return workspace / "reports" / target / "live"


def rows(target: str, workspace: Path) -> list[Row]:
    """The rows that the observer has written; empty before the first."""
    return _epochs(folder(target, workspace) / "training.json")


def trained_rows(target: str, workspace: Path) -> list[Row]:
    """The rows of a finished training; empty before its end."""
    return _epochs(workspace / "models" / target / "training.json")


def checkpoints(workspace: Path) -> dict[Path, int]:
    """The state file of each checkpoint → the time of its last change, nanoseconds."""
    states = {}
    for state in (workspace / CHECKPOINTS).glob("*/step-*/state.json"):
        with contextlib.suppress(FileNotFoundError):  # the training replaces it
            states[state] = state.stat().st_mtime_ns
    return states


def checkpoint_rows(workspace: Path, before: Mapping[Path, int]) -> list[Row]:
    """The rows in the newest checkpoint of a running training; empty without one. `before`: those of earlier trainings."""
    states = {state: changed for state, changed in checkpoints(workspace).items() if before.get(state) != changed}
    return _epochs(max(states, key=lambda state: states[state])) if states else []


def others(workspace: Path) -> list[int]:
    """The trainings in a workspace, by process id, that neither this process nor one of its children started."""
    here, found = workspace.resolve(), []
    for process in PROCESSES.glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
            if TRAINING not in (process / "cmdline").read_bytes().split(b"\0") or (process / "cwd").resolve() != here:
                continue
            if os.getpid() not in _ancestors(int(process.name)):
                found.append(int(process.name))
    return found


def _ancestors(process: int) -> Iterator[int]:
    while process:
        yield process
        status = (PROCESSES / str(process) / "status").read_text()
        process = int(status.partition("\nPPid:")[2].split(maxsplit=1)[0])


def write(folder: Path, found: Sequence[Row]) -> None:
    """Write rows as the files of this module. Each file is replaced as a whole, so that a reader never sees a part of a row."""
    names = sorted({name for row in found for name in row} - set(UNPLOTTED))
    for old in (folder / "plots/metrics").glob("*.tsv"):
        if old.stem not in names:
            old.unlink()
    for name in names:
        lines = [f"{int(row['epoch'])}\t{row[name]!r}" for row in found if name in row]
        canonical.write_text(folder / "plots/metrics" / f"{name}.tsv", "\n".join([f"step\t{name}", *lines, ""]))
    canonical.write_json(folder / "metrics.json", {name: found[-1][name] for name in names} | {"step": int(found[-1]["epoch"])})
    canonical.write_json(folder / "training.json", {"epochs": list(found)})


@contextlib.contextmanager
def observing(target: str, workspace: Path, begun: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Write the curves of the training that runs during the block, and call `begun` after its first row.

    The block never fails because of it: a file that cannot be written is one line of warning.
    """
    observer = Observer(target, workspace, begun)
    observer.start()
    try:
        yield
    finally:
        observer.over.set()
        observer.join(LONGEST_WAIT)


class Observer(threading.Thread):
    """Reads checkpoints and writes curves until `over` is set."""

    def __init__(self, target: str, workspace: Path, begun: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.target, self.workspace, self.begun = target, workspace, begun
        self.over, self.before, self.written = threading.Event(), checkpoints(workspace), list[Row]()
        self.alone = True

    def run(self) -> None:
        """Write the rows that are new at each look, and those of the finished training at the end."""
        try:
            while not self.over.wait(INTERVAL):
                if self.alone:
                    self.update(checkpoint_rows(self.workspace, self.before))
            finished = trained_rows(self.target, self.workspace)
            if finished and finished != rows(self.target, self.workspace):
                write(folder(self.target, self.workspace), finished)
        except Exception as error:  # no curve is worth a build
            print(f"warning: no live curves in {folder(self.target, self.workspace)}: {_reason(error)}", file=sys.stderr)

    def update(self, found: list[Row]) -> None:
        """Write rows if they are new."""
        if not found or found == self.written:
            return
        if other := others(self.workspace):
            self.alone = False
            print(f"note: process {other[0]} trains here too: the curves of {self.target} come at the end", file=sys.stderr)
            return
        write(folder(self.target, self.workspace), found)
        first, self.written = not self.written, found
        if first:
            self.begun()


def _epochs(path: Path) -> list[Row]:
    """The rows of a JSON file; empty if it is missing, or not whole."""
    try:
        content: Any = canonical.read_json(path)
        return list(content["epochs"])
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return []


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
