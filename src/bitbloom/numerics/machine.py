"""The kind of CPU or GPU that computes: libraries choose their code by it."""

from __future__ import annotations

import platform

TELLING = ("avx2", "fma3", "avx512_f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16")
"""Instruction sets by which libraries choose their code, as PyTorch names them."""


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
