"""The doctor reports each difference, its remedy, and whether it stops a build, without a venv or packages."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts/doctor.py"
HASWELL = "flags\t\t: fpu sse4_2 avx avx2 fma\n"
SAPPHIRE_RAPIDS = "flags\t\t: fpu avx2 fma avx512f avx512_bf16 amx_tile amx_bf16\n"


class Machine:
    """A simulated machine: programs that print a version, a CPU, memory, and a repository."""

    def __init__(self, doctor: ModuleType, folder: Path) -> None:
        self.doctor, self.folder, self.root = doctor, folder, folder / "repository"
        (self.root / ".git").mkdir(parents=True)
        (self.root / ".python-version").write_text("3.11\n", encoding="utf-8")
        (self.root / "requirements.lock").write_text("uv==0.13.8 \\\n    --hash=sha256:0\n", encoding="utf-8")
        (self.root / "python.lock").write_text((ROOT / "python.lock").read_text(encoding="utf-8"), encoding="utf-8")
        (folder / "bin").mkdir()
        self.program("python3.11", "Python 3.11.9")
        self.program("make", "GNU Make 4.3")
        self.git()
        self.kernel(HASWELL, "MemAvailable:   16000000 kB\n")

    def program(self, name: str, prints: str, code: int = 0) -> None:
        """Put a program on PATH that prints a line."""
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\necho '{prints}'\nexit {code}\n", encoding="utf-8")
        path.chmod(0o755)

    def git(self, *conflicts: str) -> None:
        """Put a git on PATH that has these files in conflict."""
        names = " ".join(conflicts)
        path = self.folder / "bin/git"
        script = f'[ "$1" = --version ] && echo "git version 2.39.5" || for name in {names}; do echo "$name"; done'
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    def kernel(self, cpuinfo: str | None = None, meminfo: str | None = None) -> None:
        """Set the files of the kernel."""
        for path, text in ((self.doctor.cpu.CPUINFO, cpuinfo), (self.doctor.MEMINFO, meminfo)):
            if text is not None:
                path.write_text(text, encoding="utf-8")

    def findings(self) -> dict:
        """The results of the doctor, by name."""
        return {one.name: one for one in self.doctor.findings(self.root)}


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Machine:
    spec = importlib.util.spec_from_file_location("doctor", SCRIPT)
    assert spec and spec.loader
    doctor = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "doctor", doctor)  # its dataclass reads annotations from there
    spec.loader.exec_module(doctor)
    monkeypatch.setattr(doctor.cpu, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(doctor, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(doctor.platform, "system", lambda: "Linux")
    monkeypatch.setattr(doctor.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: doctor.shutil._ntuple_diskusage(10**12, 0, 10**12))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PYTHON", raising=False)
    return Machine(doctor, tmp_path)


def test_names_files_in_conflict(machine):
    assert machine.findings()["merge conflicts"].state == "ok"
    machine.git("Makefile", "src/bitbloom/cli/use.py")
    code, text = outcome(machine)
    assert code == 1
    assert "merge conflicts: Makefile, src/bitbloom/cli/use.py: `make merge` resolves generated files" in text


def outcome(machine: Machine) -> tuple[int, str]:
    """The exit code and the printed text."""
    lines: list[str] = []
    return machine.doctor.show(list(machine.doctor.findings(machine.root)), lines.append), "\n".join(lines)


def test_passes_machine_that_can_build(machine):
    code, text = outcome(machine)
    assert code == 0
    assert text.endswith("nothing here stops a build")
    assert "STOP" not in text


@pytest.mark.parametrize(
    ("change", "name", "advice"),
    [
        (lambda machine: machine.program("make", "GNU Make 3.81"), "make", "install make"),
        (lambda machine: (machine.folder / "bin/git").unlink(), "git", "install git"),
        (lambda machine: machine.kernel(cpuinfo="flags : sse4_2 avx\n"), "instruction sets", "AVX2"),
        (lambda machine: machine.doctor.cpu.CPUINFO.unlink(), "instruction sets", "AVX2"),
    ],
)
def test_names_each_obstacle_with_its_remedy(machine, change, name, advice):
    change(machine)
    code, text = outcome(machine)
    assert code == 1
    assert machine.findings()[name].state == "STOP"
    assert advice in machine.findings()[name].advice
    assert name in text.splitlines()[-1]


@pytest.mark.parametrize(
    "change",
    [
        lambda machine: (machine.folder / "bin/python3.11").unlink(),
        lambda machine: machine.program("python3.11", "Python 3.12.1"),
        lambda machine: machine.program("python3.11", "Python 3.1.1"),
        lambda machine: machine.program("python3.11", "Python 3.11.9", code=1),
    ],
    ids=["missing", "newer", "older", "without venv"],
)
def test_announces_the_pinned_build_without_usable_python(machine, change):
    change(machine)
    code, text = outcome(machine)
    assert (code, machine.findings()["Python"].state) == (0, "note")
    assert "`make setup` downloads CPython 3.11.18, which python.lock pins" in text


def test_requires_python_where_no_build_is_pinned(machine, monkeypatch):
    (machine.folder / "bin/python3.11").unlink()
    monkeypatch.setattr(machine.doctor.platform, "machine", lambda: "riscv64")
    assert machine.findings()["Python"].state == "STOP"
    assert "nix develop" in machine.findings()["Python"].advice


def test_finds_python_under_a_general_name(machine):
    (machine.folder / "bin/python3.11").rename(machine.folder / "bin/python3")
    assert machine.findings()["Python"].here == "3.11.9"


@pytest.mark.parametrize("prints", ["Python 3.12.1", None])
def test_rejects_named_python_of_another_version(machine, monkeypatch, prints):
    monkeypatch.setenv("PYTHON", "another")
    if prints:
        machine.program("another", prints)
    assert machine.findings()["Python"].state == "STOP"
    assert "omit PYTHON" in machine.findings()["Python"].advice


def test_rejects_other_system_and_full_disk(machine, monkeypatch):
    monkeypatch.setattr(machine.doctor.platform, "machine", lambda: "arm64")
    monkeypatch.setattr(machine.doctor.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(
        machine.doctor.shutil, "disk_usage", lambda _: machine.doctor.shutil._ntuple_diskusage(10**12, 10**12, 10**9)
    )
    code, text = outcome(machine)
    assert code == 1
    assert text.splitlines()[-1] == "a build stops here because of: system, free disk"


def test_checks_the_named_python(machine, monkeypatch):
    monkeypatch.setenv("PYTHON", "another")
    machine.program("another", "Python 3.11.1")
    assert machine.findings()["Python"].here == "3.11.1"


def test_compares_uv_of_the_venv_with_the_lock(machine):
    found = machine.findings()
    assert (found["uv (.venv)"].here, found["uv (.venv)"].wanted, found[".venv"].here) == ("none", "0.13.8", "none")
    (machine.root / ".venv/bin").mkdir(parents=True)
    machine.program("uv", "uv 0.13.8 (linux)")
    for name in ("uv", "python3.11"):
        (machine.root / ".venv/bin" / name.replace("3.11", "")).symlink_to(machine.folder / "bin" / name)
    (machine.root / ".bitbloom").mkdir()
    (machine.root / ".bitbloom/venv-cpu").touch()
    assert machine.findings()[".venv"].here == "of another folder"
    (machine.root / ".venv/pyvenv.cfg").touch()
    (machine.root / ".venv/itself").symlink_to(machine.root / ".venv/pyvenv.cfg")
    found = machine.findings()
    assert (found["uv (.venv)"].state, found[".venv"].state) == ("ok", "ok")
    os.utime(machine.root / ".bitbloom/venv-cpu", (0, 0))
    assert machine.findings()[".venv"].here == "older than requirements.lock"


def test_profiles_follow_the_cpu(machine):
    found = machine.findings()
    assert (found["profile portable"].here, found["profile fast"].state) == ("yes", "note")
    machine.kernel(cpuinfo=SAPPHIRE_RAPIDS)
    assert machine.findings()["profile fast"].here == "yes (AVX-512, bf16, AMX)"


def test_rejects_checkout_with_crlf(machine):
    (machine.root / "requirements.lock").write_bytes(b"uv==0.13.8\r\n")
    assert outcome(machine)[0] == 1
    assert "clone it again" in machine.findings()["checkout"].advice


def test_rejects_checkout_that_the_user_may_not_write_to(machine, monkeypatch):
    monkeypatch.setattr(machine.doctor.os, "access", lambda path, _: path != str(machine.root))
    assert outcome(machine)[0] == 1
    assert "change its owner" in machine.findings()["checkout"].advice


def test_notes_checkout_without_git(machine):
    (machine.root / ".git").rmdir()
    assert outcome(machine)[0] == 0
    assert "record no commit" in machine.findings()["checkout"].advice


def test_notes_home_that_is_not_writable(machine, monkeypatch):
    monkeypatch.setenv("HOME", "/dev/null/home")
    assert outcome(machine)[0] == 0
    assert "caches go to .bitbloom/home" in machine.findings()["home"].advice


def test_reports_low_memory_without_stopping(machine):
    machine.kernel(meminfo="MemAvailable:    2000000 kB\n")
    assert "WORKERS=1" in machine.findings()["free memory"].advice
    assert outcome(machine)[0] == 0


def test_reports_gpu_and_failing_driver(machine):
    assert machine.findings()["GPU"].here == "none"
    machine.program("nvidia-smi", "NVIDIA H200, 570.1")
    assert machine.findings()["GPU"].here == "NVIDIA H200, 570.1"
    machine.program("nvidia-smi", "no driver", code=9)
    assert machine.findings()["GPU"].state == "note"


def test_runs_without_packages(tmp_path):
    done = subprocess.run([sys.executable, "-I", "-S", str(SCRIPT)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    assert done.stderr == ""
    assert "instruction sets" in done.stdout


@pytest.mark.parametrize(
    ("prints", "state"), [("nix (Nix) 2.8.0", "note"), ("nix (Nix) 2.18.9", "ok"), ("nix (Lix) 2.93.0", "ok")]
)
def test_compares_nix_with_the_oldest_that_nixpkgs_accepts(machine, prints, state):
    machine.program("nix", prints)
    found = machine.findings()["nix"]
    assert found.state == state
    assert (found.state == "ok") or "nixpkgs needs 2.18" in found.advice
    assert outcome(machine)[0] == 0
