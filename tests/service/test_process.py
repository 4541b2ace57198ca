"""Services use only public modules of BentoML, and set up their Python process."""

from __future__ import annotations

import ast
import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bitbloom.drift import familiar
from bitbloom.serving import process
from support.standin import COLOURS, REPOSITORY, VARIABLES, greens, photo, write_reference, write_service

FOREIGN = ("bentoml", "_bentoml_impl", "_bentoml_sdk", "uvicorn", "starlette", "fastapi")
FOLDERS = ("src", "bentos", "benchmarks", "tests", "deploy")
CODE = sorted(path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.py"))

STARTED = """
import sys
import service
from bitbloom.serving import process
process.start(service.application)
print(service.application.label(open("photo.jpg", "rb").read())["known"], "pyarrow" in sys.modules, flush=True)
"""


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


@pytest.mark.parametrize("logs", [False, True])
def test_service_for_photos_imports_pyarrow_only_for_a_log(tmp_path, logs):
    folder = write_service(tmp_path)
    write_reference(folder)
    familiar.write(folder / familiar.FAMILIAR, greens(folder / "model.onnx"))
    (folder / "photo.jpg").write_bytes(photo(COLOURS["fern"]))
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", *VARIABLES)}
    environment |= {"BENTOML_HOME": str(tmp_path / "home"), "BENTOML_DO_NOT_TRACK": "True"}
    environment |= {"BITBLOOM_LOG": str(tmp_path / "log")} if logs else {}
    done = subprocess.run([sys.executable, "-c", STARTED], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["True", str(logs)], done.stderr
