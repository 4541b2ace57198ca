"""The thread of the prediction log: each row is in one part or counted as dropped, whatever the storage does."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitbloom.serving.prediction_log import writer as module
from bitbloom.serving.prediction_log.retention import part_name
from bitbloom.serving.prediction_log.writer import Counters, Limits, Writer


class Number(NamedTuple):
    """A row."""

    number: int
    weight: int = 10
    time: int = 0


class Killed(BaseException):
    """What ends a thread."""


FAULTS = ("none", "none", "before", "after", "killed")
"""What happens to a call of the storage: it fails before, or after it has written; or the thread is killed there."""


class Store:
    """A storage with a script of faults, and the counters of the thread that uses it."""

    def __init__(self, faults: list[str], pause: float = 0.0) -> None:
        self.faults, self.pause = faults, pause
        self.parts: dict[str, list[int]] = {}
        self.written: list[int] = []
        self.dropped: list[int] = []
        self.failed = 0

    def write(self, name: str, rows: list[Number]) -> None:
        time.sleep(self.pause)
        fault = self.faults.pop(0) if self.faults else "none"
        if fault == "before":
            raise OSError("the disk is full")
        self.parts[name] = [row.number for row in rows]
        if fault == "after":
            raise OSError("the connection broke")
        if fault == "killed":
            raise Killed

    def counters(self) -> Counters:
        return Counters(self.written.append, self.dropped.append, self._fail)

    def _fail(self) -> None:
        self.failed += 1


def invalid(row: Number) -> Number:
    """Reject each seventh row."""
    if row.number % 7 == 6:
        raise ValueError("no descriptors")
    return row


@pytest.fixture(autouse=True, scope="module")
def quick():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TICK", 0.002)
        patch.setattr(module, "PAUSES", (0.001, 0.004))
        yield


@settings(max_examples=60)
@given(
    count=st.integers(0, 120),
    part_rows=st.integers(1, 20),
    memory=st.integers(1, 60),
    size=st.sampled_from([50, 10_000]),
    threads=st.integers(1, 3),
    faults=st.lists(st.sampled_from(FAULTS), max_size=8),
    prepare=st.sampled_from([invalid, lambda row: row]),
    together=st.booleans(),
    pause=st.sampled_from([0.0, 0.003]),
)
def test_every_row_is_in_exactly_one_part_or_counted_as_dropped(
    count, part_rows, memory, size, threads, faults, prepare, together, pause
):
    store = Store(list(faults), pause)
    writer = Writer(
        lambda time: part_name("log", time),
        Limits(part_rows, 0.01, memory, size),
        prepare,
        store.write,
        store.counters(),
        prepare_all=(lambda rows: [prepare(row) for row in rows]) if together else None,
    )

    def put(first: int) -> None:
        for number in range(first, count, threads):
            writer.put(Number(number))

    putting = [threading.Thread(target=put, args=(first,)) for first in range(threads)]
    for thread in putting:
        thread.start()
    for thread in putting:
        thread.join()
    writer.close()
    found = Counter(number for part in store.parts.values() for number in part)
    assert not found or max(found.values()) == 1
    assert len(found) + sum(store.dropped) == count
    assert sum(store.written) == len(found)
    assert (writer.held, writer.size) == (0, 0)
    assert not writer.thread.is_alive()


def test_memory_is_bounded_while_the_storage_fails():
    store = Store(["before"] * 10_000)
    writer = Writer(
        lambda time: part_name("log", time), Limits(5, 60, 20, 10_000), lambda row: row, store.write, store.counters()
    )
    accepted = [writer.put(Number(number)) for number in range(100)]
    assert sum(accepted) == 20
    assert sum(store.dropped) == 80
    writer.close(seconds=0.05)
    assert sum(store.dropped) == 100
    assert store.failed > 1


def test_accepts_all_of_several_rows_or_none():
    store = Store(["before"] * 10_000)
    writer = Writer(
        lambda time: part_name("log", time), Limits(5, 60, 20, 10_000), lambda row: row, store.write, store.counters()
    )
    assert writer.put(*map(Number, range(15)))
    assert not writer.put(*map(Number, range(6)))
    assert sum(store.dropped) == 6
    assert writer.put(*map(Number, range(5)))
    writer.close(seconds=0.05)


def test_accepts_no_row_after_its_end():
    store = Store([])
    writer = Writer(
        lambda time: part_name("log", time), Limits(5, 60, 20, 10_000), lambda row: row, store.write, store.counters()
    )
    writer.put(Number(1))
    writer.close()
    assert not writer.put(Number(2))
    assert (list(store.parts.values()), store.dropped) == ([[1]], [1])


def test_writes_a_part_at_its_rows_or_at_the_age_of_its_first_row():
    store = Store([])
    writer = Writer(
        lambda time: part_name("log", time), Limits(3, 0.2, 20, 10_000), lambda row: row, store.write, store.counters()
    )
    for number in range(4):
        writer.put(Number(number))
    end = time.monotonic() + 10
    while sum(store.written) < 4 and time.monotonic() < end:
        time.sleep(0.005)
    assert sum(store.written) == 4
    writer.close()


def test_says_nothing_of_the_content_of_a_row(caplog):
    def prepare(row: Number) -> Number:
        raise ValueError("a private text")

    store = Store([])
    with caplog.at_level("WARNING", module.LOGGER.name):
        writer = Writer(lambda time: "part", Limits(5, 60, 20, 10_000), prepare, store.write, store.counters())
        writer.put(Number(1))
        writer.close()
    assert "ValueError" in caplog.text
    assert "private" not in caplog.text


def test_large_rows_are_written_before_they_fill_the_memory():
    store = Store([])
    writer = Writer(
        lambda time: part_name("log", time), Limits(500, 60, 20_000, 1000), lambda row: row, store.write, store.counters()
    )
    for number in range(40):
        writer.put(Number(number, weight=100))
        time.sleep(0.01)
    writer.close()
    assert (sum(store.written), store.dropped) == (40, [])
    assert len(store.parts) > 3


def test_names_dropped_rows_in_the_log_once_a_minute(caplog):
    store = Store(["before"] * 10_000)
    with caplog.at_level("WARNING", module.LOGGER.name):
        writer = Writer(
            lambda time: part_name("log", time), Limits(5, 60, 5, 10_000), lambda row: row, store.write, store.counters()
        )
        for number in range(60):
            writer.put(Number(number))
            time.sleep(0.001)
        writer.close(seconds=0.01)
    lines = [record.getMessage() for record in caplog.records if "were dropped" in record.getMessage()]
    assert len(lines) == 2
    assert "the disk is full" in lines[-1]
    assert sum(int(line.split()[2]) for line in lines) == 60


ENDLESS = """
import json, os, sys, time
from pathlib import Path
sys.path[:0] = json.loads(sys.argv[2])
from service.prediction_log.test_writer import Number
from bitbloom.serving.prediction_log.retention import part_name
from bitbloom.serving.prediction_log.storage import Folder
from bitbloom.serving.prediction_log.writer import Counters, Limits, Writer

folder = Folder(Path(sys.argv[1]))
write = lambda name, rows: folder.write(name, json.dumps([row.number for row in rows]).encode())
nothing = lambda *_: None
counters = Counters(nothing, nothing, nothing)
writer = Writer(lambda time: part_name("log", time), Limits(50, 60, 10_000, 10**9), lambda row: row, write, counters)
for number in range(10**6):
    writer.put(Number(number))
    os.write(1, b".")
    time.sleep(0.005)
"""


@pytest.mark.parametrize("seed", range(3))
def test_kill_loses_at_most_the_rows_in_memory_and_leaves_whole_parts(tmp_path, seed):
    command = [sys.executable, "-c", ENDLESS, str(tmp_path), json.dumps(sys.path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.read(1)
    time.sleep(random.Random(seed).uniform(0.4, 0.9))
    process.kill()
    put = 1 + len(process.stdout.read())
    process.wait()
    process.stdout.close()
    parts = [json.loads(path.read_bytes()) for path in sorted(tmp_path.rglob("*.parquet"))]
    kept = sorted(number for part in parts for number in part)
    assert kept == list(range(len(kept)))
    assert put - 100 <= len(kept) <= put + 1
