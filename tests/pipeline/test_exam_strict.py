"""What `report.py check --strict` compares: statements of answers with small repositories in which they hold or do not."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from support.tiny import REPOSITORY


def module(name: str) -> ModuleType:
    """A script of reports/ as a module."""
    specification = importlib.util.spec_from_file_location(f"exam_{name}", REPOSITORY / f"reports/{name}.py")
    assert specification and specification.loader
    made = importlib.util.module_from_spec(specification)
    sys.modules[f"exam_{name}"] = made
    specification.loader.exec_module(made)
    return made


strict = module("strict")

TESTS = """
import pytest

@pytest.mark.parametrize("n", range(10))
def test_many(n): pass

async def test_later(): pass

class TestMore:
    def test_method(self): pass
"""
FILES = {
    "tests/test_a.py": TESTS,
    "tests/helpers.py": "def test_that_is_no_test(): pass\n",
    ".github/workflows/ci.yaml": "on: push\n",
    ".github/workflows/data.yml": "on: push\n",
    "dockerfiles/train.dockerfile": "ARG A\nFROM python:3.11\n",
    "src/app.py": "x = 1\n",
    "reports/README.md": "",
    "coverage.json": json.dumps({"totals": {"percent_covered": 87.4}}),
}


@pytest.fixture(autouse=True)
def _collection_without_plugins(monkeypatch):
    """The plugins of this venv take seconds to load, and the small repositories use none."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of the course, with three test functions, two workflows, a Dockerfile and a measured coverage."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    return tmp_path


def false(repository: Path, number: int, text: str) -> list[str]:
    """What does not hold in an answer."""
    return [problem for _, problem in strict.false_statements({number: text}, repository / "reports")]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (7, "In total we have three tests of the data."),
        (7, "We have 3 unit tests."),
        (7, "There are 12 parametrised tests."),
        (7, "Of our tests, 2 of 12 tests are slow."),
        (7, "We have three tests; two tests read data."),
        (8, "At least 80 % is our bound."),
        (8, "Our coverage is over 80 %."),
        (8, "Even 100 % coverage is no proof. Our coverage is 87 %."),
        (8, "Our suite has 95 % of its time in I/O. The coverage is 87 %."),
        (8, "The coverage is 87%, and we do not trust 100%."),
        (8, "It is 87.4 percent."),
        (8, "It is at least 80 %."),
        (11, "We have two workflows, see [ci](../.github/workflows/ci.yaml)."),
        (11, "One workflow runs the tests; we have two workflows."),
        (11, "One of two workflows runs the tests."),
        (11, "CI runs on every push: https://github.com/me/mine/actions"),
        (15, "See [it](https://github.com/me/mine/blob/main/dockerfiles/train.dockerfile)."),
        (5, "`app.py` is in `src/`, `src/app.py` too; [the folder](../src) and `docker run x.py` and `numpy.array`."),
    ],
)
def test_true_statement_passes(repository, number, text):
    assert false(repository, number, text) == []


@pytest.mark.parametrize(
    ("number", "text", "problem"),
    [
        (7, "We have 40 tests.", "the repository has 3 test functions; pytest collects 12 tests"),
        (7, "We have many of them.", "it names no number of tests"),
        (
            7,
            "We have 50,000 tests, of which 3 tests read data.",
            "the repository has 3 test functions; pytest collects 12 tests",
        ),
        (8, "Our coverage is 100 %. Each folder has at least 1 %.", "the measured coverage is 87.4 %"),
        (8, "Our coverage is 100 %, not 87 %.", "the measured coverage is 87.4 %"),
        (8, "Over 90 %.", "the measured coverage is 87.4 %"),
        (8, "The coverage is 99%.", "the measured coverage is 87.4 %"),
        (8, "It is at least 90 %.", "the measured coverage is 87.4 %"),
        (8, "It is high.", "it names no percentage"),
        (11, "We have five GitHub workflows.", "the repository has 2 workflows, not five"),
        (11, "We have one workflow.", "the repository has 2 workflows, not one"),
        (11, "We have 50 workflows, two workflows of them for data.", "the repository has 2 workflows, not 50"),
        (
            15,
            "We have no Dockerfile: see train.dockerfile.",
            "'We have no Dockerfile', but the repository has dockerfiles/train.dockerfile",
        ),
        (15, "We have images.", "it links to no Dockerfile; the repository has dockerfiles/train.dockerfile"),
        (5, "See [it](../src/main.py).", "the link to ../src/main.py leads nowhere in the repository"),
        (
            5,
            "See [it](https://github.com/a/b/tree/main/docs).",
            "the link to https://github.com/a/b/tree/main/docs leads nowhere in the repository",
        ),
        (5, "`src/main.py` trains.", "src/main.py is not in the repository"),
    ],
)
def test_false_statement_is_named(repository, number, text, problem):
    assert false(repository, number, text) == [problem]


def test_ignored_file_is_not_in_the_repository(repository):
    (repository / ".gitignore").write_text("/src/\n")
    assert false(repository, 5, "`src/app.py` trains.") == ["src/app.py is not in the repository"]


def test_repository_without_git_counts_its_files(repository):
    subprocess.run(["rm", "-r", repository / ".git"], check=True)
    assert false(repository, 11, "two workflows") == []


@pytest.mark.parametrize("text", ["# nothing\n", "RUN make\n"])
def test_dockerfile_without_a_base_is_named(repository, text):
    (repository / "dockerfiles/train.dockerfile").write_text(text)
    assert false(repository, 15, "train.dockerfile") == ["dockerfiles/train.dockerfile has no FROM"]


def test_repository_without_parts_is_named(tmp_path):
    (tmp_path / "reports").mkdir()
    assert false(tmp_path, 8, "It is 90 %.") == [
        "no measured coverage to compare with: run the tests with coverage, then `coverage json`"
    ]
    assert false(tmp_path, 11, "It runs.") == ["the repository has no workflow in .github/workflows"]
    assert false(tmp_path, 15, "It runs.") == ["the repository has no Dockerfile and no *.dockerfile"]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("coverage.json", "{}", None),
        ("coverage.json", "broken", None),
        ("coverage.xml", '<coverage line-rate="0.905"/>', 90.5),
        ("coverage.xml", "<coverage", None),
    ],
)
def test_reads_each_kind_of_measurement(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text)
    assert strict.measured_coverage(tmp_path) == expected


def test_measurement_of_coverage_itself_is_read(tmp_path):
    (tmp_path / "half.py").write_text("import sys\nif len(sys.argv) > 5:\n    print(1)\n    print(2)\n")
    subprocess.run([sys.executable, "-m", "coverage", "run", "--include=half.py", "half.py"], cwd=tmp_path, check=True)
    assert strict.measured_coverage(tmp_path) == 50.0


def test_own_statements_hold_except_the_coverage_that_a_run_measures(monkeypatch):
    monkeypatch.setattr(strict, "measured_coverage", lambda root: 90.0)
    monkeypatch.setattr(strict, "collect", lambda root: 5_150)  # `make report` collects them, which takes long
    report = module("report")
    answers = report.parse((REPOSITORY / "reports/README.md").read_text(encoding="utf-8"))
    plain = {answer.number: report.FENCE.sub(" ", answer.shown) for answer in answers}
    assert list(strict.false_statements(plain, REPOSITORY / "reports")) == []
