"""Checkouts of this repository in which a newcomer's commands are run: helpers and a fixture of the slow tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGET = "TARGET=petals-tiny"


def checkout(folder: Path) -> Path:
    """A copy of the working tree as git sees it, with this venv, as a repository of its own."""
    listed = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True).splitlines()
    for name in listed:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    (folder / ".bitbloom").mkdir()
    for stamp in ("venv-cpu", "venv-dev"):
        (folder / ".bitbloom" / stamp).touch()
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    with (folder / ".git/info/exclude").open("a") as excluded:
        excluded.write("/.venv\n")  # .gitignore means a folder
    for command in (["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "start"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def environment(folder: Path) -> dict[str, str]:
    """The variables of a newcomer's shell, with the checkout's own code before that of the venv."""
    ours = ("MAKE", "COV_", "WORKERS", "OMP_NUM", "MKL_NUM", "OPENBLAS_NUM")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    path = f"{folder / '.venv/bin'}{os.pathsep}{kept['PATH']}"
    homes = {"DVC_SITE_CACHE_DIR": str(folder / ".bitbloom/dvc"), "BENTOML_HOME": str(folder / "dist/bentoml")}
    own = {"PYTHONPATH": str(folder / "src"), "BITBLOOM_TRACK": "0"} | homes
    return kept | own | {"PATH": path}


def run(folder: Path, *command: str, fails: bool = False) -> str:
    """Run a command in a checkout, with its own code, and expect it to succeed or to fail; its whole output."""
    done = subprocess.run(
        command, cwd=folder, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert (done.returncode != 0) == fails, done.stdout
    return done.stdout


def changes(folder: Path) -> str:
    """What is not as it was committed, and how the claim differs; empty after a build that kept it."""
    return run(folder, "git", "status", "--porcelain") + run(folder, "git", "diff", "--", "digests")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which petals-tiny was built from nothing, and pushed to a remote beside it."""
    folder = checkout(tmp_path_factory.mktemp("checkout"))
    output = run(folder, "make", "all", TARGET)
    assert "epoch 12" in output
    assert "sha256:" in output
    return folder
