"""The import closure: the modules that a stage depends on and that a Bento contains."""

import subprocess
import sys
from pathlib import Path

import pytest

from bitbloom.core.errors import BitBloomError
from bitbloom.core.imports import ROOT, closure, imported


def package(root: Path, **modules: str) -> Path:
    """A package `bitbloom` of these modules; `__` in a name represents a dot."""
    for name, text in {"bitbloom": "", **modules}.items():
        dotted = name.replace("__", "/")
        folder = root / dotted if dotted == "bitbloom" else root / "bitbloom" / dotted
        file = folder / "__init__.py" if dotted == "bitbloom" or text.startswith("# package") else folder.with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def names(found: set[Path], root: Path) -> list[str]:
    return sorted(path.relative_to(root / "bitbloom").as_posix() for path in found)


def test_closure_follows_modules_and_includes_package_inits(tmp_path):
    package(
        tmp_path, a="from bitbloom.sub.b import x\n", sub="# package\n", sub__b="import bitbloom.c as c\nx = 1\n", c="", other=""
    )
    found = closure(["bitbloom.a"], tmp_path)
    assert names(found, tmp_path) == ["__init__.py", "a.py", "c.py", "sub/__init__.py", "sub/b.py"]


def test_closure_follows_name_that_is_a_module(tmp_path):
    package(tmp_path, a="from bitbloom import c\nfrom bitbloom.sub import thing\n", sub="# package\nthing = 1\n", c="", thing="")
    assert names(closure(["bitbloom.a"], tmp_path), tmp_path) == ["__init__.py", "a.py", "c.py", "sub/__init__.py"]


def test_closure_follows_imports_of_package_init(tmp_path):
    package(tmp_path, a="import bitbloom.sub.b\n", sub="# package\nfrom bitbloom import c\n", sub__b="", c="")
    assert "c.py" in names(closure(["bitbloom.a"], tmp_path), tmp_path)


def test_closure_includes_import_inside_function(tmp_path):
    package(tmp_path, a="def f():\n    from bitbloom import c\n    return c\n", c="")
    assert "c.py" in names(closure(["bitbloom.a"], tmp_path), tmp_path)


def test_closure_skips_type_checking_import_but_not_its_else(tmp_path):
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from bitbloom import c\nelse:\n    from bitbloom import d\n"
    package(tmp_path, a=text, c="", d="")
    assert names(closure(["bitbloom.a"], tmp_path), tmp_path) == ["__init__.py", "a.py", "d.py"]


def test_closure_resolves_relative_imports(tmp_path):
    package(
        tmp_path,
        sub="# package\nfrom . import b\n",
        sub__b="from ..c import x\nfrom .d import y\n",
        sub__d="y = 1\n",
        c="x = 1\n",
    )
    found = names(closure(["bitbloom.sub"], tmp_path), tmp_path)
    assert found == ["__init__.py", "c.py", "sub/__init__.py", "sub/b.py", "sub/d.py"]


def test_closure_ends_on_circular_imports(tmp_path):
    package(tmp_path, a="import bitbloom.c\n", c="import bitbloom.a\n")
    assert names(closure(["bitbloom.a"], tmp_path), tmp_path) == ["__init__.py", "a.py", "c.py"]


def test_closure_reads_but_omits_file_outside_the_package(tmp_path):
    package(tmp_path, c="")
    script = tmp_path / "service.py"
    script.write_text("import os\nfrom bitbloom.c import *\n")
    assert names(closure([script], tmp_path), tmp_path) == ["__init__.py", "c.py"]


def test_direct_imports_omit_indirect_ones_and_packages(tmp_path):
    package(tmp_path, a="from bitbloom.sub.b import x\n", sub="# package\n", sub__b="import bitbloom.c as c\nx = 1\n", c="")
    file = tmp_path / "bitbloom/a.py"
    assert list(imported(file, "bitbloom.a", tmp_path)) == [("bitbloom.sub.b", f"{file}:1")]


def test_missing_module_error_names_the_line(tmp_path):
    package(tmp_path, a="\nimport bitbloom.nowhere\n")
    with pytest.raises(BitBloomError, match=r"a\.py:2: there is no module 'bitbloom.nowhere'"):
        closure(["bitbloom.a"], tmp_path)


def test_unparsable_file_error_names_the_file(tmp_path):
    package(tmp_path, a="import\n")
    with pytest.raises(BitBloomError, match=r"cannot read the imports of .*a\.py"):
        closure(["bitbloom.a"], tmp_path)


def test_closure_has_all_modules_that_python_loads():
    module = "bitbloom.serving.image_app"
    script = f"import {module}, sys; print(*(m.__file__ for n, m in sys.modules.items() if n.split('.')[0] == 'bitbloom'))"
    environment = {"PYTHONPATH": str(ROOT)}
    loaded = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert {Path(file) for file in loaded.stdout.split()} <= closure([module])
