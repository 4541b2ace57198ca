"""All runs of a checkout, and runs by name: an id or its first digits, a target, a variant's workspace, a folder."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import fcntl
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from bitbloom.core import progress
from bitbloom.core.errors import BitBloomError
from bitbloom.core.processes import workers
from bitbloom.experiments.runs import collect, store, wandb_folder
from bitbloom.pipeline import build
from bitbloom.pipeline.recovery import STATE

if TYPE_CHECKING:
    from bitbloom.experiments.runs.record import Run

VARIANTS = STATE / "variants"
PREFIX = re.compile(r"[0-9a-f]{1,16}")
BUSY = "a build is running: runs without a record are left out until it ends"


@dataclasses.dataclass(frozen=True)
class Found:
    """Runs, and what could not be read, one message each. `present`: ids of the runs whose outputs are in a workspace."""

    runs: list[Run]
    messages: list[str]
    present: frozenset[str] = frozenset()


def every(wandb: Path = wandb_folder.FOLDERS) -> Found:
    """The runs of this checkout, the newest first: of records, of workspaces, and of W&B's folders where there is neither."""
    local = _local()
    known = {run.training for run in local.runs}
    logged, messages = _logged({name: folder for name, folder in wandb_folder.folders(wandb).items() if name not in known})
    runs = sorted([*local.runs, *logged], key=lambda run: (run.when, run.id), reverse=True)
    return Found(runs, [*local.messages, *messages])


def named(names: Sequence[str], wandb: Path = wandb_folder.FOLDERS) -> Found:
    """The runs with these names, in order. Raises BitBloomError when a name has no run, or several."""
    runs: list[Run] = []
    messages: list[str] = []
    local: Found | None = None
    for name in names:
        if name and (path := _path(name)):
            run, said = _at(path, name)
        else:
            local = local or _local()
            run, said = _by_word(name, local, wandb)
        runs.append(run)
        messages += said
    return Found(runs, list(dict.fromkeys(messages)))


def _local() -> Found:
    """Records and workspaces, without W&B. A run that has both is the workspace's, with what the record says of its build."""
    recorded, messages = store.read()
    runs, present = {run.id: run for run in recorded}, set[str]()
    with _reading() as free:
        if not free:
            return Found(list(runs.values()), [*messages, BUSY])
        for target, workspace in _workspaces():
            try:
                run = collect.collect(target, workspace)
            except BitBloomError as error:
                messages.append(str(error))
                continue
            if run is not None and run.id not in present:  # a variant may have the configuration of the target itself
                runs[run.id] = _merged(run, runs.get(run.id))
                present.add(run.id)
    return Found(list(runs.values()), messages, frozenset(present))


def _workspaces() -> Iterator[tuple[str, Path]]:
    """Target and workspace of each build with outputs: the main workspace and those of variants."""
    for workspace in (Path(), *sorted(VARIANTS.glob("*"))):
        for target in collect.targets(workspace):
            yield target, workspace


@contextlib.contextmanager
def _reading() -> Iterator[bool]:
    """Yield whether no build runs, and let none start meanwhile. Unlike `build.reading`, it does not wait for a training."""
    if not build.LOCK.exists():
        yield True
        return
    with build.LOCK.open() as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _merged(run: Run, recorded: Run | None) -> Run:
    """A run of a workspace with what its record says of the build."""
    if recorded is None:
        return run
    return dataclasses.replace(run, origin=recorded.origin, **{name: getattr(recorded, name) for name in store.EVENT})


def _logged(folders: dict[str, Path]) -> tuple[list[Run], list[str]]:
    """The runs in folders of W&B, and messages for those that are damaged."""

    def read(folder: Path) -> tuple[Run | None, list[str]]:
        try:
            return wandb_folder.read(folder)
        except BitBloomError as error:
            return None, [str(error)]

    with ThreadPoolExecutor(workers()) as pool:
        found = list(progress.track(pool.map(read, folders.values()), "runs of W&B", len(folders)))
    return [run for run, _ in found if run is not None], [message for _, said in found for message in said]


def _path(name: str) -> Path | None:
    """The folder or file that a name says, if it holds a run; a variant's workspace may be named without its folder."""
    for path in (Path(name), VARIANTS / name):
        if wandb_folder.log_file(path) or collect.targets(path) or _is_models(path):
            return path
    if (Path(name).is_absolute() or "/" in name) and not Path(name).exists():
        raise BitBloomError(f"there is no run '{name}': the path does not exist")
    return None


def _is_models(path: Path) -> bool:
    """Whether a path is `models/<target>` of a workspace."""
    return path.parent.name == "models" and (path / collect.TRAINING).exists()


def _at(path: Path, name: str) -> tuple[Run, list[str]]:
    """The run in a folder or file."""
    if wandb_folder.log_file(path):
        return wandb_folder.read(path)
    workspace, targets = (path.parent.parent, [path.name]) if _is_models(path) else (path, collect.targets(path))
    if len(targets) > 1:
        choices = ", ".join((path / "models" / target).as_posix() for target in targets)
        raise BitBloomError(f"'{name}' holds runs of {len(targets)} targets: name one of {choices}")
    run = collect.collect(targets[0], workspace)
    if run is None:
        raise BitBloomError(f"'{name}' holds no finished training of its configuration: make train TARGET={targets[0]}")
    recorded = {each.id: each for each in store.read()[0]}
    return _merged(run, recorded.get(run.id)), []


def _by_word(name: str, local: Found, wandb: Path) -> tuple[Run, list[str]]:
    """The run in the main workspace of a target, else its newest one, or the run whose id starts so."""
    mine = [run for run in local.runs if run.target == name and run.workspace == "."]
    if mine:
        return max(mine, key=lambda run: (run.id in local.present, run.when)), []
    if PREFIX.fullmatch(name):
        return _by_prefix(name, local, wandb)
    raise BitBloomError(_unknown(name, local))


def _by_prefix(name: str, local: Found, wandb: Path) -> tuple[Run, list[str]]:
    runs = [run for run in local.runs if run.id.startswith(name)] or [run for run in local.runs if run.training.startswith(name)]
    trained = {run.training for run in local.runs}
    logged = {key: path for key, path in wandb_folder.folders(wandb).items() if key.startswith(name) and key not in trained}
    if len(runs) + len(logged) > 1:
        choices = [*(f"{run.id} ({run.target}, {run.configured})" for run in runs), *(f"{key} (W&B)" for key in logged)]
        raise BitBloomError(f"'{name}' is the start of {len(choices)} runs: {'; '.join(sorted(choices))}")
    if logged:
        return wandb_folder.read(next(iter(logged.values())))
    if not runs:
        raise BitBloomError(_unknown(name, local))
    return runs[0], []


def _unknown(name: str, local: Found) -> str:
    """The message for a name without a run, with what was perhaps meant, or could not be read."""
    known = sorted({run.target for run in local.runs} | {run.short for run in local.runs})
    close = difflib.get_close_matches(name, known, 1)
    meant = f"did you mean '{close[0]}'? " if close else ""
    damaged = "".join(f"; {message}" for message in local.messages if name in message)
    return f"there is no run '{name}': {meant}`bitbloom runs` lists all{damaged}"


def of_targets(runs: Iterable[Run], target: str | None) -> list[Run]:
    """The runs of a target. Raises BitBloomError when there are runs, but none of it."""
    found = list(runs)
    mine = [run for run in found if target in (None, run.target)]
    if found and not mine:
        raise BitBloomError(f"no run of '{target}' is here, only of {', '.join(sorted({run.target for run in found}))}")
    return mine
