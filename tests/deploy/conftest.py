"""Fixtures of the tests of deploy/."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support.commands import REPOSITORY, Desk, tool_venv


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A folder to run the scripts in."""
    return Desk(tmp_path)


@pytest.fixture(scope="session")
def validators() -> Path:
    """The venv of deploy/requirements.lock."""
    return tool_venv("deploy/requirements.lock", "deploy-venv")


sys.path.insert(0, str(REPOSITORY / "deploy"))  # for `render`, which the scripts run by its path
