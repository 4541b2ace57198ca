"""Another C library and another user: petals-tiny is built in Debian testing, with Python 3.11 and the venv mounted."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.checkouts import ROOT, TARGET, checkout, environment

PACKAGES = "make,git,procps,libstdc++6,libssl3t64,libffi8,libsqlite3-0,zlib1g,libbz2-1.0,liblzma5,libexpat1,libuuid1"
"""Basic tools, and the libraries that Python is linked to."""
NOBODY = 12345
OTHER = {"WORKERS": "4", "TZ": "Asia/Kathmandu", "LANG": "C", "LC_ALL": "C", "PYTHONHASHSEED": "random"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it mounts folders into another system's root"),
    pytest.mark.skipif(not shutil.which("mmdebstrap"), reason="needs mmdebstrap: apt-get install mmdebstrap"),
]


@pytest.fixture(scope="module")
def debian_testing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the root folder of another Debian."""
    root = tmp_path_factory.mktemp("debian") / "testing"
    options = ["--mode=root", "--variant=minbase", f"--include={PACKAGES}", "--aptopt=APT::Install-Recommends false"]
    stale = "--aptopt=Acquire::Check-Valid-Until false"  # the mirror of mmdebstrap can be outdated
    done = subprocess.run(["mmdebstrap", *options, stale, "testing", str(root)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return root


def python_files() -> list[Path]:
    """Return the files and folders of Python 3.11 on this machine."""
    if sys.base_prefix != "/usr":
        return [Path(sys.base_prefix)]
    return [Path("/usr/bin/python3.11"), Path("/usr/lib/python3.11")]


def run_inside(root: Path, folder: Path, command: str) -> str:
    """Run a shell command in `folder` as user `nobody` in the other root, with Python, venv and folder mounted."""
    lines = ["set -e"]
    for path in (*python_files(), ROOT / ".venv", folder, Path("/proc"), Path("/dev")):
        inside = shlex.quote(f"{root}{path}")
        make = f"mkdir -p {inside}" if path.is_dir() else f"mkdir -p $(dirname {inside}); touch {inside}"
        above = " ".join(shlex.quote(f"{root}{parent}") for parent in path.parents[:-1])
        lines += [make, f"chmod a+rx {above}" if above else "true", f"mount --rbind {shlex.quote(str(path))} {inside}"]
    inner = f"cd {shlex.quote(str(folder))} && {command}"
    lines.append(f"exec chroot --userspec={NOBODY}:{NOBODY} {shlex.quote(str(root))} /bin/sh -c {shlex.quote(inner)}")
    variables = environment(folder) | {"HOME": str(folder / ".bitbloom"), "USER": "nobody"} | OTHER
    shell = ["unshare", "--mount", "sh", "-c", "\n".join(lines)]
    done = subprocess.run(shell, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.timeout(900)
def test_builds_expected_bytes_with_another_c_library_and_user(debian_testing: Path, tmp_path: Path) -> None:
    folder = checkout(tmp_path / "checkout")
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(folder)], check=True)
    library = run_inside(debian_testing, folder, "python -c 'import os, platform; print(*platform.libc_ver(), os.getuid())'")
    assert library.split()[0] == "glibc"
    assert library.split()[1] != platform.libc_ver()[1]
    assert library.split()[2] == str(NOBODY)
    output = run_inside(debian_testing, folder, f"make all {TARGET}")
    assert "epoch 12" in output
    assert run_inside(debian_testing, folder, "git status --porcelain") == "", output
