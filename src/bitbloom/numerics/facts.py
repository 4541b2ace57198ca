"""Properties of a machine that can change a floating-point result: its CPU, library versions and pins."""

from __future__ import annotations

import os
import platform
from typing import Any

from bitbloom.numerics import machine, pins


def facts() -> dict[str, Any]:
    """Return CPU, instruction sets, C library, versions and pins of this process, as plain JSON."""
    import numpy
    import torch

    return {
        "cpu": machine.cpu(),
        "instruction_sets": machine.instruction_sets(),
        "c_library": "-".join(platform.libc_ver()),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_code": torch.backends.cpu.get_cpu_capability(),
        "numpy": numpy.__version__,
        "pins": {name: os.environ.get(name) for name in sorted(pins.ONE_THREAD | pins.AVX2)},
    }
