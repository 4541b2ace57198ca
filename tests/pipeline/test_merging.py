"""Merge conflicts in generated files, made by real merges of git: both sides stay, and `make merge` joins them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import build, claim, conflicts, graph, merging, recovery
from support import locks
from support.tiny import REPOSITORY

NAME = "petals-tiny"
LOCK, CLAIM = graph.lock(NAME), Path(f"digests/{NAME}.json")
WHOLE = locks.text(NAME)
DATA = Path("data/external/petals-folder.dvc")
GENERATED = [f"params/{NAME}.yaml", f"pipelines/{NAME}/dvc.yaml", "pipelines/petals-folder/dvc.yaml", "dvc.yaml"]
OUTPUTS = json.loads((REPOSITORY / CLAIM).read_text())


def git(*command: str, fails: bool = False) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert (done.returncode != 0) == fails, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """A repository with the configuration and all generated files, without code."""
    folder = tmp_path_factory.mktemp("merging")
    for name in ("conf", "params", "pipelines", "digests", "expectations"):
        shutil.copytree(REPOSITORY / name, folder / name)
    canonical.write_text(folder / LOCK, WHOLE)
    for name in ("dvc.yaml", "weights.lock", ".gitattributes", ".gitignore"):
        shutil.copyfile(REPOSITORY / name, folder / name)
    for name in ("src", "bentos", "requirements.lock"):
        (folder / name).symlink_to(REPOSITORY / name)
    canonical.write_text(folder / DATA, "outs:\n- md5: 0\n")
    subprocess.run(["git", "init", "-qb", "main"], cwd=folder, check=True)
    subprocess.run(["git", "add", "."], cwd=folder, check=True)
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "start"], cwd=folder, check=True)
    return folder


@pytest.fixture
def repository(pristine, tmp_path, monkeypatch):
    folder = tmp_path / "repository"
    shutil.copytree(pristine, folder, symlinks=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def text_merge(repository):
    """The repository before it had attributes: git merges line by line and writes markers."""
    git("rm", "-q", ".gitattributes")
    git("commit", "-qm", "text")


def commit(branch: str, files: dict[str, str | None]) -> None:
    """Commit files to a branch, which starts at `main`."""
    git("checkout", "-q", "-B", branch, "main")
    for name, text in files.items():
        Path(name).unlink() if text is None else canonical.write_text(Path(name), text)
    git("add", "-A")
    git("commit", "-qm", branch)


def merge(ours: dict[str, str | None], theirs: dict[str, str | None], how: str = "merge") -> None:
    """A real merge that ends in conflicts."""
    commit("theirs", theirs)
    commit("ours", ours)
    if how == "stash":
        git("reset", "-q", "--soft", "HEAD^")
        git("stash")
        git("checkout", "-q", "theirs")
        git("stash", "pop", fails=True)
    else:
        git(
            *(["merge", "theirs"] if how == "merge" else ["rebase", "theirs"] if how == "rebase" else [how, "theirs"]), fails=True
        )


def changed(lock: str, *stages: str, mark: str) -> str:
    """A lock whose records of these stages have other outputs."""
    entries = re.split(r"^(?=  \S)", lock, flags=re.MULTILINE)
    return "".join(
        re.sub(r"(outs:\n.*?md5: )\S+", rf"\g<1>{mark * 32}", entry, count=1, flags=re.DOTALL)
        if entry.partition(":")[0].strip() in stages
        else entry
        for entry in entries
    )


def claimed(**digests: str) -> str:
    """A claim with other digests of these outputs."""
    return canonical.json_text(
        OUTPUTS | {f"data/{name}/{NAME}": {"bytes": 1, "sha256": value} for name, value in digests.items()}
    )


OURS, THEIRS = changed(WHOLE, "ingest", "validate", mark="a"), changed(WHOLE, "train", "package", mark="b")
BOTH = changed(OURS, "train", "package", mark="b")
CONFLICT = changed(WHOLE, "train", mark="a")
HOWS = ["merge", "rebase", "cherry-pick", "stash"]


@pytest.mark.parametrize("how", HOWS)
def test_joins_locks_by_stage_where_only_one_side_changed(repository, how):
    merge({str(LOCK): OURS}, {str(LOCK): THEIRS}, how)
    with pytest.raises(BitBloomError, match=rf"{LOCK}: merge conflict: `make merge`"):
        conflicts.require_none()
    assert merging.resolve() == [f"{LOCK}: joined"]
    assert LOCK.read_text() == BOTH
    assert "U" not in git("status", "--porcelain")[:2]
    conflicts.require_none()


def test_git_never_merges_a_lock_by_lines(repository):
    inputs = re.sub(r"(md5: )\S+", rf"\g<1>{'a' * 32}", WHOLE, count=1)
    outputs = changed(WHOLE, "ingest", mark="b")
    merge({str(LOCK): inputs}, {str(LOCK): outputs})
    assert LOCK.read_text() == inputs
    with pytest.raises(BitBloomError, match="both sides changed ingest"):
        merging.resolve()


@pytest.mark.parametrize(("side", "kept"), [("ours", CONFLICT), ("theirs", THEIRS)])
def test_user_chooses_where_both_sides_changed_a_stage(repository, side, kept):
    merge({str(LOCK): CONFLICT}, {str(LOCK): THEIRS})
    before = LOCK.read_bytes()
    with pytest.raises(
        BitBloomError, match=rf"{LOCK}: both sides changed train: .*make merge SIDE=ours, or make merge SIDE=theirs"
    ):
        merging.resolve()
    assert LOCK.read_bytes() == before
    merging.resolve(side)
    assert changed(LOCK.read_text(), "package", mark="b") == changed(kept, "package", mark="b")
    git("commit", "-qm", "merged")


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "joined", "both"),
    [
        ({"a": "1"}, {"a": "1"}, {"a": "2"}, {"a": "2"}, []),
        ({"a": "1"}, {"a": "2"}, {"a": "1"}, {"a": "2"}, []),
        ({"a": "1"}, {"a": "2"}, {"a": "2"}, {"a": "2"}, []),
        ({"a": "1"}, {"a": "2"}, {"a": "3"}, {}, ["a"]),
        ({"a": "1"}, {}, {"a": "1"}, {}, []),
        ({"a": "1"}, {"a": "1"}, {}, {}, []),
        ({"a": "1"}, {}, {"a": "2"}, {}, ["a"]),
        ({}, {"a": "1"}, {"b": "1"}, {"a": "1", "b": "1"}, []),
        ({}, {"a": "1"}, {"a": "2"}, {}, ["a"]),
        (None, {"a": "1"}, {"b": "1"}, {"a": "1", "b": "1"}, []),
        (None, {"a": "1"}, {"a": "2"}, {}, ["a"]),
        (None, {"a": "1"}, {"a": "1"}, {"a": "1"}, []),
    ],
)
def test_joins_parts(base, ours, theirs, joined, both):
    assert merging.join(base, ours, theirs, None) == (joined, both)
    assert merging.join(base, ours, theirs, "ours")[0] == joined | {name: ours[name] for name in both if name in ours}
    assert merging.join(base, ours, theirs, "theirs")[0] == joined | {name: theirs[name] for name in both if name in theirs}


@pytest.mark.parametrize("staged", [None, "added", "committed"])
@pytest.mark.parametrize("style", ["merge", "diff3"])
def test_joins_locks_with_markers(repository, text_merge, staged, style):
    git("checkout", "-qB", "main")
    git("config", "merge.conflictStyle", style)
    beside = changed(WHOLE, "train", mark="c")
    merge({str(LOCK): changed(OURS, "train", mark="a")}, {str(LOCK): changed(THEIRS, "train", mark="c")})
    assert "<<<<<<< " in LOCK.read_text()
    if staged:
        git("add", "-A")
    if staged == "committed":
        git("commit", "-qm", "markers")
    with pytest.raises(BitBloomError, match=rf"{LOCK}:\d+: merge conflict: `make merge`"):
        build.build(NAME, "ingest")
    assert "<<<<<<< " in LOCK.read_text()
    merging.resolve("theirs")
    assert LOCK.read_text() == changed(changed(BOTH, "train", mark="c"), "package", mark="b")
    assert changed(beside, "ingest", "validate", mark="a") != beside


def test_joins_markers_without_git(repository):
    shutil.rmtree(".git")
    less = WHOLE[: WHOLE.index("  package:")]
    LOCK.write_text(f"<<<<<<< HEAD\n{WHOLE}=======\n{less}>>>>>>> other\n")
    merging.resolve()
    assert LOCK.read_text() == WHOLE


def test_drops_records_that_a_text_merge_mixed(repository):
    """Neither side has the record, so the stage never ran so."""
    mixed = changed(WHOLE, "train", mark="d")
    head, tail = mixed[: mixed.index("  package:")], mixed[mixed.index("  package:") :]
    LOCK.write_text(f"{head}<<<<<<< x\n{tail}=======\n>>>>>>> y\n")
    merging.resolve("ours")
    stages = re.findall(r"^  (\w+):", LOCK.read_text(), re.MULTILINE)
    assert "train" not in stages
    assert {"ingest", "package"} <= set(stages)


@pytest.mark.parametrize("lone", ["<<<<<<< HEAD", "=======", ">>>>>>> theirs"])
def test_names_line_of_a_lone_marker_and_keeps_the_file(repository, lone):
    damaged = WHOLE.replace("  train:\n", f"{lone}\n  train:\n")
    LOCK.write_text(damaged)
    for action in (conflicts.require_none, lambda: recovery.recover(Path(), [NAME]), merging.resolve):
        with pytest.raises(BitBloomError, match=rf"{LOCK}.* conflict"):
            action()
    assert LOCK.read_text() == damaged


def test_generates_files_anew(repository):
    right = {path: Path(path).read_text() for path in GENERATED}
    merge(*({path: f"{text}a: {number}\n" for path, text in right.items()} for number in range(2)))
    conflicts.require_none()
    assert merging.resolve() == [f"{path}: generated anew" for path in sorted(GENERATED)]
    assert {path: Path(path).read_text() for path in GENERATED} == right
    git("commit", "-qm", "merged")


def test_build_generates_files_with_markers_anew(repository, monkeypatch):
    right = {path: Path(path).read_text() for path in GENERATED}
    for path, text in right.items():
        Path(path).write_text(f"<<<<<<< HEAD\n{text}=======\n>>>>>>> theirs\n")
    monkeypatch.setattr(build, "dvc_repro", lambda *_, **__: None)
    build.build(NAME, "ingest")
    assert {path: Path(path).read_text() for path in GENERATED} == right


def test_joins_digests_by_output(repository):
    merge({str(CLAIM): claimed(raw="a")}, {str(CLAIM): claimed(processed="b")})
    conflicts.require_none()  # a build writes them
    merging.resolve()
    assert CLAIM.read_text() == claimed(raw="a", processed="b")


def test_digests_with_markers_are_one_line(repository):
    CLAIM.write_text(f"<<<<<<< HEAD\n{claimed(raw='a')}=======\n{claimed(raw='b')}>>>>>>> theirs\n")
    with pytest.raises(BitBloomError, match=rf"^{CLAIM}:1: merge conflict: `make merge`"):
        claim.read(NAME)
    merging.resolve("theirs")
    assert claim.read(NAME)[f"data/raw/{NAME}"]["sha256"] == "b"


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_user_chooses_imported_data(repository, side):
    merge({str(DATA): "ours\n"}, {str(DATA): "theirs\n"})
    with pytest.raises(BitBloomError, match=f"{DATA}"):
        conflicts.require_none()
    merging.resolve(side)
    assert DATA.read_text() == f"{side}\n"


@pytest.mark.parametrize("deleted", ["ours", "theirs"])
@pytest.mark.parametrize("target", [NAME, "gone"])
def test_keeps_record_deleted_on_one_side_if_its_target_exists(repository, deleted, target):
    lock = str(graph.lock(target))
    if target == "gone":
        canonical.write_text(Path(lock), WHOLE)
        git("add", "-A")
        git("commit", "-qm", "gone")
    sides = {lock: None}, {lock: THEIRS}
    merge(*(sides if deleted == "ours" else sides[::-1]))
    merging.resolve()
    assert Path(lock).exists() == (target == NAME)
    git("commit", "-qm", "merged")


@pytest.mark.parametrize("path", ["conf/petals-tiny.yaml", "conf/train/scratch.yaml", "expectations/petals.json", "weights.lock"])
@pytest.mark.parametrize("action", [conflicts.require_none, merging.resolve])
def test_names_file_and_line_of_conflicts_for_people(repository, path, action):
    right = Path(path).read_text()
    Path(path).write_text(f"{right}<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> theirs\n")
    with pytest.raises(BitBloomError, match=rf"^{path}:{right.count(chr(10)) + 1}: merge conflict: edit this file"):
        action()


def test_names_code_with_conflicts_before_a_build(repository):
    Path("src").unlink()  # a link to the code of this checkout
    canonical.write_text(Path("src/bitbloom/stages/train.py"), "import os\n<<<<<<< HEAD\nimport io\n=======\n>>>>>>> theirs\n")
    with pytest.raises(BitBloomError, match=r"^src/bitbloom/stages/train\.py:2: merge conflict: edit this file"):
        conflicts.require_none()


@pytest.mark.parametrize("module", ["cli/__init__.py", "core/git.py"])
def test_command_names_its_own_code_with_conflicts(tmp_path, module):
    shutil.copytree(REPOSITORY / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    file = tmp_path / "src/bitbloom" / module
    file.write_text(f"import os\n<<<<<<< HEAD\nimport io\n=======\n>>>>>>> theirs\n{file.read_text()}")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "src")}
    command = [sys.executable, "-m", "bitbloom", "why", "train", NAME]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"error: {file}:2: merge conflict: edit this file, then git add it\n"


def test_rejects_unknown_side(repository):
    with pytest.raises(BitBloomError, match="SIDE=mine: it is ours or theirs"):
        merging.resolve("mine")


COMMANDS = {
    ("build", NAME): LOCK,
    ("build", "tweets-tiny"): LOCK,
    ("build-all", NAME): LOCK,
    ("why", "train", NAME): LOCK,
    ("verify", NAME): CLAIM,
    ("hermetic", NAME): CLAIM,
    ("import", "petals-folder", "."): LOCK,
    ("track", NAME): LOCK,
    ("config", NAME): Path(f"conf/{NAME}.yaml"),
}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_prints_one_line(repository, command):
    path = COMMANDS[command]
    path.write_text(f"<<<<<<< HEAD\n{path.read_text()}=======\n>>>>>>> theirs\n")
    done = subprocess.run([sys.executable, "-m", "bitbloom", *command], capture_output=True, text=True)
    [line] = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.startswith(f"error: {path}:1: merge conflict: ")
