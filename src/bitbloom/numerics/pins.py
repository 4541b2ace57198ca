"""Pins of the numerics profiles: environment variables that must be set before Python loads a numeric library.

`portable` restricts every library to the AVX2 code that all supported CPUs have, and to one thread per process, so that
sums are always taken in the same order. A process that starts without its pins restarts itself with them.
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
"""Keep activations up to 32 MiB in the process: new pages for every layer of every step took a tenth of the training time."""
SAME_EVERYWHERE = {"PYTHONHASHSEED": "0", "CUBLAS_WORKSPACE_CONFIG": ":4096:8", "MPLBACKEND": "Agg"}

PROFILES = {
    "portable": SAME_EVERYWHERE | ONE_THREAD | KEPT_MEMORY | AVX2,
    "fast": SAME_EVERYWHERE | ONE_THREAD | KEPT_MEMORY,
    "cuda": SAME_EVERYWHERE | ONE_THREAD | KEPT_MEMORY,
}


def environment(profile: str) -> dict[str, str]:
    """Return the variables of a profile. Raises BitBloomError for an unknown profile."""
    if profile not in PROFILES:
        raise BitBloomError(f"numerics.profile '{profile}' is none of {', '.join(PROFILES)}")
    return PROFILES[profile]


def lock(profile: str) -> str:
    """Return the lock file of a profile's environment."""
    return "requirements-cuda.lock" if profile == "cuda" else "requirements.lock"


def require(profile: str) -> None:
    """Return if this process has the profile's pins; otherwise restart it once with them.

    Raises:
        BitBloomError: the profile is unknown, or `portable` runs on a CPU without AVX2.
    """
    wanted = environment(profile)
    flags = cpu.flags()
    if profile == "portable" and flags and "avx2" not in flags:
        raise BitBloomError("the portable profile needs a CPU with AVX2")
    if any(os.environ.get(key) != value for key, value in wanted.items()):
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | wanted)


def pin_torch() -> None:
    """Set one thread, and make nondeterministic ops of PyTorch raise an error."""
    import torch

    torch.set_num_threads(1)
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms would also import and configure Inductor
    # Filling new memory takes a few per cent of the time. A test checks that no op reads memory before it is written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
