"""The rooms of src/bitbloom: who may import whom, and that nothing outside a task's folder names the task."""

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
    "data/sources/coco.py": {"captions"},
    "data/sources/coco_folder.py": {"captions"},
    "data/sources/garden_captions.py": {"captions"},
    "serving/caption_predictor.py": {"captions"},
}
"""Words that are not a task here: `captions` is also the name of a photo's sentences, in a manifest and in a response."""


def modules(package: Path) -> dict[str, Path]:
    """The modules of a package by their dotted names, those of folders without `__init__.py` included."""
    files = {file.relative_to(package.parent).with_suffix("").parts: file for file in sorted(package.rglob("*.py"))}
    return {".".join(parts[:-1] if parts[-1] == "__init__" else parts): file for parts, file in files.items()}


def imported(package: Path) -> dict[str, set[str]]:
    """What each module of a package imports of it when it runs, by dotted names: other modules."""
    found = modules(package)
    return {
        name: ({other for other, _ in imports.imported(file, name, package.parent)} & found.keys()) - {name}
        for name, file in found.items()
    }


def room(module: str) -> str:
    """The first part of a module's name after that of the package."""
    return module.split(".")[1] if "." in module else ""


def upward(needed: dict[str, set[str]], layers: list[str]) -> list[str]:
    """Imports of a room from one that may import it."""
    place = {name: number for number, name in enumerate(layers)}
    return sorted(
        f"{module} imports {other}"
        for module, others in needed.items()
        for other in others
        if room(other) and place[room(other)] < place.get(room(module), len(layers))
    )


def test_no_room_imports_from_one_above_it():
    assert upward(imported(SOURCE / "bitbloom"), LAYERS) == []


def test_no_task_imports_another():
    def task(module: str) -> str:
        return module.split(".")[2] if module.startswith("bitbloom.tasks.") else ""

    needed = imported(SOURCE / "bitbloom")
    between = [(module, other) for module, others in needed.items() for other in others if task(module) and task(other)]
    assert [(module, other) for module, other in between if task(module) != task(other)] == []


def test_no_modules_import_each_other_in_a_circle():
    needed = imported(SOURCE / "bitbloom")
    order = list(graphlib.TopologicalSorter(needed).static_order())  # raises CycleError, which names the circle
    assert set(order) == needed.keys()


def test_every_room_has_its_place_in_the_contract():
    rooms = {room(module) for module in modules(SOURCE / "bitbloom")} - {""}
    assert rooms <= set(LAYERS)
    assert set(LAYERS) - rooms <= {"__main__"}


def test_two_modules_at_most_lie_at_the_root_of_the_package():
    assert {file.name for file in (SOURCE / "bitbloom").glob("*.py")} - {"__init__.py"} <= {"cli.py", "__main__.py"}


def write(folder: Path, **texts: str) -> Path:
    """A package of modules named `room__module`."""
    for name, text in {"__init__": "", **texts}.items():
        file = folder / "bitbloom" / f"{name.replace('__', '/') if name != '__init__' else name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder / "bitbloom"


def test_an_upward_import_and_a_circle_are_found(tmp_path):
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
    """String literals of code with their lines: no docstrings, and no default of a parameter that is called `target`."""
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


def test_no_module_outside_a_task_has_the_name_of_one_in_its_code():
    found = []
    for file in sorted((SOURCE / "bitbloom").rglob("*.py")):
        name = file.relative_to(SOURCE / "bitbloom").as_posix()
        if not name.startswith("tasks/"):
            taken = set(tasks.names()) - FIELDS.get(name, set())
            found += [f"{name}:{line}: {word}" for line, word in words(ast.parse(file.read_text("utf-8"))) if word in taken]
    assert found == []


def test_a_name_in_code_is_found_and_one_in_a_docstring_is_not():
    code = '"""petals"""\ndef f(target="petals", task="tweets"):\n    """captions"""\n    return task == "captions"\n'
    assert sorted(words(ast.parse(code))) == [(2, "tweets"), (4, "captions")]


COMPARED = re.compile(rf"\btask\b[\"'}})]*\s*(?:==|!=|=|:|\bin\b)\s*[\[(\"']*(?:{'|'.join(tasks.names())})\b", re.IGNORECASE)
"""A task compared with a name or set to one; `petals` as the default TARGET is a target."""
ELSEWHERE = ("Makefile", "make", ".ci", ".github", "scripts", "deploy")


def test_no_makefile_deploy_script_or_workflow_names_a_task():
    listed = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard", *ELSEWHERE], cwd=REPOSITORY, text=True)
    files = [REPOSITORY / name for name in listed.splitlines() if not name.endswith((".md", ".lock", ".png"))]
    there = [file for file in files if file.is_file()]
    assert len(there) > 30
    lines = ((file, line) for file in there for line in file.read_text(encoding="utf-8").splitlines())
    assert [f"{file.relative_to(REPOSITORY)}: {line.strip()}" for file, line in lines if COMPARED.search(line)] == []


@pytest.mark.parametrize("line", ['if target.task != "petals":', "task=tweets", 'grep \'"task": "captions"\'', "task in (petals"])
def test_a_comparison_of_a_task_with_a_name_is_found(line):
    assert COMPARED.search(line)
    assert not COMPARED.search("TARGET=${TARGET:-petals}")
