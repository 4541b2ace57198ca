"""`pytest` alone runs the fast tests, and a warning fails a test unless pyproject.toml names it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import warnings

import pytest

from support.tiny import REPOSITORY

SETTINGS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
FAST = {"browser"}
"""Markers of tests that are fast where their tool is installed."""


def collected(*arguments: str) -> int:
    """The exit code of a collection: 0 with tests, 5 without."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-n0", "tests/pipeline/test_report_figures.py", "-k", "pushed"]
    return subprocess.run([*command, *arguments], cwd=REPOSITORY, capture_output=True).returncode


@pytest.mark.slow
def test_markers_select_slow_tests_only_by_name():
    assert (collected(), collected("-m", "slow")) == (5, 0)


def test_default_omits_every_slow_marker():
    [words] = [option for option in SETTINGS["addopts"] if option.startswith("-m ")]
    markers = {entry.partition(":")[0] for entry in SETTINGS["markers"]}
    assert words == "-m " + " and ".join(f"not {name}" for name in markers_in_order(markers - FAST))


def markers_in_order(names: set[str]) -> list[str]:
    return [name for entry in SETTINGS["markers"] if (name := entry.partition(":")[0]) in names]


def test_warning_is_an_error():
    with pytest.raises(UserWarning):
        warnings.warn("nothing names this", UserWarning, stacklevel=1)


def test_exceptions_are_named():
    first, *others = SETTINGS["filterwarnings"]
    assert first == "error"
    for entry in others:
        action, message, category, *module = entry.split(":")
        assert action == "ignore"
        assert category
        assert message or module, f"{entry}: it would hide every {category}"
