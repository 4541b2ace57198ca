"""benchmarks/loading.py: what it counts. The loaders of others are in a venv of their own, which no test makes."""

from __future__ import annotations

import itertools

import pytest

from support import tiny


@pytest.fixture
def parts(monkeypatch):
    monkeypatch.syspath_prepend(str(tiny.REPOSITORY / "benchmarks"))
    import loading_parts

    return loading_parts


@pytest.fixture
def loading(parts):
    import loading

    return loading


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A workspace with the data of a tiny target."""
    return tiny.write_workspace(tmp_path_factory.mktemp("place"), ("augment.crop=0.0", "augment.colour=0.0"))


def test_time_of_inner_functions_is_not_that_of_outer_ones(parts, monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(parts.time, "process_time", lambda: float(next(ticks)))
    clock = parts.Clock()
    inner = clock.timed("inner", lambda: None)
    outer = clock.timed("outer", lambda: (inner(), inner()))
    outer()
    assert clock.spent == {"inner": 2.0, "outer": 3.0}  # of five ticks


@pytest.mark.parametrize("world", [1, 2, 4])
def test_readers_of_all_workers_make_the_steps_of_a_training(parts, place, monkeypatch, world):
    monkeypatch.chdir(place)
    taken = []
    monkeypatch.setattr(parts.dataset.Dataset, "take", lambda self, positions: taken.append(positions.tolist()))
    monkeypatch.setattr(parts.tasks.model("petals"), "batch", lambda *_: None)
    for rank in range(world):
        reader = parts.Reader("petals-tiny", rank, world)
        steps = itertools.islice(reader.batches("augmented"), 2 * len(reader.numbers))
        assert set(steps) == {reader.size}
    stream = reader.stream
    expected = [stream.batch(step, 0, stream.batch_size)[0].tolist() for step in range(2)]
    assert sorted(itertools.chain(*taken)) == sorted(itertools.chain(*expected))


def test_loader_with_twice_the_speed_at_half_the_cost_has_ratio_two(loading):
    rows = {loading.OURS: [{"rate": 100.0, "cpu": 2.0}] * 3, "other": [{"rate": 200.0, "cpu": 1.0}] * 3}
    *_, other = loading.loader_table(rows)
    assert other == "| other | 200 | 200 to 200 | 2.00 | 1.000 | 1.000 to 1.000 | 2.00 |"


def test_feeding_is_what_the_step_itself_does_not_take(loading):
    rows = [{"step": 0.9, "crop and resize": 0.06, "colour": 0.04}] * 2
    lines = loading.step_tables({"petals": rows}, {"petals": 0.5})
    assert "| `petals` | 1,000 | 10.0 % | 10.0 to 10.0 % | 0.5 % | ≤ 8 % |" in lines
    assert "| crop and resize | 6.00 |" in lines
    assert "| flip | – |" in lines


def test_writes_between_the_marks_of_the_page_only(loading, tmp_path, monkeypatch):
    page = tmp_path / "feeding.md"
    page.write_text("# Title\n\n<!-- measured -->\n\nold\n\n<!-- end -->\n\nmore\n", encoding="utf-8")
    monkeypatch.setattr(loading, "DOCUMENT", page)
    loading.write(["new"])
    assert page.read_text(encoding="utf-8") == "# Title\n\n<!-- measured -->\n\nnew\n\n<!-- end -->\n\nmore\n"
