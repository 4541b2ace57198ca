"""Commands with bounded memory: the kernel counts all their processes with their file pages, and kills beyond the bound."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path("/sys/fs/cgroup")
V2 = {"bound": "memory.max", "swap": "memory.swap.max", "peak": "memory.peak", "events": "memory.events"}
V1 = {
    "bound": "memory.limit_in_bytes",
    "swap": "memory.memsw.limit_in_bytes",
    "peak": "memory.max_usage_in_bytes",
    "events": "memory.oom_control",
}
"""Files of a control group's memory. The bound of version 1 for swap includes the memory."""


@dataclass(frozen=True)
class Group:
    """A control group whose processes have a bound of memory, and no swap."""

    folder: Path
    files: Mapping[str, str]

    @property
    def peak(self) -> int:
        """The most memory that they had at a time, bytes. It reaches the bound wherever file pages fill the rest."""
        return int((self.folder / self.files["peak"]).read_text())

    @property
    def kills(self) -> int:
        """How many of them the kernel killed."""
        events = dict(line.split() for line in (self.folder / self.files["events"]).read_text().splitlines())
        return int(events["oom_kill"])

    def run(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a command in this group. stdout has its stderr too."""
        enter = ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self.folder / "cgroup.procs"), *command]
        return subprocess.run(
            enter, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )


@contextlib.contextmanager
def bounded(most: int) -> Iterator[Group]:
    """A new group with a bound in bytes. Skips the test where this process cannot make one."""
    parent, files = _place()
    folder = parent / f"bitbloom-test-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / files["bound"]).write_text(str(most))
    except OSError as error:
        pytest.skip(f"needs root, and cgroups with memory: {error}")
    try:
        if (folder / files["swap"]).exists():  # not on a kernel without swap
            (folder / files["swap"]).write_text("0" if files is V2 else str(most))
        yield Group(folder, files)
    finally:
        folder.rmdir()


def _place() -> tuple[Path, Mapping[str, str]]:
    """Where to make a group: below this process's one in version 1; at the top in version 2, where processes are in leaves."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, kinds, own = line.split(":", 2)
        if "memory" in kinds.split(","):
            return ROOT / "memory" / own.lstrip("/"), V1
    return ROOT, V2
