"""`dvc.lock` as text: taken apart, put together, and what DVC gets to see of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from bitbloom import build, dvc_lock
from tiny import REPOSITORY

WHOLE = (REPOSITORY / "dvc.lock").read_text()
PORTABLE = OmegaConf.create({"numerics": {"profile": "portable"}})
NAMES = sorted(dvc_lock.blocks(WHOLE))


@given(shown=st.sets(st.sampled_from(NAMES)))
def test_what_is_shown_and_joined_again_is_the_whole(shown):
    part = dvc_lock.only(WHOLE, shown.__contains__)
    assert dvc_lock.blocks(part).keys() == shown
    assert dvc_lock.joined(WHOLE, part) == WHOLE


def _record(command):
    return {"cmd": command, "outs": [{"path": "a", "hash": "md5", "md5": "0" * 32, "size": 1}]}


@given(known=st.sets(st.sampled_from(NAMES)), built=st.sets(st.sampled_from(NAMES), min_size=1, max_size=3))
def test_records_are_joined_as_dvc_would_have_written_them(known, built):
    from dvc.utils.serialize import dumps_yaml

    before = {"schema": "2.0", "stages": {name: _record("true") for name in sorted(known)}}
    newer = {name: _record("false") for name in sorted(built)}
    lock = dumps_yaml(before) if known else ""
    shown = dvc_lock.only(lock, built.__contains__)
    written = dumps_yaml({"schema": "2.0", "stages": {name: newer[name] for name in {**dvc_lock.blocks(shown), **newer}}})
    assert dvc_lock.joined(lock, written) == dumps_yaml({"schema": "2.0", "stages": before["stages"] | newer})


@pytest.mark.parametrize("left", ["", "schema: '2.0'\nstages:\n", "schema: '2.0'\nstages: {}\n", "- a\n", "  - b\n"])
def test_a_file_without_records_has_none_to_show_and_none_that_are_sure(left):
    assert dvc_lock.only(left, lambda name: name in NAMES) == dvc_lock.cut_off(left) == ""


@pytest.fixture
def build_with(tmp_path, monkeypatch):
    """Builds in an empty folder, with a script in place of DVC."""

    def build_it(script):
        (tmp_path / "dvc").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "dvc").chmod(0o755)
        build.repro(Path(), "petals-tiny", ["ingest"], PORTABLE)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(build, "environ", lambda _: {"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    return build_it


def test_dvc_is_shown_the_records_of_what_is_built_and_the_others_come_back(build_with):
    mine = dvc_lock.only(WHOLE, lambda name: name.endswith("-petals-tiny"))
    recorded = mine.replace("size: ", "size: 1")
    Path("dvc.lock").write_text(WHOLE)
    Path("recorded").write_text(recorded)
    build_with("cp dvc.lock shown && cp recorded dvc.lock")
    assert Path("shown").read_text() == mine
    of_mine, of_recorded = (text.partition("stages:\n")[2] for text in (mine, recorded))
    assert Path("dvc.lock").read_text() == WHOLE.replace(of_mine, of_recorded)


def test_the_first_record_of_a_checkout_stays(build_with):
    Path("recorded").write_text(WHOLE)
    build_with("test ! -e dvc.lock && cp recorded dvc.lock")
    assert Path("dvc.lock").read_text() == WHOLE


def test_a_build_that_is_interrupted_leaves_a_whole_file(tmp_path, monkeypatch):
    def interrupted(*_):
        Path("dvc.lock").write_text(Path("dvc.lock").read_text()[:500])
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(build, "dvc_repro", interrupted)
    Path("dvc.lock").write_text(WHOLE)
    with pytest.raises(KeyboardInterrupt):
        build.repro(Path(), "petals-tiny", ["ingest"], PORTABLE)
    assert Path("dvc.lock").read_text() == WHOLE
    assert not build.BUILDING.exists()
