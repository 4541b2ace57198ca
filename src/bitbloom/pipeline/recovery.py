"""Recovery: DVC's records of a build survive a kill, and never describe code that changed during the build.

DVC writes `dvc.lock` in place after every stage, so a kill can truncate it. A build copies the locks of its targets before it
starts. After a kill, recovery restores each copy. Stages that ran since then come from DVC's run-cache.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bitbloom.core import canonical, git
from bitbloom.core.digests import file_digest
from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import graph
from bitbloom.pipeline.conflicts import MARKER
from bitbloom.pipeline.merging import STAGE, is_whole
from bitbloom.stages import STAGES

STATE = Path(".bitbloom")
COMPLETE = STATE / "locks"
"""The last complete `dvc.lock` of each target, as `<target>.lock`."""
BUILDING = STATE / "building"
"""Exists while DVC runs. At the start of a build it shows that the last build was killed, with its targets and its code."""


class Killed(BitBloomError):
    """DVC itself was killed: its files may be truncated."""


def recover(workspace: Path, targets: Collection[str]) -> None:
    """Remove the traces of a killed build: DVC's own locks, truncated records, cached runs of changed code, and the mark.

    Args:
        workspace: of the build.
        targets: of the next build. Their locks are checked, and those of the killed build's targets.

    Raises:
        BitBloomError: a `dvc.lock` has merge conflicts.
    """
    for name in ("rwlock", "rwlock.lock", "lock"):
        (workspace / ".dvc/tmp" / name).unlink(missing_ok=True)
    for mark in _marks(workspace):  # all workspaces share one cache of runs
        if _changed(_killed(mark)["code"]):
            _forget_runs(mark)
    mark = workspace / BUILDING
    killed = _killed(mark)
    for target in sorted({*targets, *killed["targets"]}):
        _recover_lock(workspace, target, target in killed["targets"])
    mark.unlink(missing_ok=True)


def _marks(workspace: Path) -> list[Path]:
    """The marks of killed builds in this workspace, in the repository's main workspace, and in those of variants."""
    found = {workspace / BUILDING, BUILDING, *(STATE / "variants").glob(f"*/{BUILDING}")}
    return sorted(mark for mark in found if mark.exists())


def _killed(mark: Path) -> dict[str, Any]:
    """The digests of a killed build's code by path, and its targets. Both are empty without a killed build."""
    return {"code": {}, "targets": []} | (canonical.read_json(mark) if _read(mark) else {})


def _recover_lock(workspace: Path, target: str, was_built: bool) -> None:
    """Restore the last complete copy of a target's lock, unless the lock is whole. Raises BitBloomError on merge conflicts."""
    lock = workspace / graph.lock(target)
    found = _read(lock)
    if MARKER.search(found):
        raise BitBloomError(f"{lock} has merge conflicts: resolve them with `make merge`")
    # A truncated lock can still parse: after a kill, only a complete copy or the committed lock is certainly whole.
    is_sure = not was_built or found in (_read(_copy_of(workspace, target)), git.committed(lock))
    if not is_sure or (lock.exists() and not is_whole(found)):
        what = "a build was killed" if was_built else f"{lock} was damaged"
        if found:
            aside = _copy_of(workspace, target).with_suffix(".damaged")
            canonical.write_bytes(aside, found)
            what += f" ({aside} keeps what was there)"
        print(f"{what}: restored the last complete copy of {lock}", file=sys.stderr)
        _restore(workspace, target)


@contextlib.contextmanager
def guarded(workspace: Path, watched: Sequence[str], targets: Collection[str]) -> Iterator[None]:
    """Guard a build of these targets by DVC: copy their locks, leave a mark for `recover`, and check that the code stays equal.

    Raises:
        BitBloomError: code below `watched` changed before the end.
    """
    _copy(workspace, targets)
    before = code(watched)
    canonical.write_json(workspace / BUILDING, {"code": before, "targets": sorted(targets)})
    try:
        yield
    except Killed:
        raise
    except KeyboardInterrupt:
        recover(workspace, targets)
        raise
    except BitBloomError:
        _finish(workspace, before, targets)
        raise
    _finish(workspace, before, targets)


def _finish(workspace: Path, before: dict[str, str], targets: Collection[str]) -> None:
    """Record the build after DVC ended by itself, with whole files. Raises BitBloomError when the code changed since the start.

    DVC reads the code again at the end, and would record code that never ran. The mark is removed last, so that recovery follows
    an earlier kill.
    """
    changed = _changed(before)
    if changed:
        _forget_runs(workspace / BUILDING)
        for target in targets:
            _restore(workspace, target)
    else:
        _sort_stages(workspace, targets)
        _copy(workspace, targets)
    (workspace / BUILDING).unlink()
    if changed:
        raise BitBloomError(f"{', '.join(changed[:5])} changed while the build ran, so dvc.lock does not record it: build again")


def _changed(before: Mapping[str, str]) -> list[str]:
    """The files whose digests have changed."""
    after = code(list(before))
    return sorted(name for name in before if before[name] != after.get(name))


def _forget_runs(mark: Path) -> None:
    """Delete the entries of DVC's run-cache since the start of a build: they may map new code to outputs of old code."""
    runs = Path(".dvc/cache/runs")
    for note in runs.rglob("*"):
        if note.is_file() and note.stat().st_mtime_ns >= mark.stat().st_mtime_ns:
            note.unlink()
    for folder in runs.glob("*/*"):
        if folder.is_dir() and not any(folder.iterdir()):  # DVC fails on the folder of a run that has no entries
            folder.rmdir()


def _sort_stages(workspace: Path, targets: Collection[str]) -> None:
    """Sort the stages of the locks in the order of a build: DVC appends each stage when it ends, and some run in parallel."""
    for target in targets:
        lock = workspace / graph.lock(target)
        found = _read(lock).decode()
        head, *entries = STAGE.split(found)
        entries.sort(key=lambda entry: (*STAGES, name := entry.partition(":")[0].strip()).index(name))
        if found != (ordered := head + "".join(entries)):
            canonical.write_text(lock, ordered)


def code(paths: Sequence[str]) -> dict[str, str]:
    """SHA-256 of every file in these paths."""
    found = [file for name in paths for file in (Path(name).rglob("*") if Path(name).is_dir() else [Path(name)])]
    return {file.as_posix(): file_digest(file) for file in found if file.is_file() and "__pycache__" not in file.parts}


def _copy(workspace: Path, targets: Collection[str]) -> None:
    for target in targets:
        lock, copy = workspace / graph.lock(target), _copy_of(workspace, target)
        if lock.exists():
            canonical.write_bytes(copy, lock.read_bytes())
        else:
            copy.unlink(missing_ok=True)


def _restore(workspace: Path, target: str) -> None:
    lock, copy = workspace / graph.lock(target), _copy_of(workspace, target)
    whole = copy.read_bytes() if copy.exists() else git.committed(lock)
    if whole:
        canonical.write_bytes(lock, whole)
    else:
        lock.unlink(missing_ok=True)


def _read(path: Path) -> bytes:
    """The bytes of a file; empty for a missing file."""
    return path.read_bytes() if path.exists() else b""


def _copy_of(workspace: Path, target: str) -> Path:
    return workspace / COMPLETE / f"{target}.lock"
