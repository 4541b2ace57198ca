"""How long who is let in may have to wait, by construction: behind how many others, whatever comes in which order."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitbloom.serving.image_app import ImageApplication
from bitbloom.serving.predictor import Prediction
from bitbloom.serving.threads import Threads
from support.standin import LIMITS, write_service

MOST = LIMITS.max_requests


class Turns:
    """A predictor that answers one photo a turn."""

    def __init__(self) -> None:
        self.turn, self.predicted = threading.Semaphore(0), itertools.count(1)

    def decode(self, photo: bytes) -> bytes:
        """The photo as it is."""
        return photo

    def classify(self, image: bytes, attention: bool) -> Prediction:
        """A prediction whose `top5` is the number of predictions so far."""
        self.turn.acquire()
        return Prediction(label=image.decode(), probability=1.0, top5=next(self.predicted), model_digest="")


class Watched(ImageApplication):
    """The service with one core, which notes how many photos are inside, and how many were answered before each of them."""

    def start(self) -> None:
        self.predictor, self.threads = Turns(), Threads(1, "watched")
        self.inside, self.most, self.answered, self.behind = 0, 0, 0, list[int]()

    async def in_thread(self, compute: Callable[..., Any], *arguments: object) -> Any:
        """Count around the real one."""
        self.inside += 1
        self.most, before = max(self.most, self.inside), self.answered
        prediction = await super().in_thread(compute, *arguments)
        self.answered, prediction["top5"] = prediction["top5"], []
        self.inside -= 1
        self.behind.append(self.answered - before - 1)
        return prediction


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    return Watched(write_service(tmp_path_factory.mktemp("waiting")))


@contextlib.contextmanager
def turns(service: Watched) -> Iterator[threading.Semaphore]:
    service.start()
    try:
        yield service.predictor.turn
    finally:
        service.predictor.turn.release(1000)  # nobody waits for ever, whatever went wrong
        service.threads.close()


@given(st.lists(st.integers(0, LIMITS.max_batch), min_size=1, max_size=40))
def test_who_is_let_in_waits_behind_fewer_photos_than_may_be_inside(service, events):
    """Events in their order: a turn for who waits (0), or a question of so many photos."""

    async def scenario(turn: threading.Semaphore) -> list[int]:
        transport = httpx.ASGITransport(app=service.protected())
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            asked = []
            for photos in events:
                if photos:
                    form = [("image", ("a.jpg", b"photo")) for _ in range(photos)]
                    asked.append(asyncio.create_task(client.post("/predict_batch", files=form)))
                else:
                    turn.release()
                for _ in range(20):
                    await asyncio.sleep(0)
            turn.release(sum(events) + 1)
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    with turns(service) as turn:
        statuses = asyncio.run(scenario(turn))
    assert set(statuses) <= {200, 503}
    assert service.most <= MOST
    assert max(service.behind, default=0) < MOST
    assert sum(events) > MOST or 503 not in statuses


def test_of_many_that_come_at_once_as_many_are_let_in_as_may_be(service):
    async def scenario(turn: threading.Semaphore) -> list[int]:
        transport = httpx.ASGITransport(app=service.protected())
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            asked = [asyncio.create_task(client.post("/predict", content=b"photo")) for _ in range(3 * MOST)]
            for _ in range(100):
                await asyncio.sleep(0)
            turn.release(len(asked))
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    with turns(service) as turn:
        statuses = asyncio.run(scenario(turn))
    assert sorted(statuses) == [200] * MOST + [503] * 2 * MOST
    assert sorted(service.behind) == list(range(MOST))
