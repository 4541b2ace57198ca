"""Compare this machine with the requirements of a build, and print a remedy for each difference: make doctor

Needs Python 3.8 or later, no venv and no package. Exit code 1 when a build cannot run here.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from bitbloom.core import cpu  # noqa: E402 -- of this checkout; it needs the standard library only

MEMINFO = Path("/proc/meminfo")

PORTABLE = {"avx2", "fma"}
"""The instruction sets to which the portable profile limits every library."""
FAST = {"avx512f": "AVX-512", "avx512_bf16": "bf16", "amx_bf16": "AMX"}
"""Instruction sets that make the fast profile fast, under the kernel's names."""
NIX = "2.18"
"""The oldest Nix that nixpkgs accepts (its lib/minfeatures.nix)."""
DISK_GB, MEMORY_GB = 5, 4
"""Enough for a venv, a build of petals and its cache; for the workers of a training and the build's tools."""

SHOWN = 4
"""Names of files in one remedy."""

OK, NOTE, STOP = "ok", "note", "STOP"


@dataclass(frozen=True)
class Finding:
    """One row: what was checked, what this machine has, what a build requires, and the remedy where they differ."""

    name: str
    here: str
    wanted: str
    state: str = OK
    advice: str = ""


def version(*command: str) -> str | None:
    """The first version number that a program prints; None if it does not run."""
    if not shutil.which(command[0]):
        return None
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\d+(\.\d+)+", done.stdout) if done.returncode == 0 else None
    return found[0] if found else None


def checkout(root: Path) -> Finding:
    """Whether this folder is a checkout that this user can build in."""
    if not os.access(str(root), os.W_OK):
        advice = f"uid {os.getuid()} may not write to {root}: change its owner, or copy it to a folder of yours"
        return Finding("checkout", "not writable", "writable", STOP, advice)
    if b"\r\n" in (root / "requirements.lock").read_bytes():
        return Finding("checkout", "CRLF line ends", "LF", STOP, "clone it again, with LF: CRLF changes every digest")
    if not (root / ".git").exists():
        advice = "builds work, but record no commit; `dvc exp`, `make lint` and training images need a clone"
        return Finding("checkout", "without .git", "a git clone", NOTE, advice)
    return Finding("checkout", "a git clone", "a git clone")


def merge(root: Path) -> Finding:
    """Whether a merge left files in conflict."""
    command = ["git", "-C", str(root), "diff", "--name-only", "--diff-filter=U"]
    files: list[str] = []
    if shutil.which("git"):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        files = done.stdout.split("\n")[:-1] if done.returncode == 0 else []
    if not files:
        return Finding("merge conflicts", "none", "none")
    advice = f"{', '.join(files[:SHOWN])}: `make merge` resolves generated files; edit the others, then git add them"
    return Finding("merge conflicts", f"{len(files)} files", "none", STOP, advice)


def home() -> Finding:
    """Whether the home folder is writable."""
    here = os.environ.get("HOME") or "~"
    if os.access(os.path.expanduser(here), os.W_OK):  # noqa: PTH111 - without account and HOME, pathlib raises an error
        return Finding("home", "writable", "writable")
    return Finding("home", "not writable", "writable", NOTE, f"{here} is not writable: caches go to .bitbloom/home")


def python(root: Path) -> Finding:
    """The Python that makes the venv, found as scripts/python.sh finds it and compared with .python-version."""
    wanted = (root / ".python-version").read_text(encoding="utf-8").strip()
    named = os.environ.get("PYTHON")
    for program in [named] if named else [f"python{wanted}", "python3", "python"]:
        here = version(program, "--version")
        if here and (here == wanted or here.startswith(f"{wanted}.")) and can_make_a_venv(program):
            return Finding("Python", here, wanted)
    if named:
        advice = f"{named} is not a Python {wanted} with the module venv: name another one with PYTHON=path, or omit PYTHON"
        return Finding("Python", version(named, "--version") or "none", wanted, STOP, advice)
    build = pinned_python(root)
    if build:
        return Finding("Python", "none", wanted, NOTE, f"`make setup` downloads CPython {build}, which python.lock pins")
    advice = f"install Python {wanted} with its module venv, name one with PYTHON=path, or use `nix develop` (docs/toolchain.md)"
    return Finding("Python", "none", wanted, STOP, advice)


def can_make_a_venv(program: str) -> bool:
    """Whether a Python makes venvs, into which it or uv installs packages. Debian has a separate package for venv."""
    modules = ("ensurepip", "pip", "venv")
    codes = {name: subprocess.run([program, "-c", f"import {name}"], stderr=subprocess.DEVNULL).returncode for name in modules}
    return codes["venv"] == 0 and (codes["ensurepip"] == 0 or codes["pip"] == 0 or bool(shutil.which("uv")))


def pinned_python(root: Path) -> str | None:
    """The version of the CPython build of python.lock for this system and architecture; None if it has none."""
    machine = platform.machine().lower()
    here = (platform.system().lower(), {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine))
    for build in json.loads((root / "python.lock").read_text(encoding="utf-8")).values():
        if (build["os"], build["arch"]["family"]) == here:
            return f"{build['major']}.{build['minor']}.{build['patch']}"
    return None


def uv(root: Path) -> Finding:
    """uv of the venv, compared with the lock."""
    lock = (root / "requirements.lock").read_text(encoding="utf-8")
    locked = re.search(r"^uv==(\S+)", lock, re.MULTILINE)
    wanted = locked[1] if locked else "none"
    here = version(str(root / ".venv/bin/uv"), "--version")
    if here == wanted:
        return Finding("uv (.venv)", here, wanted)
    return Finding("uv (.venv)", here or "none", wanted, NOTE, "`make setup` installs the locked one")


def packages(root: Path) -> Finding:
    """Whether .venv exists and matches the current locks."""
    stamps = [path for path in (root / ".bitbloom").glob("venv-*") if path.is_file()]
    if not (root / ".venv/bin/python").exists() or not stamps:
        return Finding(".venv", "none", "from the locks", NOTE, "`make setup` makes it; `make all` does so by itself")
    if (root / ".venv/itself").resolve() != (root / ".venv/pyvenv.cfg").resolve():
        return Finding(
            ".venv",
            "of another folder",
            "from the locks",
            NOTE,
            "the next make makes it again: this checkout was moved or copied",
        )
    newest = max(path.stat().st_mtime for path in stamps)
    if newest < (root / "requirements.lock").stat().st_mtime:
        return Finding(".venv", "older than requirements.lock", "from the locks", NOTE, "the next make brings it up to date")
    return Finding(".venv", "from the locks", "from the locks")


def tool(name: str, why: str, needed: bool = False, oldest: str = "") -> Finding:
    """A program that make or the tests call; `why` names its use."""
    here = version(name, "--version")
    wanted = f"{oldest} or later" if oldest else "any"
    if here and (not oldest or numbers(here) >= numbers(oldest)):
        return Finding(name, here, wanted)
    return Finding(name, here or "none", wanted, STOP if needed else NOTE, f"install {name}: {why}")


def numbers(text: str) -> tuple[int, ...]:
    """A version as numbers, for comparison."""
    return tuple(map(int, text.split(".")))


def backend() -> Finding:
    """The program that builds container images."""
    for name in ("podman", "docker"):
        here = version(name, "--version")
        if here:
            return Finding("containers", f"{name} {here}", "podman or docker")
    return Finding("containers", "none", "podman or docker", NOTE, "install podman: `make containerize` builds with it")


def system() -> Finding:
    """Operating system and architecture, compared with those of the locks."""
    here, wanted = f"{platform.system()} {platform.machine()}", "Linux x86_64"
    if here == wanted:
        return Finding("system", here, wanted)
    return Finding("system", here, wanted, STOP, "the locks are for x86-64 Linux: use such a machine, a VM or a container")


def instruction_sets(known: set[str]) -> Iterator[Finding]:
    """Instruction sets, and the numerics profiles that they allow."""
    shown = " ".join(name for name in (*sorted(PORTABLE), *FAST) if name in known)
    if known >= PORTABLE:
        yield Finding("instruction sets", shown, "avx2 fma")
        yield Finding("profile portable", "yes", "yes")
    else:
        advice = "the portable profile, with which expected digests are built, needs a CPU with AVX2: build on another machine"
        yield Finding("instruction sets", shown or "unknown", "avx2 fma", STOP, advice)
    has = [title for flag, title in FAST.items() if flag in known]
    wanted = "AVX-512, bf16 or AMX"
    if len(has) > 1:
        yield Finding("profile fast", f"yes ({', '.join(has)})", wanted)
    else:
        advice = "`numerics=fast` runs in float32 here, hardly faster: use portable"
        yield Finding("profile fast", "float32", wanted, NOTE, advice)


def threads() -> Finding:
    """The number of cores that this process may use, and of workers that training starts."""
    here = cpu.cores()
    workers = min(8, 1 << (here.bit_length() - 1))
    return Finding("threads", f"{here} (training uses {workers})", "any number: it changes the time, not the bytes")


def disk(root: Path) -> Finding:
    """Free space on the disk of the repository."""
    free = shutil.disk_usage(str(root)).free / 1e9
    wanted = f"{DISK_GB} GB"
    if free >= DISK_GB:
        return Finding("free disk", f"{free:.0f} GB", wanted)
    return Finding("free disk", f"{free:.1f} GB", wanted, STOP, "free some: `make distclean` removes the venv and caches")


def memory() -> Finding:
    """Available memory."""
    wanted = f"{MEMORY_GB} GB"
    try:
        told = re.search(r"^MemAvailable:\s+(\d+)", MEMINFO.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        told = None
    if not told:
        return Finding("free memory", "unknown", wanted, NOTE, "this system does not report its free memory")
    free = int(told[1]) * 1024 / 1e9
    if free >= MEMORY_GB:
        return Finding("free memory", f"{free:.0f} GB", wanted)
    return Finding("free memory", f"{free:.1f} GB", wanted, NOTE, "WORKERS=1 needs least and gives the same bytes")


def gpu() -> Finding:
    """The GPUs that nvidia-smi lists."""
    wanted = "none; `cuda` needs one"
    if not shutil.which("nvidia-smi"):
        return Finding("GPU", "none", wanted)
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    done = subprocess.run(query, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        return Finding("GPU", "nvidia-smi fails", wanted, NOTE, "the driver does not answer: run `nvidia-smi`")
    return Finding("GPU", "; ".join(done.stdout.strip().splitlines()), wanted, OK, "ACCEL=cuda builds with it")


def findings(root: Path) -> Iterator[Finding]:
    """All checks, in the order of the table."""
    yield system()
    yield checkout(root)
    yield merge(root)
    yield home()
    yield python(root)
    yield uv(root)
    yield packages(root)
    yield tool("make", "it starts builds", needed=True, oldest="4.0")
    yield tool("git", "builds record a commit", needed=True)
    yield tool("curl", "the README's examples use it")
    yield tool("strace", "`make hermetic` watches a build with it")
    yield tool(
        "nix", f"`nix develop` provides every other tool, and nixpkgs needs {NIX} (docs/toolchain.md); optional", oldest=NIX
    )
    yield backend()
    yield from instruction_sets(cpu.flags(cpu.CPUINFO))
    yield threads()
    yield disk(root)
    yield memory()
    yield gpu()


def show(found: list[Finding], write: Callable[[str], object] = print) -> int:
    """Print the table, then the remedies. Returns the exit code."""
    rows = [("", "here", "wanted", ""), *((one.name, one.here, one.wanted, one.state) for one in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        write("  ".join([*(row[column].ljust(widths[column]) for column in range(3)), row[3]]).rstrip())
    for one in found:
        if one.advice:
            write(f"{one.name}: {one.advice}")
    stops = [one.name for one in found if one.state == STOP]
    write(f"a build stops here because of: {', '.join(stops)}" if stops else "nothing here stops a build")
    return int(bool(stops))


if __name__ == "__main__":
    sys.exit(show(list(findings(ROOT))))
