"""Builds and other commands in one checkout, as real processes: none reads a record that another one shortens."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from bitbloom.cli import build as cli
from bitbloom.pipeline import build, graph, recovery
from bitbloom.pipeline.tracking import follower as tracking
from support import checkouts
from support.tiny import REPOSITORY

NAME, OTHER = "petals-tiny", "tweets-tiny"
LOCK = graph.lock(NAME)
HOLDER = f"""
import sys
from pathlib import Path
from bitbloom.pipeline import build
lock = Path({str(LOCK)!r})
with build.build_lock():
    whole = lock.read_bytes()
    lock.unlink() if {{gone}} else lock.write_bytes(b"")
    print("shortened", flush=True)
    sys.stdin.readline()
    lock.write_bytes(whole)
"""
"""A build at the moment at which DVC has emptied a record, or recovery removed it."""
COPY = ("-c", f"from pathlib import Path; from bitbloom.pipeline.tracking import copies; copies.copy({NAME!r}, Path())")
READERS = {
    "build": ("-m", "bitbloom", "build", OTHER, "--until", "ingest"),
    "build of the same target": ("-m", "bitbloom", "build", NAME, "--until", "ingest"),
    "variant": ("-m", "bitbloom", "build", OTHER, "--until", "ingest", "source.seed=7"),
    "import": ("-m", "bitbloom", "import", "petals-folder", "mine"),
    "why": ("-m", "bitbloom", "why", "train", NAME),
    "graph": ("-m", "bitbloom", "graph"),
    "merge": ("-m", "bitbloom", "merge"),
    "tracking": COPY,
}


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A DVC repository with this project's code, configuration and generated files, without outputs."""
    for name in build.SHARED:
        (tmp_path / name).symlink_to(REPOSITORY / name)
    for name in ("params", "pipelines"):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    shutil.copyfile(REPOSITORY / "dvc.yaml", tmp_path / "dvc.yaml")
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    for label in ("rose", "tulip"):
        (tmp_path / "mine" / label).mkdir(parents=True)
        Image.new("RGB", (40, 40), "red").save(tmp_path / "mine" / label / "one.png")
    monkeypatch.chdir(tmp_path)
    for name, value in {"DVC_SITE_CACHE_DIR": str(tmp_path / "site"), "WORKERS": "1", "BITBLOOM_TRACK": "0"}.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def start(*arguments: str) -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, *arguments], text=True, **pipes)


@pytest.mark.parametrize("gone", [pytest.param(False, marks=pytest.mark.slow), True], ids=["empty", "gone"])
@pytest.mark.parametrize("reader", READERS)
def test_no_command_reads_a_shortened_record(repository, reader, gone):
    before = LOCK.read_bytes()
    holder = start("-c", HOLDER.format(gone=int(gone)))
    assert holder.stdout.readline() == "shortened\n"
    second = start(*READERS[reader])
    assert "another build is running in this checkout: waiting for it" in second.stderr.readline()
    assert holder.communicate("\n")[1] == ""
    assert second.communicate()[1].count("error") == 0
    assert (holder.returncode, second.returncode) == (0, 0)
    assert LOCK.read_bytes() == before or reader == "build of the same target"


@pytest.mark.parametrize(
    "command", [("build", NAME, "train.epoch=1"), ("build", "nothing"), ("build", NAME, "--until", "x"), ("build-all", "nothing")]
)
def test_wrong_words_are_an_error_before_the_wait(repository, command):
    with build.build_lock():
        done = subprocess.run([sys.executable, "-m", "bitbloom", *command], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")


def is_locked() -> bool:
    """Whether another process could not build now."""
    test = f"import fcntl; fcntl.flock(open({str(build.LOCK)!r}, 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    return subprocess.run([sys.executable, "-c", test], capture_output=True).returncode != 0


@pytest.mark.parametrize("command", [lambda: cli.build(NAME), lambda: cli.build_all([NAME, OTHER])], ids=["build", "build-all"])
def test_lock_covers_the_end_of_a_build(repository, monkeypatch, command):
    locked = []
    monkeypatch.setattr(build, "dvc_repro", lambda *_, **__: locked.append(is_locked()))
    monkeypatch.setattr(cli, "_finish", lambda *_, **__: locked.append(is_locked()))
    command()
    assert len(locked) >= 2
    assert all(locked)
    assert not is_locked()


def test_readers_do_not_wait_for_each_other(repository):
    build.STATE.mkdir()
    build.LOCK.touch()
    with build.LOCK.open() as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        done = subprocess.run([sys.executable, *COPY], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_reading_leaves_no_file_where_no_build_ran(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with build.reading():
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lock", [None, b"", b"stages: [", b"\xff", b"- a\n", b"<<<<<<< HEAD\n", b"stages: {train: 1}\n"])
@pytest.mark.parametrize("workspace", [Path(), Path("variant")])
def test_tracking_never_fails_a_build(tmp_path, monkeypatch, capsys, lock, workspace):
    monkeypatch.chdir(tmp_path)
    for name in ("CI", "BITBLOOM_TRACK"):
        monkeypatch.delenv(name, raising=False)
    metrics = workspace / "reports" / NAME / "metrics.json"
    metrics.parent.mkdir(parents=True)
    metrics.write_text("{}")
    if lock is not None:
        (workspace / LOCK).parent.mkdir(parents=True)
        (workspace / LOCK).write_bytes(lock)
    with tracking.following(NAME, workspace) as follower:
        follower.built()
    assert follower.process is None
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == (lock is not None)  # without a record there is nothing to log
    assert all(line.startswith("warning: W&B: ") for line in lines)


@pytest.mark.parametrize("error", [OSError("no memory"), RuntimeError(""), ValueError("one\ntwo")])
def test_tracking_that_cannot_start_is_one_line(monkeypatch, capsys, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(tracking, "is_unlogged", fail)
    with tracking.following(NAME, Path()) as follower:
        follower.built()
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.slow
def test_builds_and_imports_side_by_side_all_succeed(tmp_path):
    folder = checkouts.checkout(tmp_path / "checkout")
    for label in ("rose", "tulip"):
        (folder / ".bitbloom/mine" / label).mkdir(parents=True)
        for number in range(3):
            Image.effect_noise((40, 40), 50 + number).save(folder / ".bitbloom/mine" / label / f"{number}.png")
    commands = [
        ("make", "all", f"TARGET={NAME}"),
        ("make", "validate", f"TARGET={OTHER}"),
        ("make", "data", "TARGET=petals-folder", "PHOTOS=.bitbloom/mine"),
        ("make", "evaluate", f"TARGET={NAME}"),
    ]
    with ThreadPoolExecutor(len(commands)) as pool:
        shown = list(pool.map(lambda command: checkouts.run(folder, *command), commands))
    assert all("built" in text for text in shown)
    assert checkouts.run(folder, "git", "diff", "--stat", "--", "pipelines", "digests", "params") == ""
    assert not (folder / recovery.BUILDING).exists()
    assert (folder / "data/external/petals-folder.dvc").exists()
