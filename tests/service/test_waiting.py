"""A bound on waiting: how many photos an admitted photo waits for, in any order of requests."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
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

PERMITS = LIMITS.max_requests


class Stepwise:
    """A predictor that takes one permit of `steps` for each photo."""

    def __init__(self) -> None:
        self.steps, self.predicted = threading.Semaphore(0), itertools.count(1)

    def decode(self, photo: bytes) -> bytes:
        """The photo as it is."""
        return photo

    def classify(self, image: bytes, attention: bool) -> Prediction:
        """A prediction whose `probability` is the number of predictions so far."""
        self.steps.acquire()
        return Prediction(label=image.decode(), probability=float(next(self.predicted)), top5=[], model_digest="")


class Counting(ImageApplication):
    """The service with one thread. It counts the admitted photos, and those completed while each of them waits."""

    def start(self) -> None:
        """Set the counters to zero, with a new predictor and a new thread."""
        self.predictor, self.threads = Stepwise(), Threads(1, "counting")
        self.inside, self.most, self.completed, self.waits = 0, 0, 0, list[int]()

    async def in_thread(self, compute: Callable[..., Any], *arguments: object) -> Any:
        """Compute, and count."""
        self.inside += 1
        self.most, before = max(self.most, self.inside), self.completed
        prediction = await super().in_thread(compute, *arguments)
        self.completed = int((json.loads(prediction) if isinstance(prediction, bytes) else prediction)["probability"])
        self.inside -= 1
        self.waits.append(self.completed - before - 1)
        return prediction


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Counting:
    return Counting(write_service(tmp_path_factory.mktemp("waiting")))


@contextlib.contextmanager
def started(service: Counting) -> Iterator[threading.Semaphore]:
    """The semaphore of the predictor's steps, while the service runs."""
    service.start()
    try:
        yield service.predictor.steps
    finally:
        service.predictor.steps.release(1000)  # the thread ends after a failure, too
        service.threads.close()


@given(st.lists(st.integers(0, LIMITS.max_batch), min_size=1, max_size=40))
def test_admitted_photo_waits_for_fewer_photos_than_permits(service, events):
    """An event is one step of the predictor (0), or a request with this number of photos."""

    async def scenario(steps: threading.Semaphore) -> list[int]:
        transport = httpx.ASGITransport(app=service.protected())
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            requests = []
            for photos in events:
                if photos:
                    form = [("image", ("a.jpg", b"photo")) for _ in range(photos)]
                    requests.append(asyncio.create_task(client.post("/predict_batch", files=form)))
                else:
                    steps.release()
                for _ in range(20):
                    await asyncio.sleep(0)
            steps.release(sum(events) + 1)
            return [response.status_code for response in await asyncio.gather(*requests)]

    with started(service) as steps:
        statuses = asyncio.run(scenario(steps))
    assert set(statuses) <= {200, 503}
    assert service.most <= PERMITS
    assert max(service.waits, default=0) < PERMITS
    assert sum(events) > PERMITS or 503 not in statuses


def test_admits_as_many_simultaneous_requests_as_permits(service):
    async def scenario(steps: threading.Semaphore) -> list[int]:
        transport = httpx.ASGITransport(app=service.protected())
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            requests = [asyncio.create_task(client.post("/predict", content=b"photo")) for _ in range(3 * PERMITS)]
            for _ in range(100):
                await asyncio.sleep(0)
            steps.release(len(requests))
            return [response.status_code for response in await asyncio.gather(*requests)]

    with started(service) as steps:
        statuses = asyncio.run(scenario(steps))
    assert sorted(statuses) == [200] * PERMITS + [503] * 2 * PERMITS
    assert sorted(service.waits) == list(range(PERMITS))
