"""The local store of runs: `.bitbloom/runs/<id>.json`, one record per run, outside of all outputs.

A build adds its run when it ends. A build that made the same again leaves the record as it is; one that made more of the same
training, or evaluated it anew, replaces it. The newest KEPT records stay. `make clean` keeps them, `make distclean` does not.
"""

from __future__ import annotations

import dataclasses
import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.reasons import reason
from bitbloom.experiments.runs import record
from bitbloom.experiments.runs.collect import collect, timestamp, with_commit
from bitbloom.experiments.runs.record import BUILD, Run
from bitbloom.pipeline.recovery import STATE

STORE = STATE / "runs"
KEPT = 500
"""Largest number of records. One of `petals-tiny` has 17 kB."""
NAME = re.compile(r"[0-9a-f]{16}\.json")
EVENT = ("when", "seconds", "commit", "dirty", "committed")
"""Fields that describe a build, and not what it made."""


def observe(target: str, workspace: Path, seconds: float | None) -> None:
    """Add the run of a build that just ended. The build never fails because of it: what goes wrong is one line of warning."""
    try:
        add(target, workspace, seconds)
    except Exception as error:  # no record is worth a build
        print(f"warning: this run is not in {STORE}: {reason(error)}", file=sys.stderr)


def add(target: str, workspace: Path, seconds: float | None) -> Path | None:
    """Add the run of a build that just ended, and return its record; None when the build has not trained yet.

    Args:
        target: its name.
        workspace: of the build.
        seconds: duration of the build, if it built this target alone.

    Raises:
        BitBloomError: a file of the build is damaged.
    """
    found = collect(target, workspace)
    if found is None:
        return None
    path = STORE / f"{found.id}.json"
    before = _readable(path)
    if before is not None and _made(before) == _made(dataclasses.replace(found, origin=BUILD)):
        return path
    durations = [each for each in (seconds, before.seconds if before else None) if each is not None]
    longest = round(max(durations), 1) if durations else None
    now = timestamp(time.time())
    changes = {"origin": BUILD, "when": now, "seconds": longest, **with_commit(found, workspace)}
    record.write(path, dataclasses.replace(found, **changes))
    keep_newest(files())
    return path


def keep_newest(paths: Iterable[Path]) -> None:
    """Remove the oldest files beyond KEPT."""
    for path in sorted(paths, key=lambda path: (path.stat().st_mtime_ns, path.name))[:-KEPT]:
        path.unlink(missing_ok=True)


def files() -> list[Path]:
    """The files of the records."""
    return sorted(path for path in STORE.glob("*.json") if NAME.fullmatch(path.name))


def read() -> tuple[list[Run], list[str]]:
    """All readable records, and a message for each other one."""
    runs, damaged = [], []
    for path in files():
        try:
            runs.append(record.read(path))
        except BitBloomError as error:
            damaged.append(str(error))
    return runs, damaged


def _readable(path: Path) -> Run | None:
    """The record in a file; None for a missing or a damaged one."""
    try:
        return record.read(path)
    except BitBloomError:
        return None


def _made(run: Run) -> str:
    """What a build made, without what describes the build, as canonical JSON."""
    return canonical.json_text({name: value for name, value in record.as_json(run).items() if name not in EVENT})
