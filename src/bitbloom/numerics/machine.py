"""The kind of CPU or GPU, by which libraries select their code."""

from __future__ import annotations

import platform

RELEVANT = ("avx2", "fma3", "avx512_f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16")
"""Instruction sets by which libraries select their code, with their names in PyTorch."""


def cpu() -> str:
    """Return the name that the CPU reports: under emulation, that of the emulated CPU."""
    import torch

    return str(torch.cpu.get_capabilities().get("cpu_name") or platform.machine())


def instruction_sets() -> list[str]:
    """Return those of RELEVANT that the CPU, real or emulated, supports."""
    import torch

    found = torch.cpu.get_capabilities()
    return [name for name in RELEVANT if found.get(name)]


def kind(profile: str) -> str | None:
    """Return the kind of machine that a profile's bytes depend on: a GPU, a CPU, or None for `portable`."""
    if profile == "portable":
        return None
    if profile == "cuda":
        import torch

        return str(torch.cuda.get_device_name())
    return f"{cpu()} ({' '.join(instruction_sets())})"
