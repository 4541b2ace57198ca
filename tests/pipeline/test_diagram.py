"""The architecture diagram follows the code: every stage and room, and no implied arrows."""

from __future__ import annotations

import importlib.util
import sys
from xml.etree import ElementTree

import pytest

from bitbloom.stages import STAGES
from support.tiny import REPOSITORY

specification = importlib.util.spec_from_file_location("diagram", REPOSITORY / "scripts/diagram.py")
assert specification and specification.loader
diagram = importlib.util.module_from_spec(specification)
sys.modules["diagram"] = diagram
specification.loader.exec_module(diagram)


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch):
    monkeypatch.chdir(REPOSITORY)


def test_names_every_stage_and_every_room():
    drawn = ElementTree.fromstring(diagram.drawing())
    names = [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text") if text.get("class") == "name"]
    folders = [path.parent.name for path in (REPOSITORY / "src/bitbloom").glob("*/__init__.py")]
    assert sorted(names) == sorted([stage for stage in STAGES if stage != "features"] + folders)


def test_equal_code_gives_equal_bytes():
    assert diagram.drawing() == diagram.drawing()


def test_omits_implied_arrows():
    assert diagram.reduced({"a": set(), "b": {"a"}, "c": {"a", "b"}}) == {"a": set(), "b": {"a"}, "c": {"b"}}


def test_parallel_arrows_have_separate_lanes():
    lanes: list[list[tuple[int, int]]] = []
    assert [diagram.free(lanes, *span) for span in ((0, 2), (2, 4), (1, 3))] == [0, 0, 1]
