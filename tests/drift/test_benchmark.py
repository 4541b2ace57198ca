"""benchmarks/drift.py: the page that it writes."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from bitbloom.pipeline import composition
from support.tiny import REPOSITORY


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    spec = importlib.util.spec_from_file_location("drift_benchmark", REPOSITORY / "benchmarks/drift.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_page_drops_sections_without_a_target(benchmark, tmp_path, monkeypatch):
    page = tmp_path / "drift.md"
    page.write_text(
        "before\n<!-- measured -->\n\n### petals\n\nold\n\n### gone\n\nold\n\n<!-- end -->\nafter\n", encoding="utf-8"
    )
    monkeypatch.setattr(benchmark, "DOCUMENT", page)
    monkeypatch.setattr(composition, "targets", lambda: ["petals", "tweets"])
    benchmark.write("tweets", ["### tweets", "", "new", ""])
    text = page.read_text(encoding="utf-8")
    assert text == "before\n<!-- measured -->\n\n### petals\n\nold\n\n### tweets\n\nnew\n\n<!-- end -->\nafter\n"
