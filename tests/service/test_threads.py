"""Computing beside an event loop: every question gets its own answer, in order, soon, and no more run at once than may."""

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


def many(pool, questions):
    """What `pool` says to all of them at a time."""

    async def ask():
        return await asyncio.gather(*[pool.run(*question) for question in questions], return_exceptions=True)

    try:
        return asyncio.run(ask())
    finally:
        pool.close()


@given(st.lists(st.sampled_from([0.0, 0.0001, 0.003]), max_size=60), st.integers(1, 4))
def test_every_question_gets_its_own_answer_however_many_wait(seconds, count):
    def work(number, pause):
        time.sleep(pause)
        if number % 7 == 3:
            raise ValueError(number)
        return number

    found = many(Threads(count, "t"), [(work, number, pause) for number, pause in enumerate(seconds)])
    assert [str(each) for each in found] == [str(number) for number in range(len(seconds))]
    assert [isinstance(each, ValueError) for each in found] == [number % 7 == 3 for number in range(len(seconds))]


class Photo(bytearray):
    """Something whose end can be seen."""


@pytest.mark.parametrize("error", [None, ValueError, StopIteration])
def test_nothing_is_kept_of_a_question_after_its_answer(error):
    def work(photo):
        if error:
            raise error(len(photo))
        return len(photo)

    async def ask(pool):
        photo = Photo(1000)
        kept = weakref.ref(photo)
        try:
            assert await pool.run(work, photo) == 1000
        except (ValueError, RuntimeError):
            assert error
        del photo
        await pool.run(abs, 1)  # by now the thread has put the photo down
        return kept()

    pool = Threads(1, "t")
    gc.disable()
    try:
        assert asyncio.run(ask(pool)) is None
    finally:
        gc.enable()
        pool.close()


def test_an_error_that_no_future_takes_is_told_and_holds_up_nobody():
    def stop():
        return next(iter(()))

    found = many(Threads(1, "t"), [(stop,)] + [(abs, -number) for number in range(20)])
    assert isinstance(found[0], RuntimeError)
    assert found[1:] == list(range(20))


ENDING = """
import asyncio, time
from bitbloom.serving.threads import Threads
async def leave():
    pool = Threads(2, "t")
    asked = [asyncio.ensure_future(pool.run(sum, range(5_000_000))) for _ in range(2)]
    await asyncio.sleep(0.05)
    print("left", flush=True)
asyncio.run(leave())
"""


def test_a_process_may_end_while_its_threads_compute():
    done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "left", "")


@given(st.integers(1, 4), st.integers(0, 30))
def test_no_more_are_computed_at_once_than_there_are_threads(count, questions):
    inside, most, lock = 0, 0, threading.Lock()

    def work():
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.0005)
        with lock:
            inside -= 1

    many(Threads(count, "t"), [(work,)] * questions)
    assert most <= count


def test_a_single_question_is_answered_without_waiting_for_others(monkeypatch):
    monkeypatch.setattr(threads, "HELD_SECONDS", 1000)
    assert many(Threads(2, "t"), [(abs, -1)]) == [1]


def test_answers_go_back_together_while_many_wait_and_none_stays_behind(monkeypatch):
    monkeypatch.setattr(threads, "HELD_SECONDS", 1000)
    pool, begin, turns = Threads(1, "t"), threading.Event(), []
    hand_over = pool._hand_over

    def counted():
        turns.append(len(pool.done))
        hand_over()

    monkeypatch.setattr(pool, "_hand_over", counted)

    async def ask():
        asked = [asyncio.ensure_future(pool.run(begin.wait)) for _ in range(20)]
        await asyncio.sleep(0)
        begin.set()
        return await asyncio.gather(*asked)

    assert asyncio.run(ask()) == [True] * 20
    pool.close()
    assert turns[0] >= 20 - threads.FEW
    assert pool.unanswered == 0


def test_an_answer_is_not_held_for_longer_than_a_moment_by_questions_that_take_long():
    pool, end = Threads(1, "t"), threading.Event()

    async def ask():
        quick = asyncio.ensure_future(pool.run(abs, -1))
        slow = [asyncio.ensure_future(pool.run(end.wait)) for _ in range(10)]
        assert await quick == 1
        assert not any(each.done() for each in slow)
        end.set()
        await asyncio.gather(*slow)

    asyncio.run(asyncio.wait_for(ask(), 30))
    pool.close()


def test_what_nobody_waits_for_any_more_is_not_computed():
    pool, begin, computed = Threads(1, "t"), threading.Event(), []

    async def ask():
        first = asyncio.ensure_future(pool.run(begin.wait))
        given_up = asyncio.ensure_future(pool.run(computed.append, 1))
        last = asyncio.ensure_future(pool.run(computed.append, 2))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.sleep(0)
        begin.set()
        await asyncio.gather(first, last)

    asyncio.run(ask())
    pool.close()
    assert computed == [2]


def test_another_event_loop_may_follow():
    pool = Threads(1, "t")
    assert [many(pool, [(abs, -number)]) for number in range(3)] == [[0], [1], [2]]


def test_there_is_no_thread_before_the_first_question():
    before = threading.active_count()
    pool = Threads(3, "t")
    assert threading.active_count() == before

    async def ask():
        assert await pool.run(abs, -1) == 1
        return threading.active_count()

    assert asyncio.run(ask()) == before + 3
    pool.close()
    assert threading.active_count() == before
