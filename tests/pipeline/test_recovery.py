"""Recovery from a killed build, and from a change of code during a build."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import build, graph, recovery
from bitbloom.stages import STAGES
from support import locks

NAME, OTHER, THIRD = "petals-tiny", "petals", "petals-folder"
LOCK = graph.lock(NAME)
WHOLE = locks.text(NAME)
"""A lock in DVC's format with every stage of the target."""
HEAD, *ENTRIES = re.split(r"^(?=  \S)", WHOLE, flags=re.MULTILINE)
LESS = HEAD + "".join(ENTRIES[:2])
PORTABLE = OmegaConf.create({"numerics": {"profile": "portable"}})


def lay(folder: Path, lock: str | None, copy: str | None = None, target: str = NAME, killed: bool = False) -> Path:
    """A workspace with this lock and copy, if given, after a killed build of the target or after none."""
    for path, text in ((graph.lock(target), lock), (recovery.COMPLETE / f"{target}.lock", copy)):
        if text is not None:
            canonical.write_text(folder / path, text)
    if killed:
        canonical.write_json(folder / recovery.BUILDING, {"code": {}, "targets": [target]})
    return folder


def lock_in(folder: Path, target: str = NAME) -> str | None:
    lock = folder / graph.lock(target)
    return lock.read_text() if lock.exists() else None


@given(cut=st.integers(0, len(WHOLE)), kept=st.integers(0, len(ENTRIES)))
def test_restores_lock_truncated_at_any_byte(cut, kept):
    copy = HEAD + "".join(ENTRIES[:kept]) if kept else None
    with tempfile.TemporaryDirectory() as folder:
        lay(Path(folder), WHOLE[:cut], copy, killed=True)
        recovery.recover(Path(folder), [NAME])
        assert lock_in(Path(folder)) == copy
        assert not (Path(folder) / recovery.BUILDING).exists()


@pytest.mark.parametrize(
    "left",
    ["", "- a\n- b\n", "\x00\x01", HEAD, *(WHOLE[: WHOLE.index(word)] for word in (" python", "md5:", " hash", "outs", ".dir"))],
)
def test_restores_truncated_lock_without_a_mark(tmp_path, capsys, left):
    lay(tmp_path, left, WHOLE)
    recovery.recover(tmp_path, [NAME])
    assert lock_in(tmp_path) == WHOLE
    assert f"restored the last complete copy of {tmp_path / LOCK}\n" in capsys.readouterr().err


def test_restores_lock_deleted_by_a_kill(tmp_path):
    lay(tmp_path, None, WHOLE, killed=True)
    recovery.recover(tmp_path, [NAME])
    assert lock_in(tmp_path) == WHOLE


def test_keeps_shorter_lock_when_no_build_was_killed(tmp_path):
    lay(tmp_path, LESS, WHOLE)
    recovery.recover(tmp_path, [NAME])
    assert lock_in(tmp_path) == LESS


@pytest.mark.parametrize("copy", [None, WHOLE])
@pytest.mark.parametrize("killed", [False, True])
def test_rejects_lock_with_merge_conflicts_and_keeps_it(tmp_path, copy, killed):
    merged = f"<<<<<<< HEAD\n{WHOLE}=======\n{LESS}>>>>>>> other\n"
    lay(tmp_path, merged, copy, killed=killed)
    with pytest.raises(BitBloomError, match=r"dvc.lock has merge conflicts: resolve them"):
        recovery.recover(tmp_path, [NAME])
    assert lock_in(tmp_path) == merged


def test_restores_committed_lock_when_no_copy_exists(tmp_path, monkeypatch):
    commit(lay(tmp_path, WHOLE))
    lay(tmp_path, WHOLE[:2000])
    monkeypatch.chdir(tmp_path)
    recovery.recover(Path(), [NAME])
    assert lock_in(tmp_path) == WHOLE


def test_any_build_recovers_a_killed_variant(checkout):
    variant = recovery.STATE / "variants/petals-tiny-0"
    canonical.write_json(variant / recovery.BUILDING, {"code": recovery.code(["src"]), "targets": [NAME]})
    cache_run(Path(), "of the variant")
    Path("src/a.py").write_text("changed meanwhile")
    recovery.recover(Path(), [OTHER])
    assert cached_runs(Path()) == ["earlier"]


def test_deletes_broken_lock_without_copy_or_commit(tmp_path):
    lay(tmp_path, "stages: [")
    recovery.recover(tmp_path, [NAME])
    assert lock_in(tmp_path) is None


@pytest.mark.parametrize("lock", [None, WHOLE])
@pytest.mark.parametrize("killed", [False, True])
def test_keeps_healthy_workspace(tmp_path, capsys, lock, killed):
    lay(tmp_path, lock, lock, killed=killed)
    recovery.recover(tmp_path, [NAME])
    assert lock_in(tmp_path) == lock
    assert capsys.readouterr().err == ""


def test_clears_dvc_locks_of_dead_processes(tmp_path):
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    for name in ("rwlock", "rwlock.lock", "lock", "something else"):
        (tmp_path / ".dvc/tmp" / name).write_text('{"data/raw": {"write": {"pid": 999999, "cmd": "dvc repro"}}}')
    recovery.recover(tmp_path, [NAME])
    assert [path.name for path in (tmp_path / ".dvc/tmp").iterdir()] == ["something else"]


def commit(folder: Path) -> None:
    """Make a git repository with all files committed."""
    for command in (["init", "-q"], ["add", "pipelines"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=folder, check=True)


def test_keeps_lock_checked_out_after_a_kill(tmp_path, monkeypatch):
    commit(lay(tmp_path, WHOLE, LESS, killed=True))
    monkeypatch.chdir(tmp_path)
    recovery.recover(Path(), [NAME])
    assert lock_in(tmp_path) == WHOLE


def test_recovers_only_the_killed_target(tmp_path):
    lay(tmp_path, WHOLE[:2000], WHOLE, killed=True)
    lay(tmp_path, LESS, None, OTHER)
    third = lay(tmp_path, "cut of", WHOLE, THIRD)
    recovery.recover(tmp_path, [OTHER])
    assert [lock_in(tmp_path, name) for name in (NAME, OTHER)] == [WHOLE, LESS]
    assert lock_in(third, THIRD) == "cut of"


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with a source file, locks of two targets, and an entry in DVC's run-cache."""
    canonical.write_text(tmp_path / "src/a.py", "a")
    for target in (NAME, OTHER):
        lay(tmp_path, LESS, target=target)
    cache_run(tmp_path, "earlier")
    os.utime(tmp_path / ".dvc/cache/runs/ea/earlier/note", (1, 1))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cache_run(folder: Path, run: str) -> None:
    """Add a run to DVC's run-cache."""
    canonical.write_text(folder / ".dvc/cache/runs" / run[:2] / run / "note", "")


def cached_runs(folder: Path) -> list[str]:
    """The runs that have a folder. DVC fails on one without a note: "join() argument must be str"."""
    return sorted(path.name for path in (folder / ".dvc/cache/runs").glob("*/*"))


def record(lock: str = WHOLE, run: str = "new") -> None:
    """Act like DVC: cache the run, then write the lock in place."""
    cache_run(Path(), run)
    LOCK.write_text(lock)


def test_code_change_during_a_build_fails_and_records_nothing(checkout, monkeypatch):
    def dvc(*_, **__):
        Path("src/a.py").write_text("b")
        record()

    monkeypatch.setattr(build, "dvc_repro", dvc)
    with pytest.raises(BitBloomError, match=r"src/a\.py changed while the build ran"):
        build.repro(Path(), NAME, ["ingest"], PORTABLE, ["src"])
    assert [lock_in(checkout, name) for name in (NAME, OTHER)] == [LESS, LESS]
    assert cached_runs(checkout) == ["earlier"]
    assert not recovery.BUILDING.exists()


def test_code_change_during_a_failing_build_records_nothing(checkout):
    with pytest.raises(BitBloomError, match=r"src/a\.py changed"), recovery.guarded(Path(), ["src"], [NAME]):
        Path("src/a.py").write_text("b")
        record()
        raise BitBloomError("a stage failed")
    assert lock_in(checkout) == LESS


class Dead(BaseException):
    """Simulates a kill: no later statement runs."""


@pytest.mark.parametrize("edited", [False, True])
def test_forgets_cached_runs_when_code_changed_after_a_kill(checkout, edited):
    with pytest.raises(Dead), recovery.guarded(Path(), ["src"], [NAME]):
        record()
        raise Dead
    if edited:
        Path("src/a.py").write_text("b")
    recovery.recover(Path(), [NAME])
    assert cached_runs(checkout) == (["earlier"] if edited else ["earlier", "new"])


def test_recovers_from_a_kill_at_any_write(checkout, monkeypatch):
    written, shuffled = canonical.write_bytes, HEAD + "".join(reversed(ENTRIES))
    for survived in itertools.count():
        left = iter(range(survived))

        def write(path, data, left=left):
            if next(left, None) is None:
                raise Dead
            written(path, data)

        LOCK.write_text(LESS)
        try:
            with monkeypatch.context() as patch:
                patch.setattr(canonical, "write_bytes", write)
                with recovery.guarded(Path(), ["src"], [NAME]):
                    record(shuffled)
        except Dead:
            recovery.recover(Path(), [NAME])
            assert lock_in(checkout) in (LESS, WHOLE)
        else:
            break
        with recovery.guarded(Path(), ["src"], [NAME]):
            record(shuffled)
        assert lock_in(checkout) == WHOLE
    assert survived >= 3  # the copy before, the mark, the lock in order


@given(st.permutations(ENTRIES))
def test_records_stages_in_build_order(order):
    with tempfile.TemporaryDirectory() as folder:
        lay(Path(folder), LESS)
        with recovery.guarded(Path(folder), [], [NAME]):
            (Path(folder) / LOCK).write_text(HEAD + "".join(order))
        assert lock_in(Path(folder)) == WHOLE


def test_committed_lock_has_stages_in_build_order():
    names = [entry.partition(":")[0].strip() for entry in ENTRIES]
    assert names == [stage for stage in STAGES if stage in names]


def test_recovers_at_once_after_an_interrupt(checkout):
    with pytest.raises(KeyboardInterrupt), recovery.guarded(Path(), ["src"], [NAME]):
        record(WHOLE[:2000])
        raise KeyboardInterrupt
    assert lock_in(checkout) == LESS
    assert not recovery.BUILDING.exists()


def test_recovers_lock_after_dvc_was_killed(checkout, monkeypatch):
    (checkout / "half").write_text(WHOLE[:2000])
    (checkout / "dvc").write_text(f"#!/bin/sh\ncp half {LOCK}\nkill -9 $$\n")
    (checkout / "dvc").chmod(0o755)
    monkeypatch.setattr(build, "environ", lambda _: {"PATH": f"{checkout}:{os.environ['PATH']}"})
    with pytest.raises(recovery.Killed, match="killed"):
        build.repro(Path(), NAME, ["ingest"], PORTABLE)
    assert lock_in(checkout) == WHOLE[:2000]
    recovery.recover(Path(), [NAME])
    assert lock_in(checkout) == LESS
