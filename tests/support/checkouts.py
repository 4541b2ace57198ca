"""Checkouts of this repository for the commands of slow tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGET = "TARGET=petals-tiny"


def checkout(folder: Path, venv: bool = True) -> Path:
    """Copy the files that git does not ignore to a new repository, and link this venv unless it is not wanted."""
    listed = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True).splitlines()
    for name in listed:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    if venv:
        (folder / ".venv").symlink_to(ROOT / ".venv")
        (folder / ".bitbloom").mkdir()
        for stamp in ("venv-cpu", "venv-dev"):
            (folder / ".bitbloom" / stamp).touch()
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    with (folder / ".git/info/exclude").open("a") as excluded:
        excluded.write("/.venv\n")  # .gitignore has only the folder
    for command in (["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "start"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a new shell, with the checkout's code before that of the venv."""
    ours = ("MAKE", "COV_", "WORKERS", "OMP_NUM", "MKL_NUM", "OPENBLAS_NUM")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    path = f"{folder / '.venv/bin'}{os.pathsep}{kept['PATH']}"
    homes = {"DVC_SITE_CACHE_DIR": str(folder / ".bitbloom/dvc"), "BENTOML_HOME": str(folder / "dist/bentoml")}
    own = {"PYTHONPATH": str(folder / "src"), "BITBLOOM_TRACK": "0"} | homes
    return kept | own | {"PATH": path}


def run(folder: Path, *command: str, fails: bool = False) -> str:
    """Run a command in a checkout with its own code; check that it succeeds or fails, and return its output."""
    done = subprocess.run(
        command, cwd=folder, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert (done.returncode != 0) == fails, done.stdout
    return done.stdout


def changes(folder: Path) -> str:
    """Return uncommitted changes and differences of the expected digests; empty after a reproducible build."""
    return run(folder, "git", "status", "--porcelain") + run(folder, "git", "diff", "--", "digests")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkout with a build of petals-tiny."""
    folder = checkout(tmp_path_factory.mktemp("checkout"))
    output = run(folder, "make", "all", TARGET)
    assert "epoch 12" in output
    assert "sha256:" in output
    return folder
