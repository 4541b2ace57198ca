"""A project made by `make new`: no trace of the old name, clean lint, its own tests, and a build with the known digests."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts.new_project import attribution
from scripts.new_project.__main__ import UNKNOWN
from scripts.new_project.names import OLD

from support import installs
from support.checkouts import run
from support.tiny import REPOSITORY

pytestmark = pytest.mark.slow

NAME = "meadow_lab"
NAMES = "rooms documents digests course_files exam_strict diagram figures report_figures slides"
TESTS = ("docs", *(f"pipeline/test_{room}.py" for room in NAMES.split()), "deploy/test_cloud_run.py")
LINT = (
    ("ruff", "format", "--check", "."),
    ("ruff", "check", "."),
    ("lint-imports", "--no-cache", "--no-logo"),
    (NAME, "graph", "--check"),
    ("python", "scripts/figures.py", "--check"),
    ("python", "scripts/report_figures", "--check"),
    ("python", "scripts/diagram.py", "--check"),
    ("python", "scripts/checklist.py"),
    ("python", "scripts/export_lock.py", "--check"),
    ("python", "scripts/style.py"),
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A new project with one task, the venv of the tests and, on PATH, a command of its own name."""
    folder, tools = tmp_path_factory.mktemp("new") / "mine", tmp_path_factory.mktemp("tools")
    made = [sys.executable, "-m", "scripts.new_project", NAME, "--task", "petals", "--folder", str(folder)]
    source = installs.copy_of_the_working_tree(tmp_path_factory.mktemp("source"))
    subprocess.run(made, cwd=source, env=os.environ | {"PYTHONPATH": str(source / "src")}, check=True)
    (folder / ".venv").symlink_to(Path(sys.executable).parents[1])
    (folder / f".{NAME}").mkdir()
    for stamp in ("venv-cpu", "venv-dev"):
        (folder / f".{NAME}" / stamp).touch()
    (folder / ".git/info/exclude").write_text(f"/.venv\n/.{OLD.package}/\n")  # the venv of the tests has settings of this project
    (tools / NAME).write_text(installs.SCRIPT.format(python=sys.executable, module=f"{NAME}.cli"))
    (tools / NAME).chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
        patch.setenv(f"{NAME.upper()}_TRACK", "0")
        yield folder


def test_only_the_origin_has_the_old_name(project: Path) -> None:
    found = run(project, "git", "grep", "-il", OLD.package).split()
    assert sorted(found) == sorted(attribution.FILES)
    assert not [path for path in run(project, "git", "ls-files").split() if OLD.package in path.lower()]
    assert len(run(project, "git", "log", "--oneline").splitlines()) == 1
    assert run(project, "git", "status", "--porcelain") == ""


@pytest.mark.parametrize("command", LINT, ids=" ".join)
def test_lint_is_clean(project: Path, command: tuple[str, ...]) -> None:
    run(project, *command)


def test_navigation_and_interfaces_are_of_what_stays(project: Path) -> None:
    pages = re.findall(r": ([\w/-]+\.md)$", (project / "mkdocs.yml").read_text(), re.MULTILINE)
    missing = [name for name in pages if not (project / name).exists() and not name.startswith("docs/reference/")]
    assert len(pages) > 20
    assert missing == []
    file = project / f".{NAME}/interfaces.json"
    run(project, "python", "scripts/docsite/services.py", str(file))
    assert list(json.loads(file.read_text())) == ["petals"]


def test_help_has_its_commands(project: Path) -> None:
    assert "make all" in run(project, "make", "help")
    assert f"{NAME} build petals" in run(project, NAME, "--help")


def test_build_keeps_the_digests_that_do_not_contain_the_name(project: Path) -> None:
    before = json.loads((REPOSITORY / "digests/petals-tiny.json").read_text())
    unknown = {output.format("petals-tiny") for output in UNKNOWN}
    assert json.loads((project / "digests/petals-tiny.json").read_text()).keys() == before.keys() - unknown
    run(project, "make", "all", "TARGET=petals-tiny")
    after = json.loads((project / "digests/petals-tiny.json").read_text())
    assert {output for output in before if after[output] != before[output]} == unknown
    changed = {line[3:] for line in run(project, "git", "status", "--porcelain", "-uall").splitlines()}
    assert changed == {"digests/petals-tiny.json", "pipelines/petals-tiny/dvc.lock"}


def test_tests_of_the_project_pass(project: Path) -> None:
    """After the first build, which writes the digests that the name changes."""
    output = run(project, "python", "-m", "pytest", "-n", "0", "-m", "not slow", *(f"tests/{name}" for name in TESTS))
    assert " passed" in output
