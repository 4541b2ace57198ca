"""`make new`: the forms of a name, what is left out with a task, and a folder that appears whole or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripts.new_project import __main__ as new_project
from scripts.new_project import attribution, leave_out, pages, rename, slices
from scripts.new_project.names import OLD, Names, Refused, require_valid

from support.tiny import REPOSITORY

NEW = Names.of("my_project")
OURS = (OLD.package, OLD.title, OLD.upper)
"""The forms in texts. They are not written out, because a test of this file may name neither project."""
PIECES = st.sampled_from([*OURS, " ", ".", "-", "/", "_", "src/", "petals", "import ", "\n", "é", "`", "Error", "@"])
WORDS = st.text("abcdé`.", min_size=1, max_size=14)


def gone(*tasks: str) -> leave_out.Gone:
    """What is left out when these tasks are."""
    return leave_out.plan(REPOSITORY, sorted(set(leave_out.targets(REPOSITORY).values()) - set(tasks)))


@given(st.lists(PIECES, max_size=30).map("".join))
def test_no_text_keeps_the_old_name(text):
    found = rename.renamed(text, NEW)
    assert OLD.package not in found.lower()
    assert found.count("\n") == text.count("\n")


@given(st.text())
def test_other_texts_stay(text):
    if OLD.package not in text.lower():
        assert rename.renamed(text, NEW) == text


@given(st.lists(PIECES, max_size=30).map("".join))
def test_a_name_of_one_word_has_one_lower_case_form(text):
    assert rename.renamed(text, Names("meadow", "Meadow", "Meadow")).lower() == text.lower().replace(OLD.package, "meadow")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from {0}.core import x", "from my_project.core import x"),
        ("src/{0}/training/loop.py", "src/my_project/training/loop.py"),
        (".{0}/stamps", ".my_project/stamps"),
        ("{2}_TOKEN", "MY_PROJECT_TOKEN"),
        ("raise {1}Error(x)", "raise MyProjectError(x)"),
        ("{1}.Pages = NO", "MyProject.Pages = NO"),
        ("{1} reads. It writes {1}.", "My Project reads. It writes My Project."),
        ("{0}_predictions_total", "my_project_predictions_total"),
        ("name: {0}-${{TARGET}}", "name: my-project-${{TARGET}}"),
        ("IMAGE ?= {0}/$(TARGET)", "IMAGE ?= my-project/$(TARGET)"),
        ("{0}@a-project.example", "my-project@a-project.example"),
        ("urn:{0}:build:v1", "urn:my-project:build:v1"),
        ("export NAMESPACE={0} IMAGE=…", "export NAMESPACE=my-project IMAGE=…"),
    ],
)
def test_each_form_becomes_its_own(before, after):
    assert rename.renamed(before.format(*OURS), NEW) == after.format(*OURS)


def test_paths_are_renamed():
    assert (
        rename.renamed_path(PurePosixPath(f"src/{OLD.package}/cli/__init__.py"), NEW).as_posix()
        == "src/my_project/cli/__init__.py"
    )
    assert rename.renamed_path(PurePosixPath(f"styles/{OLD.title}/Terms.yml"), NEW).as_posix() == "styles/MyProject/Terms.yml"


@given(st.lists(WORDS, min_size=1, max_size=60), st.sampled_from(["", "- ", "  "]))
def test_broken_lines_fit_and_keep_their_words(words, start):
    text = start + " ".join(words)
    found = rename.broken(text, ".md")
    assert found.split() == text.split()
    assert all(len(line) <= rename.MARKDOWN_WIDTH or "`" in line for line in found.splitlines())


def test_comments_and_docstrings_are_broken_and_code_is_not():
    code = f'def f():\n    """{"word " * 40}"""\n    # {"word " * 40}\n    return "{"word " * 40}"\n'
    lines = rename.broken(code, ".py").splitlines()
    assert [len(line) > rename.CODE_WIDTH for line in lines].count(True) == 1
    assert all(line.startswith("    # ") for line in lines if "#" in line)
    compile("\n".join(lines), "code", "exec")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "^NAME is missing"),
        ("My Project", "NAME=my_project$"),
        ("_x", "begins with a letter"),
        ("a__b", "single underscores"),
        ("class", "a keyword"),
        ("json", "standard library"),
        ("great_expectations", "a locked package"),
        ("onnxscript", "a locked package"),
        ("sklearn", "an installed package"),
        ("benchmarks", "a folder of this repository"),
        ("support", "a folder of this repository"),
        ("python3", "a program of this machine"),
        ("sh", "a program of this machine"),
        ("env", "a program of this machine"),
        ("petals", "a task or a target"),
        ("tweets", "a task or a target"),
        ("a" * 31, "at most 30"),
        ("my_" + OLD.package, "contains the name"),
    ],
)
def test_refuses_a_name_that_cannot_be_imported(name, says):
    with pytest.raises(Refused, match=says):
        require_valid(name, REPOSITORY)


@pytest.mark.parametrize("name", ["my_project", "meadow", "a2", "flowers_of_2027"])
def test_takes_a_name(name, monkeypatch):
    made = []
    monkeypatch.setattr(sys, "argv", ["new", name])
    monkeypatch.setattr(new_project, "create", lambda root, folder, names, _: made.append((folder.name, names.package)))
    assert new_project.main() == 0
    assert made == [(name, name)]


def test_a_relative_folder_may_be_beside_the_checkout(tmp_path, monkeypatch):
    made = []
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setattr(sys, "argv", ["new", NEW.package, "--folder", "../x"])
    monkeypatch.setattr(new_project, "create", lambda root, folder, *_: made.append(folder))
    assert new_project.main() == 0
    assert made == [REPOSITORY.parent / "x"]


def test_refuses_changed_files_and_a_folder_without_git(tmp_path):
    with pytest.raises(Refused, match=r"^git status in \S+: fatal: not a git repository"):
        new_project.clean_commit(tmp_path)
    (tmp_path / "a").write_text("1")
    for command in (["init", "-q"], ["add", "a"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "t"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    (tmp_path / "untracked").touch()
    assert len(new_project.clean_commit(tmp_path)) == 40
    (tmp_path / "a").write_text("2")
    with pytest.raises(Refused, match=r"^a has uncommitted changes"):
        new_project.clean_commit(tmp_path)


def test_refuses_unknown_task_and_a_folder_that_is_taken(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").touch()
    for folder, tasks, says in (
        (tmp_path / "mine", [], "not empty"),
        (tmp_path / "x", ["pettals"], "no such task"),
        (REPOSITORY / "x", [], "inside"),
    ):
        with pytest.raises(Refused, match=says):
            new_project.create(REPOSITORY, folder, NEW, tasks)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("error", [Refused("no"), KeyboardInterrupt()])
def test_leaves_nothing_after_an_error(tmp_path, monkeypatch, error):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(new_project, "copy", lambda root, work: (work / "half").touch() or [])
    monkeypatch.setattr(new_project, "leave", fail)
    monkeypatch.setattr(new_project, "clean_commit", lambda root: "c" * 40)
    with pytest.raises(type(error)):
        new_project.create(REPOSITORY, tmp_path / "mine", NEW, [])
    assert list(tmp_path.iterdir()) == []


def test_wrong_name_is_one_line():
    done = subprocess.run([sys.executable, "-m", "scripts.new_project", "class"], cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: NAME=class is the name of a keyword of Python: choose another one\n"


def test_without_tasks_everything_of_theirs_is_left_out():
    left = gone("tweets", "captions")
    assert left.tasks == {"tweets", "captions"}
    assert not any(target.startswith("petals") for target in left.targets)
    package = leave_out.PACKAGE
    away = (
        "bentos/tweets",
        f"{package}/data/sources/chatter",
        f"{package}/tasks/captions/model.py",
        "digests/tweets.json",
        "conf/model/minilm.yaml",
    )
    assert all(left.has(path) for path in away)
    kept = (
        f"{package}/data/sources/garden",
        "conf/train/scratch.yaml",
        "conf/model/cnn.yaml",
        f"{package}/config/models/caption.py",
    )
    assert not any(left.has(path) for path in kept)


def test_all_tasks_stay_by_default():
    left = leave_out.plan(REPOSITORY, [])
    assert (left.tasks, left.targets) == (set(), set())


TESTS = '''"""Tests."""

import pytest

from {0} import tasks
from {0}.tasks.tweets import samples
from support.tools import keep, lose

NAMES = ["petals", "tweets"]
OTHER = "tweets-tiny"
"""It documents OTHER."""


def helper():
    return keep()


# About the next test.
@pytest.mark.parametrize("name", NAMES)
def test_each(name):
    assert name


@pytest.mark.parametrize(("task", "kind"), [("petals", "image"), ("tweets", "text")])
def test_cases(task, kind):
    """The word tweets in a docstring does not count."""
    assert task


def test_with_a_helper():
    assert helper() and tasks.model("captions")


def test_lost():
    assert lose() or samples


def test_other():
    assert OTHER
'''


def test_a_test_that_names_what_is_left_out_is_left_out(tmp_path):
    tools = 'def keep():\n    return 1\n\n\ndef lose():\n    return "conf/tweets.yaml"\n'
    (tmp_path / "tests/support").mkdir(parents=True)
    (tmp_path / "tests/support/tools.py").write_text(tools)
    (tmp_path / "tests/test_a.py").write_text(TESTS.format(OLD.package))
    (tmp_path / "tests/test_b.py").write_text('def test_b():\n    assert "captions"\n')
    names = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.py")]
    assert slices.slice_tests(tmp_path, names, gone("tweets", "captions")) == ["tests/test_b.py"]
    found = (tmp_path / "tests/test_a.py").read_text()
    assert 'NAMES = ["petals"]' in found
    assert '[("petals", "image")]' in found
    assert [line for line in found.splitlines() if line.startswith("def ")] == [
        "def test_each(name):",
        "def test_cases(task, kind):",
    ]
    assert not any(word in found for word in ("lose", "samples", "OTHER", "helper", "tweets-tiny"))
    assert "# About the next test." in found
    assert "def lose" not in (tmp_path / "tests/support/tools.py").read_text()


PAGE = """# Page

The targets `petals`, `tweets` and `captions` exist. `tweets` reads texts. All are fast.

- `petals` stays.
- See [tweets](other.md#about-tweets).

| target | F1 |
| --- | --- |
| `petals` | 0.9<!-- petals f1 --> |
| `tweets` | 0.8<!-- tweets f1 --> |
| | its second row |
| all | 0.7 with `petals`, also with `TARGET=tweets-tiny` |

```sh
make all TARGET=petals
make all TARGET=tweets-tiny    # texts
```

## About tweets

Gone with its heading.

## Rest

This stays.
"""


def test_pages_lose_rows_items_lines_sentences_and_sections(tmp_path):
    (tmp_path / "page.md").write_text(PAGE)
    (tmp_path / "other.md").write_text("# Other\n\n## About tweets\n\nGone.\n\n## More\n\nStays.\n")
    pages.trim_pages(tmp_path, ["page.md", "other.md"], gone("tweets", "captions"))
    found = (tmp_path / "page.md").read_text()
    assert "The targets `petals` exist. All are fast." in found
    assert "| all | 0.7 with `petals` |" in found
    assert not any(word in found for word in ("tweets", "its second row", "Gone"))
    assert all(word in found for word in ("`petals` stays", "make all TARGET=petals\n```", "## Rest\n\nThis stays."))
    assert (tmp_path / "other.md").read_text() == "# Other\n\n## More\n\nStays.\n"


def test_pages_stay_when_no_task_is_left_out(tmp_path):
    (tmp_path / "page.md").write_text(PAGE)
    pages.trim_pages(tmp_path, ["page.md"], leave_out.Gone())
    assert (tmp_path / "page.md").read_text() == PAGE


def test_origin_stays_in_the_notice(tmp_path):
    for name in attribution.FILES:
        (tmp_path / name).write_text((REPOSITORY / name).read_text(encoding="utf-8"))
    attribution.mark(tmp_path)
    rename.rename_files(tmp_path, map(PurePosixPath, attribution.FILES), NEW)
    attribution.state(tmp_path, NEW, "0123abc")
    notice = (tmp_path / "NOTICE").read_text()
    assert notice.startswith("My Project\nCopyright 2026 the My Project authors\n\nMy Project derives from ")
    assert f"{OLD.title}, Copyright 2026 the {OLD.title} authors" in notice
    assert all("0123abc" in (tmp_path / name).read_text() for name in ("NOTICE", "CITATION.cff"))


def test_digests_that_the_name_changes_are_forgotten(tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps({"dist/mine.bento": {}, "models/mine/a": {"bytes": 1}}))
    leave_out.forget(tmp_path, ["mine.json"], new_project.UNKNOWN)
    assert json.loads((tmp_path / "mine.json").read_text()) == {"models/mine/a": {"bytes": 1}}
