"""benchmarks/drift.py: the page that it writes."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest

from bitbloom.drift.comparison import compare
from bitbloom.drift.observations import IMAGE, Observations
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


def rows(middle: float, count: int, split: str | None) -> Observations:
    """Photos with one descriptor, and with embeddings unless they are of the training split."""
    dice = np.random.default_rng(count)
    embeddings = np.full((count, 4), np.nan) if split == "train" else dice.normal(middle, 1, (count, 4))
    return Observations.of(IMAGE, {"bright": dice.uniform(size=count)}, embeddings, split=[split] * count)


def test_random_halves_share_what_the_splits_do_not(benchmark):
    reference = Observations.concatenate([rows(0, 300, "train"), rows(0, 200, "val")])
    clean = rows(2, 201, None)
    assert compare(reference, clean).drifted
    pairs = [benchmark.halved(reference, clean, 100, seed) for seed in range(10)]
    assert sum(compare(known, window).drifted for known, window in pairs) <= 1
    known, window = pairs[0]
    assert (len(known), len(window)) == (300 + 200, 100)
    assert list(known.split).count("val") == 200


@pytest.fixture
def measured(benchmark, tmp_path, monkeypatch):
    """The files of a benchmark of `petals` in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BITBLOOM_PHOTOS", raising=False)
    for name in (
        "src/bitbloom/drift",
        "src/bitbloom/data/descriptors",
        "models/petals",
        "data/processed/petals",
        benchmark.EVIDENTLY,
    ):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "models/petals/model.onnx").write_bytes(b"graph")
    return tmp_path


def test_stopped_run_goes_on_with_what_it_measured(benchmark, measured):
    def stopped():
        raise KeyboardInterrupt

    first = benchmark.Record("petals", 2)
    assert first.of("blur", lambda: ["50", "–"]) == ["50", "–"]
    with pytest.raises(KeyboardInterrupt):
        first.of("noise", stopped)
    later = benchmark.Record("petals", 2)
    assert later.of("blur", stopped) == ["50", "–"]
    assert later.of("noise", lambda: ["100", "–"]) == ["100", "–"]


def test_another_model_code_or_option_is_measured_again(benchmark, measured):
    before = benchmark.Record("petals", 2).path
    assert benchmark.Record("petals", 3).path != before
    (measured / "src/bitbloom/drift/tests.py").write_text("")
    changed = benchmark.Record("petals", 2).path
    (measured / "models/petals/model.onnx").write_bytes(b"another")
    assert len({before, changed, benchmark.Record("petals", 2).path}) == 3
