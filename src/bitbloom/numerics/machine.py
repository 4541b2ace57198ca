"""What of a machine can change a floating-point result: its CPU and the libraries that choose code by it."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

CPUINFO = Path("/proc/cpuinfo")
TELLING = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile")
"""Flags by which libraries choose their code."""


def facts() -> dict[str, Any]:
    """CPU, instruction sets, C library, versions and pins of this process, as plain JSON."""
    import numpy
    import torch

    from bitbloom.numerics import pins

    return {
        "cpu": cpu(),
        "instruction_sets": [flag for flag in TELLING if flag in flags()],
        "c_library": "-".join(platform.libc_ver()),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_code": torch.backends.cpu.get_cpu_capability(),
        "numpy": numpy.__version__,
        "pins": {name: os.environ.get(name) for name in sorted(pins.ONE_THREAD | pins.AVX2)},
    }


def cpu() -> str:
    """The CPU's name; the architecture where the system does not tell."""
    names = (line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name"))
    return next(names, platform.machine())


def kind(profile: str) -> str | None:
    """The kind of machine that a profile's bytes are bound to: a GPU, a CPU, or None for `portable`, which is bound to none."""
    if profile == "portable":
        return None
    if profile == "cuda":
        import torch

        return str(torch.cuda.get_device_name())
    return f"{cpu()} ({' '.join(flag for flag in TELLING if flag in flags())})"


def flags() -> set[str]:
    """The CPU's flags, as the kernel names them; empty where the system does not tell."""
    lines = (line.partition(":")[2] for line in _cpuinfo() if line.startswith("flags"))
    return set(next(lines, "").split())


def _cpuinfo() -> list[str]:
    try:
        return CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
