"""The CPU as the kernel describes it: how many cores this process may use, and what they can do. Standard library only."""

from __future__ import annotations

import math
import os
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""CPU time that a container may use: microseconds of each period (cgroup v2)."""


def cores(quota: Path = QUOTA) -> int:
    """Cores that this process can use: those it may run on, and no more than its container's quota, rounded up."""
    affinity = getattr(os, "sched_getaffinity", None)
    here = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        microseconds, period = quota.read_text(encoding="ascii").split()
        return max(1, min(here, math.ceil(int(microseconds) / int(period))))
    except (OSError, ValueError):  # no cgroup, or "max"
        return here


def flags(cpuinfo: Path = CPUINFO) -> set[str]:
    """The CPU's flags as the kernel names them, known before PyTorch is loaded; empty where the system does not tell."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return set(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())
