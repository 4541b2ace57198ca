"""Pins of the numerics profiles: environment variables that must stand before Python loads a numeric library.

`portable` holds every library to the AVX2 code that all supported CPUs have, and one thread a process, so that a
sum is always taken in the same order. A process started without its pins starts itself again with them.
"""

from __future__ import annotations

import os
import sys

from bitbloom.core import cpu
from bitbloom.core.errors import BitBloomError

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "AVX2,STRICT",
    "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR X86_V4",
    "OPENBLAS_CORETYPE": "Haswell",
}
KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "1073741824"}
"""Activations up to 32 MiB stay with the process: fresh pages for every layer of every step took a tenth of the training."""
SAME_EVERYWHERE = {"PYTHONHASHSEED": "0", "CUBLAS_WORKSPACE_CONFIG": ":4096:8", "MPLBACKEND": "Agg"}

PROFILES = {
    "portable": SAME_EVERYWHERE | ONE_THREAD | KEPT_MEMORY | AVX2,
    "fast": SAME_EVERYWHERE | ONE_THREAD | KEPT_MEMORY,
    "cuda": SAME_EVERYWHERE | ONE_THREAD | KEPT_MEMORY,
}


def environment(profile: str) -> dict[str, str]:
    """The variables of a profile. Raises BitBloomError for an unknown one."""
    if profile not in PROFILES:
        raise BitBloomError(f"numerics.profile '{profile}' is none of {', '.join(PROFILES)}")
    return PROFILES[profile]


def lock(profile: str) -> str:
    """The lock that a profile's stages run on."""
    return "requirements-cuda.lock" if profile == "cuda" else "requirements.lock"


def require(profile: str) -> None:
    """Return when this process has the profile's pins; else start it again, once, with them."""
    wanted = environment(profile)
    flags = cpu.flags()
    if profile == "portable" and flags and "avx2" not in flags:
        raise BitBloomError("the portable profile needs a CPU with AVX2")
    if any(os.environ.get(key) != value for key, value in wanted.items()):
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | wanted)


def pin_torch() -> None:
    """One thread, and an error instead of an op that PyTorch calls nondeterministic."""
    import torch

    torch.set_num_threads(1)
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms would import Inductor to set it up, too
    # It fills memory that no op may read before writing it, which a test holds our steps to; the filling costs a few per cent.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
