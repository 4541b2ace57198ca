"""Services use only public modules of BentoML, and set up their Python process."""

from __future__ import annotations

import ast
import gc
import sys
from pathlib import Path

import pytest

from bitbloom.serving import process
from support.standin import REPOSITORY

FOREIGN = ("bentoml", "_bentoml_impl", "_bentoml_sdk", "uvicorn", "starlette", "fastapi")
FOLDERS = ("src", "bentos", "benchmarks", "tests", "deploy")
CODE = sorted(path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The names of imported modules, and of what is imported from them, in a file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def private(name: str) -> bool:
    """Whether a name is a private part of a server's package."""
    parts = name.split(".")
    return parts[0] in FOREIGN and any(part.startswith("_") for part in parts)


def test_imports_no_private_part_of_bentoml_or_uvicorn():
    found = {path.relative_to(REPOSITORY).as_posix(): [name for name in imported(path) if private(name)] for path in CODE}
    assert len(found) > 200
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize("name", ["_bentoml_impl.server.app.ServiceAppFactory", "bentoml._internal.container", "uvicorn._types"])
def test_recognises_private_names(name):
    assert private(name)


def test_switches_threads_often_and_collects_garbage_rarely():
    before = sys.getswitchinterval(), gc.get_threshold()
    try:
        process.switch_often()
        assert sys.getswitchinterval() == pytest.approx(process.SWITCH_SECONDS)
        assert gc.get_threshold()[0] == process.GARBAGE
    finally:
        sys.setswitchinterval(before[0])
        gc.set_threshold(*before[1])
        gc.unfreeze()
