"""The compiled kernels: one C source, four libraries, by the clang of the locked `ziglang` wheel.

    python -m bitbloom.numerics.arithmetic.build            # compile for every CPU and compare with builds.json
    python -m bitbloom.numerics.arithmetic.build --record   # after a change of the C source: record the new digests

The compiler brings its own headers and linker, so every machine compiles the same bytes; `builds.json` holds the SHA-256 of each
library. A library is compiled when it is first needed, in seconds, into `.bitbloom/arithmetic/`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bitbloom.core import canonical, checkout, cpu
from bitbloom.core.errors import BitBloomError

SOURCE = Path(__file__).parent / "c"
RECORD = Path(__file__).parent / "builds.json"
STORE = Path(".bitbloom/arithmetic")
CACHE = STORE / "cache"
"""What the compiler keeps of its own libraries, for all builds."""
VARIABLE = "BITBLOOM_ISA"
"""Chooses the instruction set in place of the CPU's best one, to compare them."""


@dataclass(frozen=True)
class Machine:
    """What a library is compiled for: the compiler's target and CPU, the library's file name, and the flags a CPU needs."""

    target: str
    cpu: str
    file: str
    flags: frozenset[str] = frozenset()


V3 = frozenset({"avx2", "fma", "bmi1", "bmi2", "f16c", "movbe"})
V4 = V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
MACHINES = {
    "v3": Machine("x86_64-linux-gnu.2.28", "x86_64_v3", "v3.so", V3),
    "v4": Machine("x86_64-linux-gnu.2.28", "x86_64_v4", "v4.so", V4),
    "neon": Machine("aarch64-linux-gnu.2.28", "generic", "neon.so"),
    "neon-macos": Machine("aarch64-macos.14.0", "apple_m1", "neon.dylib"),
}
"""Libraries by instruction set: x86-64-v3 (AVX2), x86-64-v4 (AVX-512), NEON of aarch64 Linux and macOS."""

FLAGS = (
    *("-O3", "-g0", "-s", "-std=c23", "-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Werror", "-Wno-psabi"),
    "-ffp-contract=off",  # a fused multiply-add stands only where the source has one
    *("-fno-math-errno", "-fno-trapping-math"),
)


def isa() -> str:
    """Return the instruction set of this process: that of BITBLOOM_ISA, else the best one of the CPU.

    Raises:
        BitBloomError: there is no library for this CPU, or BITBLOOM_ISA names another kind of CPU.
    """
    if platform.machine() in ("arm64", "aarch64"):
        possible = ["neon-macos" if platform.system() == "Darwin" else "neon"]
    else:
        flags = cpu.flags()
        possible = [name for name in ("v4", "v3") if MACHINES[name].flags <= flags]
    if not possible:
        raise BitBloomError("the portable profile needs a CPU with AVX2 and FMA (x86-64-v3), or an ARM CPU (aarch64)")
    wanted = os.environ.get(VARIABLE)
    if wanted and wanted not in possible:
        raise BitBloomError(f"{VARIABLE}={wanted}: this CPU computes {' and '.join(possible)}")
    return wanted or possible[0]


def library(name: str | None = None) -> Path:
    """Return the library of an instruction set, of this CPU by default; compile it if it is not there.

    Raises:
        BitBloomError: the compiler is missing or fails, or the library differs from its recorded digest.
    """
    name = name or isa()
    expected = recorded()[name]
    path = STORE / f"{expected[:16]}-{MACHINES[name].file}"
    if not path.exists() or _digest(path) != expected:
        with canonical.replacing(path) as temporary:
            compile_to(temporary, name)
            if _digest(temporary) != expected:
                raise BitBloomError(
                    f"the kernels compiled for {name} differ from {RECORD}: install the locked ziglang, and after a change of "
                    f"{SOURCE} run `python -m bitbloom.numerics.arithmetic.build --record`"
                )
    return path


def recorded() -> dict[str, str]:
    """Return the expected SHA-256 of each library."""
    found: dict[str, str] = json.loads(RECORD.read_text(encoding="utf-8"))
    return found


def compile_to(path: Path, name: str) -> None:
    """Compile the kernels for an instruction set. Raises BitBloomError if the compiler is missing or fails."""
    machine = MACHINES[name]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        shutil.copytree(SOURCE, work / "c")  # names in the library are relative to the working folder
        files = sorted(file.name for file in SOURCE.glob("*.c"))
        target = ["-target", machine.target, f"-mcpu={machine.cpu}", *FLAGS, *files, "-o", machine.file]
        caches = {"ZIG_GLOBAL_CACHE_DIR": str(CACHE.absolute()), "ZIG_LOCAL_CACHE_DIR": f"{folder}/cache"}
        command = [sys.executable, "-m", "ziglang", "cc", *target]
        done = subprocess.run(command, cwd=work / "c", env=os.environ | caches, capture_output=True, text=True)
        if done.returncode:
            raise BitBloomError(f"the kernels do not compile for {name}: {done.stderr.strip() or done.stdout.strip()}")
        shutil.copyfile(work / "c" / machine.file, path)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    """Compile all libraries; compare them with the record, or renew it."""
    parser = argparse.ArgumentParser(description="Compile the kernels for every CPU, and compare their digests with builds.json.")
    parser.add_argument("--record", action="store_true", help="write builds.json anew")
    if parser.parse_args().record:
        with tempfile.TemporaryDirectory() as folder:
            digests = {}
            for name, machine in MACHINES.items():
                compile_to(Path(folder) / machine.file, name)
                digests[name] = _digest(Path(folder) / machine.file)
        canonical.write_json(RECORD, digests)
    for name in MACHINES:
        print(f"{recorded()[name]}  {name}  {library(name)}")


if __name__ == "__main__":
    try:
        checkout.require()
        main()
    except BitBloomError as error:
        sys.exit(f"error: {error}")
