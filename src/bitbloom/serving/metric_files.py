"""The folder of a service's metrics, in which its processes write them and from which /metrics adds them up.

BentoML gives the services of one store the same folder, and each start empties it. `own` makes a folder for the processes of one
`bentoml serve`, before they start; `join` makes each of them use it. A lock of the kernel on the folder tells that one of them
lives, in whatever container; the folders of dead ones are removed at the next start.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

PREFIX = "bitbloom-metrics-"
INHERITED = "BITBLOOM_METRICS_DIR"
"""The variable by which the processes of a service learn their folder. Nothing else sets it."""
READ_BY_PROMETHEUS = "PROMETHEUS_MULTIPROC_DIR"


def own() -> Path:
    """Make the folder of the service that this process starts, and name it to its children; it is removed when this one ends.

    It is in the folder of temporary files, the only one that a container with a read-only file system can write.
    """
    sweep()
    folder = _made()
    os.environ[INHERITED] = str(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def join() -> None:
    """Write the metrics of this process into the folder of its service, if its parent has made one."""
    folder = os.environ.get(INHERITED, "")
    if folder and _hold(Path(folder)):
        os.environ[READ_BY_PROMETHEUS] = folder


def sweep() -> None:
    """Remove the folders of services all of whose processes have died."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # a file, a link, the folder of another user; or one of its processes lives
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(lock)


def _made() -> Path:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        _hold(folder)
        if folder.exists():  # else another start has swept it before it was locked
            return folder


def _hold(folder: Path) -> bool:
    """Lock a folder for as long as this process lives, by a file that it never closes. Returns False when the folder is gone."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return False
    with suppress(OSError):  # a file system without locks: nothing there is ever swept
        fcntl.flock(lock, fcntl.LOCK_SH)
    return True
