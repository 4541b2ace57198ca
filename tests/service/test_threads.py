"""Threads beside an event loop: each caller gets its own result, soon, and at most `count` computations run at a time."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitbloom.serving import threads
from bitbloom.serving.threads import Threads


def together(pool, computations):
    """The results and exceptions of computations that start together in `pool`."""

    async def compute():
        return await asyncio.gather(*[pool.run(*computation) for computation in computations], return_exceptions=True)

    return asyncio.run(compute())


def results(count, computations):
    """The same, in a pool of `count` threads, which is closed afterwards."""
    pool = Threads(count, "t")
    try:
        return together(pool, computations)
    finally:
        pool.close()


@given(st.lists(st.sampled_from([0.0, 0.0001, 0.003]), max_size=60), st.integers(1, 4))
def test_returns_each_result_to_its_caller(seconds, count):
    def work(number, pause):
        time.sleep(pause)
        if number % 7 == 3:
            raise ValueError(number)
        return number

    found = results(count, [(work, number, pause) for number, pause in enumerate(seconds)])
    assert [str(each) for each in found] == [str(number) for number in range(len(seconds))]
    assert [isinstance(each, ValueError) for each in found] == [number % 7 == 3 for number in range(len(seconds))]


class Photo(bytearray):
    """Bytes with a weak reference."""


@pytest.mark.parametrize("error", [None, ValueError, StopIteration])
def test_keeps_no_arguments_after_the_result(error):
    def work(photo):
        if error:
            raise error(len(photo))
        return len(photo)

    async def compute(pool):
        photo = Photo(1000)
        reference = weakref.ref(photo)
        try:
            assert await pool.run(work, photo) == 1000
        except (ValueError, RuntimeError):
            assert error
        del photo
        await pool.run(abs, 1)  # by now the thread has dropped the photo
        return reference()

    pool = Threads(1, "t")
    gc.disable()
    try:
        assert asyncio.run(compute(pool)) is None
    finally:
        gc.enable()
        pool.close()


def test_raises_runtime_error_for_stop_iteration_and_continues():
    def stop():
        return next(iter(()))

    found = results(1, [(stop,)] + [(abs, -number) for number in range(20)])
    assert isinstance(found[0], RuntimeError)
    assert found[1:] == list(range(20))


ENDING = """
import asyncio, time
from bitbloom.serving.threads import Threads
async def leave():
    pool = Threads(2, "t")
    running = [asyncio.ensure_future(pool.run(sum, range(5_000_000))) for _ in range(2)]
    await asyncio.sleep(0.05)
    print("left", flush=True)
asyncio.run(leave())
"""


def test_process_may_end_during_computations():
    done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "left", "")


@given(st.integers(1, 4), st.integers(0, 30))
def test_computes_at_most_as_many_at_a_time_as_threads(count, length):
    inside, most, lock = 0, 0, threading.Lock()

    def work():
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.0005)
        with lock:
            inside -= 1

    results(count, [(work,)] * length)
    assert most <= count


def test_returns_a_single_result_without_delay(monkeypatch):
    monkeypatch.setattr(threads, "HELD_SECONDS", 1000)
    assert results(2, [(abs, -1)]) == [1]


def test_returns_results_in_groups_while_many_wait(monkeypatch):
    monkeypatch.setattr(threads, "HELD_SECONDS", 1000)
    pool, begin, groups = Threads(1, "t"), threading.Event(), []
    return_results = pool._return

    def counted():
        groups.append(len(pool.done))
        return_results()

    monkeypatch.setattr(pool, "_return", counted)

    async def compute():
        running = [asyncio.ensure_future(pool.run(begin.wait)) for _ in range(20)]
        await asyncio.sleep(0)
        begin.set()
        return await asyncio.gather(*running)

    assert asyncio.run(compute()) == [True] * 20
    pool.close()
    assert groups[0] >= 20 - threads.MANY


def test_slow_computations_do_not_hold_finished_results():
    pool, end = Threads(1, "t"), threading.Event()

    async def compute():
        quick = asyncio.ensure_future(pool.run(abs, -1))
        slow = [asyncio.ensure_future(pool.run(end.wait)) for _ in range(10)]
        assert await quick == 1
        assert not any(each.done() for each in slow)
        end.set()
        await asyncio.gather(*slow)

    asyncio.run(asyncio.wait_for(compute(), 30))
    pool.close()


def test_skips_cancelled_computations():
    pool, begin, computed = Threads(1, "t"), threading.Event(), []

    async def compute():
        first = asyncio.ensure_future(pool.run(begin.wait))
        cancelled = asyncio.ensure_future(pool.run(computed.append, 1))
        last = asyncio.ensure_future(pool.run(computed.append, 2))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.sleep(0)
        begin.set()
        await asyncio.gather(first, last)

    asyncio.run(compute())
    pool.close()
    assert computed == [2]


def test_works_in_another_event_loop():
    pool = Threads(1, "t")
    assert [together(pool, [(abs, -number)]) for number in range(3)] == [[0], [1], [2]]
    pool.close()


def test_starts_no_thread_before_the_first_computation():
    before = threading.active_count()
    pool, barrier = Threads(3, "t"), threading.Barrier(3)
    assert threading.active_count() == before
    assert sorted(together(pool, [(barrier.wait, 30)] * 3)) == [0, 1, 2]
    assert threading.active_count() == before + 3
    pool.close()
    assert threading.active_count() == before
