"""The CPU as the kernel describes it: the cores of this process, and their features. Standard library only."""

from __future__ import annotations

import math
import os
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""CPU quota of a container: microseconds per period (cgroup v2)."""


def cores(quota: Path = QUOTA) -> int:
    """Return the cores that this process can use: its CPU affinity, limited by its container's quota, rounded up."""
    affinity = getattr(os, "sched_getaffinity", None)
    available = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        microseconds, period = quota.read_text(encoding="ascii").split()
        return max(1, min(available, math.ceil(int(microseconds) / int(period))))
    except (OSError, ValueError):  # no cgroup, or "max"
        return available


def flags(cpuinfo: Path = CPUINFO) -> set[str]:
    """Return the CPU's flags by the kernel's names, without loading PyTorch; empty if the system does not provide them."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return set(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())
