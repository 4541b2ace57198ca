"""What of a machine can change a floating-point result: its CPU and the libraries that choose code by it."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

CPUINFO = Path("/proc/cpuinfo")
TELLING = ("avx2", "fma3", "avx512_f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16")
"""Instruction sets by which libraries choose their code, as PyTorch names them."""


def facts() -> dict[str, Any]:
    """CPU, instruction sets, C library, versions and pins of this process, as plain JSON."""
    import numpy
    import torch

    from bitbloom.numerics import pins

    return {
        "cpu": cpu(),
        "instruction_sets": instruction_sets(),
        "c_library": "-".join(platform.libc_ver()),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_code": torch.backends.cpu.get_cpu_capability(),
        "numpy": numpy.__version__,
        "pins": {name: os.environ.get(name) for name in sorted(pins.ONE_THREAD | pins.AVX2)},
    }


def cpu() -> str:
    """The CPU's name as the CPU itself tells it: under emulation, the emulated one's."""
    import torch

    return str(torch.cpu.get_capabilities().get("cpu_name") or platform.machine())


def instruction_sets() -> list[str]:
    """Those of TELLING that the CPU, real or emulated, says it has."""
    import torch

    found = torch.cpu.get_capabilities()
    return [name for name in TELLING if found.get(name)]


def kind(profile: str) -> str | None:
    """The kind of machine that a profile's bytes are bound to: a GPU, a CPU, or None for `portable`, which is bound to none."""
    if profile == "portable":
        return None
    if profile == "cuda":
        import torch

        return str(torch.cuda.get_device_name())
    return f"{cpu()} ({' '.join(instruction_sets())})"


def flags() -> set[str]:
    """The CPU's flags as the kernel names them, known before PyTorch is loaded; empty where the system does not tell."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return set(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())
