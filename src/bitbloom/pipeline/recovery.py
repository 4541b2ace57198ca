"""What DVC records of a build stays whole, whatever is killed, and says nothing of code that changed meanwhile.

DVC writes `dvc.lock` in place after every stage, so a kill can cut it off. Before a build, its targets' locks are copied;
after a kill, each is that copy again. What ran since comes back from DVC's run-cache.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bitbloom.core import canonical, git
from bitbloom.core.digests import file_digest
from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import graph
from bitbloom.stages import STAGES

STATE = Path(".bitbloom")
COMPLETE = STATE / "locks"
"""The last complete `dvc.lock` of each target, as `<target>.lock`."""
BUILDING = STATE / "building"
"""There while DVC runs: found at a start, it says that the last build was killed, of which targets, and of what code."""
CONFLICT = b"<<<<<<< "
STAGE = re.compile(r"^(?=  \S)", re.MULTILINE)
"""Where the record of a stage begins in a `dvc.lock`."""


class Killed(BitBloomError):
    """DVC itself was killed: what it was writing may be half there."""


def recover(workspace: Path, targets: Collection[str]) -> None:
    """Clear what a killed build left: DVC's own locks, what it recorded, runs of code that has changed since, and the mark.

    Args:
        workspace: where.
        targets: those to be built now; their locks are looked at, and those of the targets of a build that was killed here.

    Raises:
        BitBloomError: a `dvc.lock` has conflicts of a merge.
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
    """The marks of killed builds: in this workspace, in the repository's own, and in those of variants."""
    found = {workspace / BUILDING, BUILDING, *(STATE / "variants").glob(f"*/{BUILDING}")}
    return sorted(mark for mark in found if mark.exists())


def _killed(mark: Path) -> dict[str, Any]:
    """What a killed build was about: digests of its code by path, and its targets. Nothing, where none was killed."""
    return {"code": {}, "targets": []} | (canonical.read_json(mark) if _read(mark) else {})


def _recover_lock(workspace: Path, target: str, was_built: bool) -> None:
    """Let a target's lock be its last complete copy, unless it is whole. Raises BitBloomError on a merge with conflicts."""
    lock = workspace / graph.lock(target)
    found = _read(lock)
    if CONFLICT in found:
        raise BitBloomError(f"{lock} has conflicts of a merge: resolve them, or take one side: git checkout --ours -- {lock}")
    # A lock can be cut off and still parse: after a kill, only a complete copy or what git has of it is sure to be whole.
    is_sure = not was_built or found in (_read(_copy_of(workspace, target)), git.committed(lock))
    if not is_sure or (lock.exists() and not is_whole(found)):
        print(f"a build was killed: {lock} is its last complete copy again", file=sys.stderr)
        _restore(workspace, target)


def is_whole(lock: bytes) -> bool:
    """Whether these are the bytes of a `dvc.lock` that DVC reads and that was written to the end of a line."""
    import yaml
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    try:
        record = COMPILED_LOCKFILE_SCHEMA(yaml.load(lock, Loader=yaml.CSafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError, Invalid):
        return False
    return "stages" in record and lock.endswith(b"\n")


@contextlib.contextmanager
def guarded(workspace: Path, watched: Sequence[str], targets: Collection[str]) -> Iterator[None]:
    """While DVC builds these targets: keep copies of their locks, leave a mark for `recover`, and watch the code.

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
    """DVC has ended by itself: its files are whole. Raises BitBloomError when the code is not what it was at the start.

    DVC reads the code again at the end, and would record what never ran. The mark goes last: a kill before it is recovered from.
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
        raise BitBloomError(
            f"{', '.join(changed[:5])} changed while the build ran, so nothing of it is kept in dvc.lock: build again"
        )


def _changed(before: Mapping[str, str]) -> list[str]:
    """The files whose digests are not what they were."""
    after = code(list(before))
    return sorted(name for name in before if before[name] != after.get(name))


def _forget_runs(mark: Path) -> None:
    """Take from DVC's run-cache what it noted since a build began: it may say of new code what the old one made."""
    for note in Path(".dvc/cache/runs").rglob("*"):
        if note.is_file() and note.stat().st_mtime_ns >= mark.stat().st_mtime_ns:
            note.unlink()


def _sort_stages(workspace: Path, targets: Collection[str]) -> None:
    """Put the stages of the locks into the order of a build: DVC appends a new one when it ends, and some run side by side."""
    for target in targets:
        lock = workspace / graph.lock(target)
        found = _read(lock).decode()
        head, *entries = STAGE.split(found)
        entries.sort(key=lambda entry: (*STAGES, name := entry.partition(":")[0].strip()).index(name))
        if found != (ordered := head + "".join(entries)):
            canonical.write_text(lock, ordered)


def code(paths: Sequence[str]) -> dict[str, str]:
    """SHA-256 of every file at and below these paths."""
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
    """The bytes of a file, none where there is no such file."""
    return path.read_bytes() if path.exists() else b""


def _copy_of(workspace: Path, target: str) -> Path:
    return workspace / COMPLETE / f"{target}.lock"
