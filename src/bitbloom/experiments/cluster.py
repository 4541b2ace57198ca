"""A Ray cluster of this machine, for the engines that use one: loopback addresses, no dashboard, no usage statistics.

Ray has no public setting for two things, so a test holds them. Its files are in `/tmp/ray`, which may be another user's, without
the private argument `_temp_dir` of `ray.init`. On Linux it replaces the loopback address by that of the network without the
variable `RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER`, whose name is that of its other use.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

from bitbloom.core.errors import BitBloomError

STATE = Path(".bitbloom/ray")
"""Files of the cluster, with its logs. They stay when a run fails."""
LONGEST = 40
"""Characters of that folder's absolute path: Ray adds the names of sockets, and Linux limits a socket's path to 107 bytes."""
STORE_BYTES = 100_000_000
"""Ray's shared memory: what passes through it is small, such as numbers of parts and metrics."""
ADDRESS = "RAY_ADDRESS"
"""The variable that names a cluster to join, as in Ray itself."""
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}
"""Environment variables that Ray reads when it is imported, and that its processes inherit."""
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


@contextlib.contextmanager
def started(processes: int, need: str) -> Iterator[ModuleType]:
    """Ray, with a cluster of this machine for the duration of the block. `need` names what asks for it.

    Raises:
        BitBloomError: Ray is not installed.
    """
    os.environ.update(SETTINGS | LOOPBACK)
    ray = _module(need)
    with _folder() as folder:
        try:
            ray.init(
                address="local",
                num_cpus=processes,
                object_store_memory=STORE_BYTES,
                include_dashboard=False,
                logging_level="ERROR",
                log_to_driver=False,
                _temp_dir=str(folder),
            )
            yield ray
        finally:
            ray.shutdown()


@contextlib.contextmanager
def joined(processes: int, need: str, variables: Mapping[str, str]) -> Iterator[ModuleType]:
    """Ray, with the cluster that RAY_ADDRESS names, or else with one of this machine. Its processes have these variables.

    Raises:
        BitBloomError: Ray is not installed.
    """
    if ADDRESS not in os.environ:
        os.environ.update(variables)  # the processes of an own cluster inherit them
        with started(processes, need) as ray:
            yield ray
        return
    os.environ.update(SETTINGS)
    ray = _module(need)
    try:
        ray.init(runtime_env={"env_vars": dict(variables)}, log_to_driver=False, logging_level="ERROR")
        yield ray
    finally:
        ray.shutdown()


def _module(need: str) -> ModuleType:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise BitBloomError(f"{need} needs Ray of requirements-dev.lock: `make ci-setup` installs it") from error
    return ray


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """The folder of the cluster: in `.bitbloom`, or where that path is too long, in the system's folder of temporary files."""
    own = STATE.resolve() / str(os.getpid())
    if len(os.fsencode(own)) > LONGEST:
        with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
            yield Path(folder)
        return
    own.mkdir(parents=True, exist_ok=True)
    yield own
    shutil.rmtree(own, ignore_errors=True)
