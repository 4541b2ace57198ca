"""The rooms of src/bitbloom: allowed imports, and no name of a task outside of its folder."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from bitbloom import tasks
from bitbloom.core import imports
from support.tiny import REPOSITORY

SOURCE = REPOSITORY / "src"
CONTRACT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"][0]
LAYERS = [layer.strip("()") for layer in CONTRACT["layers"]]
"""The rooms as import-linter reads them, the last of which imports from none."""
FIELDS = {
    "audit/pairs.py": {"captions"},
    "data/sources/coco.py": {"captions"},
    "data/sources/coco_folder.py": {"captions"},
    "data/sources/garden_captions.py": {"captions"},
    "serving/caption_predictor.py": {"captions"},
    "validation/derived/__init__.py": {"captions"},
    "validation/faulty_rows.py": {"captions"},
    "versions/data.py": {"captions"},
}
"""Words that do not name a task: `captions` is also a key for a photo's sentences, in a manifest and in a response."""


def modules(package: Path) -> dict[str, Path]:
    """The modules of a package by their dotted names, also those of folders without `__init__.py`."""
    files = {file.relative_to(package.parent).with_suffix("").parts: file for file in sorted(package.rglob("*.py"))}
    return {".".join(parts[:-1] if parts[-1] == "__init__" else parts): file for parts, file in files.items()}


def imported(package: Path) -> dict[str, set[str]]:
    """Module of a package → the other modules of the package that it imports at run time, by dotted names."""
    found = modules(package)
    return {
        name: ({other for other, _ in imports.imported(file, name, package.parent)} & found.keys()) - {name}
        for name, file in found.items()
    }


def room(module: str) -> str:
    """The first part of a module's name after that of the package."""
    return module.split(".")[1] if "." in module else ""


def upward(needed: dict[str, set[str]], layers: list[str]) -> list[str]:
    """Imports of a room from a higher layer."""
    place = {name: number for number, name in enumerate(layers)}
    return sorted(
        f"{module} imports {other}"
        for module, others in needed.items()
        for other in others
        if room(other) and place[room(other)] < place.get(room(module), len(layers))
    )


def test_rooms_import_only_from_lower_layers():
    assert upward(imported(SOURCE / "bitbloom"), LAYERS) == []


def test_tasks_import_no_other_task():
    def task(module: str) -> str:
        return module.split(".")[2] if module.startswith("bitbloom.tasks.") else ""

    needed = imported(SOURCE / "bitbloom")
    between = [(module, other) for module, others in needed.items() for other in others if task(module) and task(other)]
    assert [(module, other) for module, other in between if task(module) != task(other)] == []


def test_imports_have_no_cycle():
    needed = imported(SOURCE / "bitbloom")
    order = list(graphlib.TopologicalSorter(needed).static_order())  # raises CycleError, which names the cycle
    assert set(order) == needed.keys()


def test_every_room_is_in_the_import_contract():
    rooms = {room(module) for module in modules(SOURCE / "bitbloom")} - {""}
    assert rooms <= set(LAYERS)
    assert set(LAYERS) - rooms <= {"__main__"}


def test_package_root_has_one_module():
    assert {file.name for file in (SOURCE / "bitbloom").glob("*.py")} - {"__init__.py"} <= {"__main__.py"}


def write(folder: Path, **texts: str) -> Path:
    """A package of modules named `room__module`."""
    for name, text in {"__init__": "", **texts}.items():
        file = folder / "bitbloom" / f"{name.replace('__', '/') if name != '__init__' else name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder / "bitbloom"


def test_finds_upward_import_and_cycle(tmp_path):
    package = write(
        tmp_path,
        core__a="from bitbloom.data import b\n",
        data__b="def f():\n    from bitbloom.data.c import x\n",
        data__c="import bitbloom.data.b\nx = 1\n",
    )
    needed = imported(package)
    assert upward(needed, ["data", "core"]) == ["bitbloom.core.a imports bitbloom.data.b"]
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(needed).prepare()


def words(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """String literals of code with their lines, without docstrings and defaults of parameters named `target`."""
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
        if isinstance(node, ast.arguments):
            named = [*node.posonlyargs, *node.args]
            with_default = zip(named[len(named) - len(node.defaults) :], node.defaults, strict=True)
            skipped |= {id(default) for argument, default in with_default if argument.arg == "target"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.lineno, node.value


def test_code_outside_tasks_names_no_task():
    found = []
    for file in sorted((SOURCE / "bitbloom").rglob("*.py")):
        name = file.relative_to(SOURCE / "bitbloom").as_posix()
        if not name.startswith("tasks/"):
            taken = set(tasks.names()) - FIELDS.get(name, set())
            found += [f"{name}:{line}: {word}" for line, word in words(ast.parse(file.read_text("utf-8"))) if word in taken]
    assert found == []


def test_finds_task_name_in_code_but_not_in_docstring():
    code = '"""petals"""\ndef f(target="petals", task="tweets"):\n    """captions"""\n    return task == "captions"\n'
    assert sorted(words(ast.parse(code))) == [(2, "tweets"), (4, "captions")]


COMPARED = re.compile(rf"\btask\b[\"'}})]*\s*(?:==|!=|=|:|\bin\b)\s*[\[(\"']*(?:{'|'.join(tasks.names())})\b", re.IGNORECASE)
"""A comparison or assignment of a task. `petals` as the default TARGET is a target."""
ELSEWHERE = ("Makefile", "make", ".ci", ".github", "scripts", "deploy")


def test_makefiles_scripts_and_workflows_name_no_task():
    listed = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard", *ELSEWHERE], cwd=REPOSITORY, text=True)
    files = [REPOSITORY / name for name in listed.splitlines() if not name.endswith((".md", ".lock", ".png"))]
    there = [file for file in files if file.is_file()]
    assert len(there) > 30
    lines = ((file, line) for file in there for line in file.read_text(encoding="utf-8").splitlines())
    assert [f"{file.relative_to(REPOSITORY)}: {line.strip()}" for file, line in lines if COMPARED.search(line)] == []


@pytest.mark.parametrize("line", ['if target.task != "petals":', "task=tweets", 'grep \'"task": "captions"\'', "task in (petals"])
def test_finds_comparison_of_task_with_name(line):
    assert COMPARED.search(line)
    assert not COMPARED.search("TARGET=${TARGET:-petals}")
