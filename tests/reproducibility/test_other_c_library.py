"""Another C library and another user: petals-tiny is built in Debian testing, with Python 3.11 and the venv mounted."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest

from support import systems
from support.checkouts import ROOT, TARGET, checkout, environment
from support.systems import NOBODY, System

PACKAGES = "make,git,procps,libstdc++6,libssl3t64,libffi8,libsqlite3-0,zlib1g,libbz2-1.0,liblzma5,libexpat1,libuuid1"
"""Basic tools, and the libraries that Python is linked to."""
OTHER = {"WORKERS": "4", "TZ": "Asia/Kathmandu", "LANG": "C", "LC_ALL": "C", "PYTHONHASHSEED": "random"}

pytestmark = [pytest.mark.slow, *systems.needs_root_folders]


@pytest.fixture(scope="module")
def debian_testing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the root folder of another Debian."""
    return systems.make(System("testing"), tmp_path_factory.mktemp("debian") / "testing", PACKAGES)


def run_inside(root: Path, folder: Path, command: str) -> str:
    """Run a shell command in a checkout inside the root, with Python and the venv mounted."""
    variables = environment(folder) | {"HOME": str(folder / ".bitbloom"), "USER": "nobody"} | OTHER
    return systems.run(root, folder, command, [*systems.python_files(), ROOT / ".venv"], variables)


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
