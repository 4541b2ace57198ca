"""With BITBLOOM_NO_SKIPS, a test without its tool fails. A test without what CI cannot have is still skipped."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SUITE = """
import pytest

@pytest.mark.skipif(True, reason="needs podman: apt-get install podman")
def test_tool(): pass

@pytest.fixture
def browser(): pytest.skip("needs headless Chromium: apt-get install chromium chromium-driver")

def test_fixture(browser): pass

@pytest.mark.skipif(True, reason="needs an NVIDIA GPU and the venv of ACCEL=cuda")
def test_gpu(): pass

@pytest.mark.xfail
def test_expected(): raise AssertionError

def test_passes(): pass
"""


def ran(folder: Path, *options: str, **variables: str) -> str:
    """The summary of a run of SUITE."""
    (folder / "test_suite.py").write_text(SUITE)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "BITBLOOM_NO_SKIPS"))}
    command = [sys.executable, "-m", "pytest", "-p", "support.skips", "-c", os.devnull, "-rfEs", *options, str(folder)]
    environment = kept | {"PYTHONPATH": str(TESTS)} | variables
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True).stdout


@pytest.mark.parametrize("options", [(), ("--numprocesses", "1")], ids=["alone", "distributed"])
def test_missing_tool_fails_and_missing_gpu_is_skipped(tmp_path, options):
    output = ran(tmp_path, *options, BITBLOOM_NO_SKIPS="1")
    assert "2 errors" in output
    assert "1 passed, 1 skipped, 1 xfailed" in output
    assert "Skipped: needs podman: apt-get install podman" in output
    assert "Skipped: needs headless Chromium" in output


def test_skips_without_the_variable(tmp_path):
    assert "1 passed, 3 skipped, 1 xfailed" in ran(tmp_path)
