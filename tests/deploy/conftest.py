"""Fixtures of the tests of deploy/."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest
from commands import REPOSITORY, Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A place to run the scripts in."""
    return Desk(tmp_path)


def tool_venv(lock: str, name: str) -> Path:
    """The venv of a lock, made when it is not there: some seconds, or as long as the download takes."""
    uv = REPOSITORY / ".venv/bin/uv"
    if not uv.exists():
        pytest.skip(".venv is not here: run `make setup`")
    venv = REPOSITORY / ".bitbloom" / name
    venv.parent.mkdir(exist_ok=True)
    with (venv.parent / f"{name}.lock").open("w") as lock_file:
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        command = ["sh", "deploy/venv.sh", lock, str(venv)]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{lock} cannot be installed here: {done.stderr.strip()[-300:]}")
    return venv


@pytest.fixture(scope="session")
def validators() -> Path:
    """The venv of deploy/requirements.lock."""
    return tool_venv("deploy/requirements.lock", "deploy-venv")


sys.path.insert(0, str(REPOSITORY / "deploy"))  # for `render`, which the scripts start by its path
