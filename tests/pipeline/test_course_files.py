"""What the course looks for: the files that its statistics count, the exported lock, the checklist with its evidence."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath
from types import ModuleType

import pytest
import yaml
from packaging.requirements import Requirement

from support.tiny import REPOSITORY

DOCKERFILES = sorted((REPOSITORY / "dockerfiles").glob("*.dockerfile"))


def script(name: str) -> ModuleType:
    """A program of scripts/ as a module."""
    specification = importlib.util.spec_from_file_location(name, REPOSITORY / f"scripts/{name}.py")
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


checklist, export_lock = script("checklist"), script("export_lock")


@pytest.fixture(scope="module")
def files() -> list[str]:
    """The files of the repository, as GitHub would list them."""
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return listed.stdout.splitlines()


def test_statistics_of_the_course_find_each_kind_of_file(files):
    names = [PurePosixPath(file).name for file in files]
    assert [name for name in files if "Dockerfile" in name or ".dockerfile" in name] == [
        "dockerfiles/api.dockerfile",
        "dockerfiles/train.dockerfile",
    ]
    assert "requirements.txt" in names
    assert "cloudbuild.yaml" in names
    assert any(file.startswith(".dvc/") for file in files)
    assert len([file for file in files if file.startswith(".github/workflows/") and file.endswith((".yml", ".yaml"))]) == 8
    assert "reports/README.md" in files


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_dockerfiles_copy_files_of_the_repository(path, files):
    instructions = re.findall(r"^([A-Z]+) (.*(?:\\\n.*)*)", path.read_text(), re.MULTILINE)
    assert {word for word, _ in instructions} <= {
        "ARG",
        "FROM",
        "RUN",
        "USER",
        "WORKDIR",
        "COPY",
        "ENV",
        "EXPOSE",
        "ENTRYPOINT",
        "CMD",
    }
    assert [value for word, value in instructions if word == "FROM"] == ["${BASE_IMAGE}"]
    assert "BASE_IMAGE=python:3.11-slim-bookworm" in [value for word, value in instructions if word == "ARG"]
    copied = [word for kind, value in instructions if kind == "COPY" for word in value.split()[:-1] if not word.startswith("--")]
    assert copied == [word for word in copied if word in (".", "dist/${TARGET}.bento") or word in files]
    assert "1034:1034" in [value for word, value in instructions if word == "USER"]


def test_dockerfiles_install_from_the_locks():
    api, train = (path.read_text() for path in DOCKERFILES)
    assert "--require-hashes --no-deps -r /srv/requirements-serve.lock" in api
    assert "make setup" in train


def test_build_context_has_the_bento_and_no_outputs_or_venv(files):
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert {".git", ".venv", ".bitbloom", ".dvc/cache", "data/raw", "data/processed", "models"} <= set(ignored)
    assert not any(line.startswith("dist") for line in ignored)


def test_exported_requirements_are_the_pins_of_the_lock():
    exported = [line for line in (REPOSITORY / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    locked = re.findall(r"^(\S.*?==[^\s\\]+)", (REPOSITORY / "requirements.lock").read_text(), re.MULTILINE)
    assert [str(Requirement(line)) for line in exported] == [str(Requirement(line.replace("+cpu", ""))) for line in locked]
    assert len(exported) > 200


def test_environment_of_conda_has_the_python_and_the_requirements():
    environment = yaml.safe_load((REPOSITORY / "environment.yml").read_text())
    python = (REPOSITORY / ".python-version").read_text().strip()
    assert environment["dependencies"] == [f"python={python}", "pip", {"pip": ["-r requirements.txt"]}]


def test_stale_export_is_named_and_written(tmp_path, capsys):
    (tmp_path / "requirements.lock").write_text('a==1 \\\n    --hash=sha256:0\nb[x, y]==2.0+cpu ; python_version < "3.12" \\\n')
    (tmp_path / ".python-version").write_text("3.11\n")
    assert export_lock.main(["--check", "--root", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("requirements.txt differs from the lock: run")
    assert export_lock.main(["--root", str(tmp_path)]) == 0
    assert (tmp_path / "requirements.txt").read_text().splitlines()[1:] == ["a==1", 'b[x, y]==2.0 ; python_version < "3.12"']
    assert export_lock.main(["--check", "--root", str(tmp_path)]) == 0


GOOD = "[`a`](../a.py), `make all`, `tests/test_a.py::test_one`"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with one module, one Make target and one test."""
    for name, text in {
        "a.py": "",
        "Makefile": "all: ; true\nX := 1\n",
        "make/x.mk": "lint test: all\n",
        "tests/test_a.py": "def test_one(): pass\n",
        "docs/checklist.md": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("tick", "text", "expected"),
    [
        ("x", GOOD, []),
        ("x", GOOD.replace("make all", "make test"), []),
        (" ", "It was not tried here at all.", []),
        (" ", "Later.", ["it has no tick and no reason"]),
        ("x", GOOD.replace("../a.py", "../b.py"), ["../b.py does not exist"]),
        ("x", GOOD.replace("make all", "make X"), ["make has no target X"]),
        ("x", GOOD.replace("make all", "make build"), ["make has no target build"]),
        ("x", GOOD.replace("test_one", "test_two"), ["tests/test_a.py has no test_two"]),
        ("x", GOOD.replace("test_a", "test_b"), ["tests/test_b.py has no test_one"]),
        ("x", "`make all`", ["it is ticked without a link to a file", "it is ticked without a test"]),
        (" ", "No account was available for it: `make deploy`.", ["make has no target deploy"]),
    ],
)
def test_evidence_of_a_box_has_to_resolve(checkout, tick, text, expected):
    (box,) = checklist.boxes(f"## Week 1\n\n- [{tick}] A part (M1): {text}\n")
    assert (box.section, box.title, box.is_ticked) == ("Week 1", "A part (M1)", tick == "x")
    assert list(checklist.problems(box, checkout)) == expected


def test_report_has_to_have_the_same_boxes():
    ours = [checklist.Box("Week 1", f"box {number}", True) for number in range(53)]
    assert list(checklist.differences(ours, ours)) == []
    untick = [*ours[:-1], checklist.Box("Week 1", "box 52", False)]
    assert list(checklist.differences(ours, untick)) == ["reports/README.md: 'box 52' ( ) is 'box 52' (x) in docs/checklist.md"]
    assert len(list(checklist.differences(ours[:-1], ours))) == 2


def test_own_checklist_resolves(capsys):
    assert checklist.main([]) == 0
    assert "of 56 boxes are ticked, all with evidence" in capsys.readouterr().out


def test_coverage_below_the_bound_fails(tmp_path):
    [bound] = re.findall(r"--cov-fail-under=\d+", (REPOSITORY / "Makefile").read_text())
    (tmp_path / "half.py").write_text("def double(x):\n    if x > 5:\n        x += 0\n        x -= 0\n    return 2 * x\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "pytest_cov", "-p", "no:cacheprovider", "--cov=half", bound, "."]
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    for argument, fails in ((9, False), (1, True)):
        (tmp_path / "test_half.py").write_text(f"import half\n\n\ndef test_double():\n    assert half.double({argument})\n")
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert (done.returncode != 0) == fails, done.stdout
        assert ("Required test coverage of 90% not reached" in done.stdout) == fails
