"""What DVC records of a build stays whole, whatever is killed, and says nothing of code that changed meanwhile.

DVC writes `dvc.lock` in place after every stage, so a kill can cut it off. Before a build, its targets' locks are copied;
after a kill, one that is cut off is that copy again. What ran since comes back from DVC's run-cache.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from bitbloom.core import canonical
from bitbloom.core.digests import file_digest
from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import graph

STATE = Path(".bitbloom")
COMPLETE = STATE / "locks"
"""The last complete `dvc.lock` of each target, as `<target>.lock`."""
BUILDING = STATE / "building"
"""There while DVC runs: found at a start, it says that the last build was killed."""


class Killed(BitBloomError):
    """DVC itself was killed: what it was writing may be half there."""


def recover(workspace: Path, targets: Collection[str]) -> None:
    """Clear what a killed build left: DVC's own locks, the mark, and a `dvc.lock` of these targets that is cut off."""
    for name in ("rwlock", "rwlock.lock", "lock"):
        (workspace / ".dvc/tmp" / name).unlink(missing_ok=True)
    for target in targets:
        lock = graph.lock(target)
        if (workspace / lock).exists() and not is_whole((workspace / lock).read_bytes()):
            print(f"{lock} was cut off by a killed build: it is its last complete copy again", file=sys.stderr)
            _restore(workspace, target)
    (workspace / BUILDING).unlink(missing_ok=True)


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
    (workspace / BUILDING).touch()
    before = code(watched)
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

    DVC reads the code again at the end, and would record what never ran.
    """
    (workspace / BUILDING).unlink()
    after = code(list(before))
    if changed := sorted(name for name in before if before[name] != after.get(name)):
        shutil.rmtree(".dvc/cache/runs", ignore_errors=True)
        for target in targets:
            _restore(workspace, target)
        raise BitBloomError(
            f"{', '.join(changed[:5])} changed while the build ran, so nothing of it is kept in dvc.lock: build again"
        )
    _copy(workspace, targets)


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
    if copy.exists():
        canonical.write_bytes(lock, copy.read_bytes())
    else:
        lock.unlink(missing_ok=True)


def _copy_of(workspace: Path, target: str) -> Path:
    return workspace / COMPLETE / f"{target}.lock"
