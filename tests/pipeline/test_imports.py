"""The import closure: what a stage depends on and what a Bento carries."""

import subprocess
import sys
from pathlib import Path

import pytest

from bitbloom.core.errors import BitBloomError
from bitbloom.core.imports import ROOT, closure, imported


def package(root: Path, **modules: str) -> Path:
    """A package `bitbloom` of the given modules; `__` in a name stands for a dot."""
    for name, text in {"bitbloom": "", **modules}.items():
        dotted = name.replace("__", "/")
        folder = root / dotted if dotted == "bitbloom" else root / "bitbloom" / dotted
        file = folder / "__init__.py" if dotted == "bitbloom" or text.startswith("# package") else folder.with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def names(found: set[Path], root: Path) -> list[str]:
    return sorted(path.relative_to(root / "bitbloom").as_posix() for path in found)


def test_imports_are_followed_through_modules_and_every_package_brings_its_init(tmp_path):
    package(
        tmp_path, a="from bitbloom.sub.b import x\n", sub="# package\n", sub__b="import bitbloom.c as c\nx = 1\n", c="", other=""
    )
    found = closure(["bitbloom.a"], tmp_path)
    assert names(found, tmp_path) == ["__init__.py", "a.py", "c.py", "sub/__init__.py", "sub/b.py"]


def test_a_name_imported_from_a_package_is_followed_when_it_is_a_module(tmp_path):
    package(tmp_path, a="from bitbloom import c\nfrom bitbloom.sub import thing\n", sub="# package\nthing = 1\n", c="", thing="")
    assert names(closure(["bitbloom.a"], tmp_path), tmp_path) == ["__init__.py", "a.py", "c.py", "sub/__init__.py"]


def test_imports_of_a_package_init_are_followed(tmp_path):
    package(tmp_path, a="import bitbloom.sub.b\n", sub="# package\nfrom bitbloom import c\n", sub__b="", c="")
    assert "c.py" in names(closure(["bitbloom.a"], tmp_path), tmp_path)


def test_an_import_inside_a_function_counts(tmp_path):
    package(tmp_path, a="def f():\n    from bitbloom import c\n    return c\n", c="")
    assert "c.py" in names(closure(["bitbloom.a"], tmp_path), tmp_path)


def test_an_import_for_type_checkers_does_not_count_but_its_else_does(tmp_path):
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from bitbloom import c\nelse:\n    from bitbloom import d\n"
    package(tmp_path, a=text, c="", d="")
    assert names(closure(["bitbloom.a"], tmp_path), tmp_path) == ["__init__.py", "a.py", "d.py"]


def test_relative_imports_are_resolved(tmp_path):
    package(
        tmp_path,
        sub="# package\nfrom . import b\n",
        sub__b="from ..c import x\nfrom .d import y\n",
        sub__d="y = 1\n",
        c="x = 1\n",
    )
    found = names(closure(["bitbloom.sub"], tmp_path), tmp_path)
    assert found == ["__init__.py", "c.py", "sub/__init__.py", "sub/b.py", "sub/d.py"]


def test_modules_that_import_each_other_end(tmp_path):
    package(tmp_path, a="import bitbloom.c\n", c="import bitbloom.a\n")
    assert names(closure(["bitbloom.a"], tmp_path), tmp_path) == ["__init__.py", "a.py", "c.py"]


def test_a_file_outside_the_package_is_read_but_not_part_of_the_closure(tmp_path):
    package(tmp_path, c="")
    script = tmp_path / "service.py"
    script.write_text("import os\nfrom bitbloom.c import *\n")
    assert names(closure([script], tmp_path), tmp_path) == ["__init__.py", "c.py"]


def test_lists_only_the_direct_imports_of_a_file(tmp_path):
    package(tmp_path, a="from bitbloom.sub.b import x\n", sub="# package\n", sub__b="import bitbloom.c as c\nx = 1\n", c="")
    file = tmp_path / "bitbloom/a.py"
    assert list(imported(file, "bitbloom.a", tmp_path)) == [("bitbloom.sub.b", f"{file}:1")]


def test_a_missing_module_is_an_error_that_names_the_line(tmp_path):
    package(tmp_path, a="\nimport bitbloom.nowhere\n")
    with pytest.raises(BitBloomError, match=r"a\.py:2: there is no module 'bitbloom.nowhere'"):
        closure(["bitbloom.a"], tmp_path)


def test_a_file_that_does_not_parse_is_an_error_that_names_it(tmp_path):
    package(tmp_path, a="import\n")
    with pytest.raises(BitBloomError, match=r"cannot read the imports of .*a\.py"):
        closure(["bitbloom.a"], tmp_path)


def test_what_python_really_loads_is_in_the_closure():
    module = "bitbloom.serving.app"
    script = f"import {module}, sys; print(*(m.__file__ for n, m in sys.modules.items() if n.split('.')[0] == 'bitbloom'))"
    environment = {"PYTHONPATH": str(ROOT)}
    loaded = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert {Path(file) for file in loaded.stdout.split()} <= closure([module])
