"""Profiles: clocks whose parts add up, what is read from traces, and whole profiles of small things."""

from __future__ import annotations

import contextlib
import cProfile
import gzip
import http.server
import itertools
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from bitbloom import tasks
from bitbloom.cli import app
from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.profile import clock, cpu, functions, load, make, page, parts, service, spy, trace
from bitbloom.experiments.profile.content import Content, Flames, Row, Table, Tile
from bitbloom.experiments.profile.phases import FLAMES, TRACE
from bitbloom.experiments.profile.trace import MODULE, SPAN
from support import standin, tiny
from support.tiny import REPOSITORY

SHORT = make.Options(steps=2, clients=2, seconds=1)
trees = st.recursive(st.just([]), lambda inner: st.lists(st.tuples(st.sampled_from("abc"), inner), max_size=3), max_leaves=8)
"""Calls inside calls: (name of the part, calls inside)."""


@pytest.mark.parametrize("task", tasks.names())
def test_every_named_function_exists(task):
    found = parts.codes(task)
    assert set(found.values()) == set(parts.PARTS)
    assert len(found) == sum(map(len, parts.PARTS.values()))


def run_tree(tree):
    for name, inner in tree:
        CALLED[name](inner)


def a(inner):
    run_tree(inner)


def b(inner):
    run_tree(inner)


def closed(inner):
    run_tree(inner)


CALLED = {"a": a, "b": b, "c": closed}
CODES = {a.__code__: "a", b.__code__: "b", closed.__code__: "c"}


def counted(tree, inside_closed=False):
    """Calls by part: a closed part has those inside it, too."""
    for name, inner in tree:
        yield "c" if inside_closed else name
        yield from counted(inner, inside_closed or name == "c")


@settings(max_examples=40)
@given(trees)
def test_parts_of_a_clock_add_up(tree):
    ticks = itertools.count()
    timer = clock.Clock(CODES, "other", ("c",), now=lambda: next(ticks))
    timer.start()
    run_tree(tree)
    timer.stop()
    expected = list(counted(tree))
    assert timer.calls == {name: expected.count(name) for name in set(expected)}
    assert sum(timer.nanoseconds.values()) == next(ticks) - 1
    assert all(spent >= 0 for spent in timer.nanoseconds.values())


def test_clock_gives_time_to_the_innermost_part_and_ends_spans():
    opened = []
    timer = clock.Clock(
        {a.__code__: "a", b.__code__: "b"}, "other", (), lambda part, _: opened.append(part) or part, opened.remove
    )

    def outer():
        a([("b", [])])

    timer.start()
    outer()
    timer.stop()
    assert opened == []
    assert timer.calls == {"a": 1, "b": 1}


def test_clock_finds_the_parts_that_run_when_it_starts():
    now = [0]
    timer = clock.Clock({_starts_inside.__code__: "inside"}, "other", now=lambda: now[0])
    _starts_inside(timer, now)
    now[0] += 2
    timer.stop()
    assert timer.nanoseconds == {"inside": 10, "other": 2}


def _starts_inside(timer, now):
    timer.start()
    now[0] += 10


def span(name, begin, duration, kind="user_annotation", **details):
    return {"name": name, "cat": kind, "ph": "X", "ts": begin, "dur": duration, "tid": 1, "args": details}


def op(name, begin, duration, **details):
    return span(name, begin, duration, "cpu_op", **details)


def memory(when, total):
    return {"name": "[memory]", "ph": "i", "ts": when, "tid": 1, "args": {"Total Allocated": total, "Device Type": 0}}


def write_trace(path, events):
    with gzip.open(path, "wt", encoding="utf-8") as stream:
        json.dump({"traceEvents": [*events, {"name": "process_name", "ph": "M"}]}, stream)
    return path


def test_trace_tells_backward_time_and_memory_of_modules(tmp_path):
    events = [
        span("ProfilerStep#1", 100, 1000),
        span(f"{SPAN}forward", 110, 300),
        span(f"{MODULE}stem", 120, 100),
        op("aten::conv2d", 130, 80, **{"Sequence number": 7}),
        span(f"{MODULE}head", 300, 50),
        op("aten::linear", 310, 30, **{"Sequence number": 8}),
        op("aten::mean", 380, 10, **{"Sequence number": 9}),
        op(f"{trace.BACKWARD}MeanBackward0", 500, 10, **{"Sequence number": 9, "Fwd thread id": 1}),
        op(f"{trace.BACKWARD}AddmmBackward0", 520, 40, **{"Sequence number": 8, "Fwd thread id": 1}),
        op(f"{trace.BACKWARD}ConvolutionBackward0", 600, 200, **{"Sequence number": 7, "Fwd thread id": 1}),
        memory(140, 500),
        memory(150, 300),
        memory(320, 400),
        memory(700, 900),
        memory(790, 100),
    ]
    found = trace.read(write_trace(tmp_path / "trace.json.gz", events))
    assert found.modules == {
        "stem": trace.Usage(backward=200, forward_peak=500, backward_peak=900, kept=300),
        "head": trace.Usage(backward=40, forward_peak=400, backward_peak=400, kept=100),
        trace.OUTSIDE: trace.Usage(backward=10, backward_peak=400),
    }
    assert (found.steps, found.peak) == (1, 900)
    assert found.spans == [("forward", 10, 310)]
    assert sum(own for own, _ in found.operations.values()) == 80 + 30 + 10 + 10 + 40 + 200


@st.composite
def nested(draw, begin=0, end=1 << 12, depth=0):
    """Operations inside operations of one thread: none overlaps another's end."""
    found = []
    while depth < 3 and begin < end and draw(st.booleans()):
        first = draw(st.integers(begin, end - 1))
        last = draw(st.integers(first + 1, end))
        found.append(op(draw(st.sampled_from(["aten::add", "aten::mul"])), first, last - first))
        found += draw(nested(first, last, depth + 1))
        begin = last
    return found


@settings(max_examples=60)
@given(nested())
def test_own_times_of_operations_add_up(events):
    ordered = sorted([span("ProfilerStep#1", 0, 1 << 12), *events], key=lambda event: (event["ts"], -event["dur"]))
    covered = {moment for event in events for moment in range(event["ts"], event["ts"] + event["dur"])}
    found = trace.summarise(ordered).operations
    assert sum(own for own, _ in found.values()) == len(covered)
    assert all(own >= 0 for own, _ in found.values())
    assert sum(calls for _, calls in found.values()) == len(events)


def test_modules_of_cprofile_add_up(tmp_path):
    profiler = cProfile.Profile()
    profiler.runcall(lambda: sorted(json.loads(json.dumps([[number, str(number)] for number in range(2000)])), key=str))
    profiler.dump_stats(tmp_path / "stats")
    found = functions.read(tmp_path / "stats")
    modules = functions.by_module(found)
    assert sum(modules.values()) == pytest.approx(sum(numbers[2] for numbers in found.values()))
    assert list(modules.values()) == sorted(modules.values(), reverse=True)
    assert "standard library: json" in modules
    rows = functions.by_function(found)
    assert sum(row.own for row in rows) == pytest.approx(sum(modules.values()))


def test_names_modules_of_the_project_and_of_packages():
    assert functions.module(functions.__file__) == "bitbloom.experiments.profile.functions"
    assert functions.module(pd.__file__) == "pandas"
    assert functions.group(("<frozen importlib._bootstrap>", 1, "_find_and_load")) == functions.IMPORTS
    assert functions.group((functions.__file__, 1, "<module>")) == functions.IMPORTS


def test_cpu_time_of_the_process_that_serves_is_divided_by_thread():
    before = {(1, 1): 5.0, (2, 2): 1.0, (2, 3): 1.0}
    after = {(1, 1): 5.5, (2, 2): 2.0, (2, 3): 4.0, (2, 4): 0.5}
    assert cpu.difference(before, after) == cpu.Used(loop=1.0, compute=3.5, other=0.5)
    assert sum(cpu.times(os.getpid()).values()) > 0


def test_request_and_cpu_time_add_up():
    measured = load.Load("wrk", 4, 2.0, 400, 0, [0.01, 0.02, 0.04])
    found = service.summary(measured, {"queue": (1.0, 400), "decode": (0.8, 400), "model": (2.4, 400)}, cpu.Used(0.4, 1.6, 0.2))
    assert sum(found["parts"].values()) == pytest.approx(measured.mean) == 0.02
    assert sum(found["cpu"].values()) * 400 == pytest.approx(2.2)
    assert found["cpu"]["decode"] * 3 == pytest.approx(found["cpu"]["model"])
    assert found["percentiles"]["50"] == 0.02


class Rejecting(http.server.BaseHTTPRequestHandler):
    """Rejects the body `bad` only."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(503 if body == b"bad" else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Rejecting) as running:
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "tool", ["threads", pytest.param("wrk", marks=pytest.mark.skipif(not shutil.which("wrk"), reason="no wrk"))]
)
def test_load_counts_responses_and_reports_rejections(server, monkeypatch, tool):
    if tool == "threads":
        monkeypatch.setattr(load.shutil, "which", lambda _: None)
    found = load.send(server, load.Requests("/predict", "text/plain", [b"one", b"two"]), 2, 1)
    assert (found.tool, found.clients, found.failed) == (tool, 2, 0)
    assert found.requests > 2
    assert list(found.latencies) == sorted(found.latencies)
    assert found.percentile(100) >= found.percentile(50) > 0
    with pytest.raises(BitBloomError, match=r"requests to http://.*/predict failed"):
        load.send(server, load.Requests("/predict", "text/plain", [b"bad"]), 2, 1)


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ("Error: Permission Denied: Try running again with elevated permissions", "ptrace"),
        ("Error: Operation not permitted (os error 1)", "ptrace"),
        ("\n Error: no python process\n\n", "no python process"),
        ("", "without a message"),
    ],
)
def test_says_why_there_is_no_flame_graph(tmp_path, messages, words):
    assert words in spy.problem(tmp_path / FLAMES, messages)


def test_goes_on_without_py_spy(tmp_path, monkeypatch):
    monkeypatch.setattr(spy, "program", lambda: None)
    sampler = spy.Sampler(os.getpid(), tmp_path / FLAMES)
    sampler.start()
    assert sampler.stop() == spy.MISSING
    assert spy.recorded(["false"], tmp_path, {}, tmp_path / FLAMES) == (0, spy.MISSING)


def small_page(**changes):
    rows = [Row(("<read>", "1.0"), 0.25), Row(("forward", "3.0"), 0.75)]
    table = Table("parts", "Parts", "Which.", ("part", "ms"), rows, shown=True)
    given = {"target": "petals", "stage": "train", "lead": "Some.", "tiles": [Tile("a step", "4 ms")], "sections": [table]}
    return Content(**(given | {"flames": Flames("All.", "<svg/>"), "footer": "End."} | changes))


def test_page_is_self_contained_escaped_and_reproducible():
    text = page.render(small_page())
    assert text == page.render(small_page())
    assert "&lt;read&gt;" in text
    assert "width:25.0%" in text
    assert "http" not in text.replace("http-equiv", "")
    assert "data:image/svg+xml;base64" in text
    missing = page.render(small_page(flames=Flames("All.", "", "not permitted")))
    assert "not permitted" in missing
    assert "<iframe" not in missing


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["petal"], "no target 'petal'"),
        (["petals-tiny", "--stage", "cook"], "'petals-tiny' has no stage 'cook' to profile"),
        (["petals-tiny"], "reads data/processed/petals-tiny, which is missing: make prepare TARGET=petals-tiny"),
        (["petals-tiny", "--stage", "serve"], "missing: make package TARGET=petals-tiny"),
    ],
)
def test_unknown_and_unbuilt_targets_have_clear_errors(tmp_path, arguments, words):
    with contextlib.chdir(write_project(tmp_path)):
        done = CliRunner().invoke(app, ["profile", *arguments])
    assert isinstance(done.exception, BitBloomError)
    assert words in str(done.exception)
    assert "\n" not in str(done.exception)
    assert not list(tmp_path.glob("reports/*/profile/*"))


def write_project(folder: Path) -> Path:
    """Write what a profile reads of a checkout, besides the outputs of a build."""
    for name in ("conf", "expectations", "bentos"):
        (folder / name).symlink_to(REPOSITORY / name)
    for name in ("requirements.lock", "weights.lock"):
        shutil.copyfile(REPOSITORY / name, folder / name)
    return folder


@pytest.mark.parametrize(
    ("target", "stage", "until"),
    [
        ("petals-tiny", "ingest", None),
        ("petals-tiny", "train", "prepare"),
        ("captions-coco", "train", "features"),
        ("petals-tiny", "evaluate", "train"),
        ("petals-tiny", "serve", "package"),
    ],
)
def test_first_builds_what_the_stage_reads(tmp_path, monkeypatch, target, stage, until):
    built = []
    monkeypatch.setattr(make.builder, "build", lambda *arguments: built.append(arguments))
    monkeypatch.setattr(make, "_measure", lambda *_: small_page())
    with contextlib.chdir(write_project(tmp_path)):
        written = make.profile(target, stage, SHORT, build=True)
        assert built == ([(target, until)] if until else [])
        assert written.read_text() == page.render(small_page())


def adds_up(numbers, whole):
    return sum(numbers.values()) == pytest.approx(whole, rel=0.01)


@pytest.mark.slow
def test_profile_of_a_training_measures_its_steps_and_changes_no_output(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKERS", "2")
    tiny.dataset(192, side=96).save(write_project(tmp_path) / "data/processed/petals-tiny")
    with contextlib.chdir(tmp_path):
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        written = make.profile("petals-tiny", "train", SHORT)
        results = tmp_path / written.parent
        after = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert all(path.read_bytes() == content for path, content in before.items())
    assert {path.relative_to(results).parts[0] for path in after - set(before) if path.is_relative_to(results)} >= {
        "index.html",
        "profile.json",
        TRACE,
    }
    assert not (tmp_path / "models").exists()
    record = canonical.read_json(results / "profile.json")
    assert record["workers"] == 2
    assert adds_up(record["parts"], record["step"])
    assert all(
        record["parts"][part] > 0 for part in ("read", "decode", "augment", "forward", "backward", "ordered sum", "ledger")
    )
    assert 0 < sum(record["cpu"].values()) <= record["step"]
    assert record["cpu"]["waiting for workers"] < record["parts"]["waiting for workers"]
    assert 0 < sum(record["modules"].values()) <= record["parts"]["forward"]
    assert set(record["modules"]) <= {*record["backward"], *record["parameters"], *record["usage"]}
    assert record["memory"]["optimiser"] > record["memory"]["weights"] > 0
    assert any(event["name"].startswith(SPAN) for event in trace.events(results / TRACE))
    text = (results / "index.html").read_text()
    assert "Where a step goes" in text
    assert ("<iframe" in text) or ("There is none" in text)


@pytest.mark.slow
def test_profile_of_a_stage_has_a_page_whose_modules_add_up(tmp_path):
    with contextlib.chdir(write_project(tmp_path)):
        results = tmp_path / make.profile("petals-tiny", "ingest", SHORT).parent
    record = canonical.read_json(results / "profile.json")
    assert adds_up(record["modules"], record["profiled"])
    assert any(name.startswith("bitbloom.data.sources.garden") for name in record["modules"])
    assert functions.read(results / "cprofile.pstats")
    assert "Where the stage goes" in (results / "index.html").read_text()
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_failed_stage_has_a_clear_error_and_leaves_nothing(tmp_path):
    write_project(tmp_path)
    (tmp_path / "data/raw/petals-tiny").mkdir(parents=True)
    pd.DataFrame({"id": ["one"]}).to_parquet(tmp_path / "data/raw/petals-tiny/manifest.parquet")
    with contextlib.chdir(tmp_path), pytest.raises(BitBloomError, match=r"validate of 'petals-tiny' failed \(exit code 1\)"):
        make.profile("petals-tiny", "validate", SHORT)
    assert not list(tmp_path.glob("reports/petals-tiny/profile/*"))


@pytest.mark.slow
def test_profile_of_a_service_divides_a_request(tmp_path, workspace):
    write_project(tmp_path)
    raw = tmp_path / "data/raw/petals"
    raw.mkdir(parents=True)
    for name, colour in standin.COLOURS.items():
        (raw / f"{name}.jpg").write_bytes(standin.photo(colour))
    paths = [f"{name}.jpg" for name in standin.COLOURS]
    pd.DataFrame({"path": paths, "decodable": True}).to_parquet(raw / "manifest.parquet")
    (tmp_path / "dist").mkdir()
    shutil.copyfile(workspace / "dist/petals.bento", tmp_path / "dist/petals.bento")
    with contextlib.chdir(tmp_path):
        results = tmp_path / make.profile("petals", "serve", SHORT).parent
    record = canonical.read_json(results / "profile.json")
    assert set(record["parts"]) == {"queue", "decode", "model", "HTTP and the rest"}
    assert adds_up(record["parts"], record["mean"])
    assert record["requests"] > 2
    assert record["cores"] > 0
    assert "A request under load" in (results / "index.html").read_text()
