"""The kernels of all builds agree: AVX2, AVX-512 and, emulated, NEON; and every function of one number on its inputs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bitbloom.core.errors import BitBloomError
from bitbloom.numerics.arithmetic import build
from support import kernels

HERE = Path(__file__).parent
STATIC = {"v3": "x86_64-linux-musl", "v4": "x86_64-linux-musl", "neon": "aarch64-linux-musl"}
"""Targets of programs that need no C library of the system."""
STRIDE = int(os.environ.get("BITBLOOM_STRIDE", "4099"))
"""Every how manyth of the 2^32 inputs is computed; 1: all."""
BOUNDS = {
    "exp": 1.1, "log": 0.9, "erf": 1.1, "tanh": 1.4, "sqrt": 0.5, "rsqrt": 1.5,
    "sigmoid": 2.6, "silu": 3.3, "gelu": 1.9, "gelu_tanh": 2.1,
}  # fmt: skip
"""Bounds of the errors in units in the last place, a little above the largest ones that docs/arithmetic.md states."""


@pytest.fixture(scope="session")
def programs(tmp_path_factory) -> Path:
    """The programs of this folder, compiled for each instruction set: `<name>-<set>`."""
    folder = tmp_path_factory.mktemp("programs")
    for name, sources in {"every_input": [], "kernels": sorted(map(str, build.SOURCE.glob("*.c")))}.items():
        for isa in ("neon", *kernels.NATIVE):
            flags = [flag for flag in build.FLAGS if flag not in ("-shared", "-fPIC", "-Werror")]
            target = ["-target", STATIC[isa], f"-mcpu={build.MACHINES[isa].cpu}", *flags, f"-I{build.SOURCE}"]
            files = [str(HERE / f"{name}.c"), *sources, "-o", str(folder / f"{name}-{isa}")]
            command = [sys.executable, "-m", "ziglang", "cc", *target, *files]
            subprocess.run(
                command, cwd=folder, env=os.environ | {"ZIG_GLOBAL_CACHE_DIR": str(build.CACHE.absolute())}, check=True
            )
    return folder


def output(programs: Path, name: str, isa: str, *arguments: str) -> list[list[str]]:
    """The words of the lines that a program prints."""
    emulator = ["qemu-aarch64"] if isa == "neon" else []
    command = [*emulator, str(programs / f"{name}-{isa}"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.emulated_cpu
def test_kernels_of_all_builds_agree(programs):
    lines = [output(programs, "kernels", isa) for isa in ("neon", *kernels.NATIVE)]
    assert len(lines[0]) == 6
    assert all(each == lines[0] for each in lines)


@pytest.mark.emulated_cpu
def test_functions_of_all_builds_agree(programs):
    lines = [output(programs, "every_input", isa, "65537") for isa in ("neon", *kernels.NATIVE)]
    assert {line[0] for line in lines[0]} == set(BOUNDS)
    assert all(each == lines[0] for each in lines)


@pytest.mark.slow
def test_functions_agree_and_keep_their_error_bounds(programs):
    first = output(programs, "every_input", kernels.NATIVE[0], str(STRIDE), "errors")
    for name, _, error, where in first:
        assert float(error) <= BOUNDS[name], (name, where)
    for isa in kernels.NATIVE[1:]:
        assert [line[:2] for line in output(programs, "every_input", isa, str(STRIDE))] == [line[:2] for line in first]


@pytest.mark.slow
def test_every_build_has_its_recorded_digest(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "STORE", tmp_path)
    assert {build.library(name).name for name in build.MACHINES} == {
        f"{digest[:16]}-{build.MACHINES[name].file}" for name, digest in build.recorded().items()
    }


def test_changed_source_is_an_error(tmp_path, monkeypatch):
    shutil.copytree(build.SOURCE, tmp_path / "c")
    source = tmp_path / "c/resize.c"
    source.write_text(source.read_text().replace("0.5f", "0.25f"))
    monkeypatch.setattr(build, "SOURCE", tmp_path / "c")
    monkeypatch.setattr(build, "STORE", tmp_path / "store")
    with pytest.raises(BitBloomError, match=r"differ from .*builds\.json"):
        build.library("v3")
    assert not list((tmp_path / "store").iterdir())


def test_source_that_does_not_compile_is_an_error(tmp_path, monkeypatch):
    shutil.copytree(build.SOURCE, tmp_path / "c")
    (tmp_path / "c/resize.c").write_text("int broken(")
    monkeypatch.setattr(build, "SOURCE", tmp_path / "c")
    monkeypatch.setattr(build, "STORE", tmp_path / "store")
    with pytest.raises(BitBloomError, match=r"do not compile for v3: (.|\n)*resize\.c"):
        build.library("v3")


@pytest.mark.parametrize(
    ("flags", "chosen"), [(build.V4, "v4"), (build.V3, "v3"), (build.V4 - {"avx512bw"}, "v3"), (build.V4 | {"sse2"}, "v4")]
)
def test_the_widest_instruction_set_of_the_cpu_is_chosen(monkeypatch, flags, chosen):
    monkeypatch.setattr(build.cpu, "flags", lambda: set(flags))
    monkeypatch.setattr(build.platform, "machine", lambda: "x86_64")
    monkeypatch.delenv(build.VARIABLE, raising=False)
    assert build.isa() == chosen


@pytest.mark.parametrize(("system", "chosen"), [("Linux", "neon"), ("Darwin", "neon-macos")])
def test_arm_has_one_instruction_set(monkeypatch, system, chosen):
    monkeypatch.setattr(build.platform, "machine", lambda: "arm64")
    monkeypatch.setattr(build.platform, "system", lambda: system)
    monkeypatch.delenv(build.VARIABLE, raising=False)
    assert build.isa() == chosen


def test_variable_chooses_a_narrower_set_and_no_foreign_one(monkeypatch):
    monkeypatch.setattr(build.cpu, "flags", lambda: set(build.V4))
    monkeypatch.setattr(build.platform, "machine", lambda: "x86_64")
    monkeypatch.setenv(build.VARIABLE, "v3")
    assert build.isa() == "v3"
    monkeypatch.setenv(build.VARIABLE, "neon")
    with pytest.raises(BitBloomError, match="BITBLOOM_ISA=neon: this CPU computes v4 and v3"):
        build.isa()


def test_old_cpu_is_an_error(monkeypatch):
    monkeypatch.setattr(build.cpu, "flags", lambda: {"sse2", "avx"})
    monkeypatch.setattr(build.platform, "machine", lambda: "x86_64")
    with pytest.raises(BitBloomError, match="needs a CPU with AVX2 and FMA"):
        build.isa()
