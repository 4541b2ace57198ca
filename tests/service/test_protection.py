"""What stands before the routes: headers, the token, admission and bounds on bodies, around an application of one route."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st

from bitbloom.core.errors import BitBloomError
from bitbloom.serving import protection, refusals
from bitbloom.serving.settings import TOKEN_VARIABLE, Settings

SETTINGS = Settings(
    target="t", task="t", kind="image", title="", max_bytes=1, max_pixels=1, max_batch=1,
    max_requests=2, held_bytes=1000, body_seconds=5.0, unsure_below=0.5,
)  # fmt: skip


@pytest.fixture(autouse=True)
def without_a_token(monkeypatch):
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)


class Slow:
    """An application that answers with the length of the body once it is let go."""

    def __init__(self, **changed: float) -> None:
        self.gate, self.entered = asyncio.Event(), 0
        app = FastAPI()
        app.post("/count")(self.count)
        app.get("/names")(self.names)
        refusals.handle(app)
        protection.add(app, replace(SETTINGS, **changed))
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://service")

    async def count(self, request: Request, places: int = 1) -> int:
        length = len(await request.body())
        protection.occupy(request, places)
        self.entered += 1
        await self.gate.wait()
        return length

    async def names(self) -> str:
        return "open to all"

    async def until_entered(self, count: int) -> None:
        while self.entered < count:
            await asyncio.sleep(0.001)


def test_who_comes_when_it_is_full_is_told_when_to_ask_again_and_it_recovers():
    async def scenario():
        slow = Slow()
        inside = [asyncio.create_task(slow.client.post("/count", content=b"abc")) for _ in range(2)]
        await slow.until_entered(2)
        refused = await slow.client.post("/count", content=b"abc")
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert "ask again" in refused.json()["error"]
        assert (await slow.client.get("/names")).status_code == 200
        slow.gate.set()
        assert [each.status_code for each in await asyncio.gather(*inside)] == [200, 200]
        assert (await slow.client.post("/count", content=b"abc")).json() == 3

    asyncio.run(scenario())


@given(st.lists(st.integers(0, 600), min_size=1, max_size=8), st.integers(1, 5))
def test_never_more_bytes_are_held_than_may_be_and_none_is_forgotten(sizes, rounds):
    async def scenario():
        slow = Slow(max_requests=100)
        for _ in range(rounds):
            slow.gate.clear()
            slow.entered = 0
            asked = [asyncio.create_task(slow.client.post("/count", content=bytes(size))) for size in sizes]
            for _ in range(20):
                await asyncio.sleep(0)
            slow.gate.set()
            answers = await asyncio.gather(*asked)
            taken = [size for size, answer in zip(sizes, answers, strict=True) if answer.status_code == 200]
            assert sum(taken) <= SETTINGS.held_bytes
            assert {answer.status_code for answer in answers} <= {200, 503}
            assert len(taken) == len(sizes) or sum(sizes) > SETTINGS.held_bytes
            assert answers[0].status_code == 200

    asyncio.run(scenario())


def test_a_body_that_does_not_arrive_in_time_is_refused_and_its_place_is_free_again():
    async def scenario():
        slow = Slow(max_requests=1, body_seconds=0.05)
        slow.gate.set()

        async def endless():
            while True:
                yield b"x"
                await asyncio.sleep(0.01)

        refused = await slow.client.post("/count", content=endless())
        assert refused.status_code == 408
        assert refused.headers["connection"] == "close"
        assert (await slow.client.post("/count", content=b"abcd")).json() == 4

    asyncio.run(scenario())


def test_a_body_that_arrived_in_time_may_be_thought_about_for_longer():
    async def scenario():
        slow = Slow(body_seconds=0.05)
        asked = asyncio.create_task(slow.client.post("/count", content=b"ab"))
        await slow.until_entered(1)
        await asyncio.sleep(0.1)
        slow.gate.set()
        assert (await asked).json() == 2

    asyncio.run(scenario())


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.data())
def test_what_is_inside_never_counts_as_more_than_there_are_places_and_all_are_free_at_the_end(sizes, draw):
    async def scenario():
        slow = Slow(max_requests=8, held_bytes=10_000)
        asked = []
        for size in sizes:
            asked.append(asyncio.create_task(slow.client.post(f"/count?places={size}")))
            if draw.draw(st.booleans()):
                await asyncio.sleep(0)
        for _ in range(30):
            await asyncio.sleep(0)
        inside = slow.entered
        slow.gate.set()
        answers = await asyncio.gather(*asked)
        taken = [min(size, 8) for size, answer in zip(sizes, answers, strict=True) if answer.status_code == 200]
        assert sum(taken) <= 8
        assert len(taken) == inside
        assert {answer.status_code for answer in answers} <= {200, 503}
        assert sum(sizes) > 8 or len(taken) == len(sizes)
        assert (await slow.client.post("/count?places=8")).status_code == 200

    asyncio.run(scenario())


def test_a_request_of_more_questions_than_there_are_places_takes_all_of_them():
    async def scenario():
        slow = Slow(max_requests=2)
        asked = asyncio.create_task(slow.client.post("/count?places=100"))
        await slow.until_entered(1)
        assert (await slow.client.post("/count")).status_code == 503
        slow.gate.set()
        assert (await asked).status_code == 200
        assert (await slow.client.post("/count")).status_code == 200

    asyncio.run(scenario())


def test_a_question_without_an_answer_is_told_so_and_its_place_is_free_again(monkeypatch):
    monkeypatch.setattr(protection, "ANSWER_SECONDS", 0.05)

    async def scenario():
        slow = Slow(max_requests=1)
        late = await slow.client.post("/count", content=b"abc")
        assert late.status_code == 504
        assert "no answer after 0.05 s" in late.json()["error"]
        assert "connection" not in late.headers
        slow.gate.set()
        assert (await slow.client.post("/count", content=b"abc")).json() == 3

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401),
        ("Bearer wrong", 401),
        ("Basic secret", 401),
        ("Bearer secr\u00e9t", 401),
        ("Bearer secret", 200),
        ("bearer  secret", 200),
    ],
)
def test_a_question_has_to_bring_the_token_where_one_is_set(monkeypatch, header, status):
    monkeypatch.setenv(TOKEN_VARIABLE, "secret")

    async def scenario():
        slow = Slow()
        slow.gate.set()
        headers = {"Authorization": header.encode("latin-1")} if header else {}
        answer = await slow.client.post("/count", content=b"a", headers=headers)
        assert answer.status_code == status
        assert ("www-authenticate" in answer.headers) == (status == 401)
        assert (await slow.client.get("/names")).status_code == 200

    asyncio.run(scenario())


def test_a_token_from_a_file_with_its_newline_is_the_token(monkeypatch):
    monkeypatch.setenv(TOKEN_VARIABLE, "secret\n")

    async def scenario():
        slow = Slow()
        slow.gate.set()
        assert (await slow.client.post("/count", headers={"Authorization": "Bearer secret"})).status_code == 200

    asyncio.run(scenario())


def test_a_token_that_no_header_can_carry_is_an_error_at_the_start(monkeypatch):
    monkeypatch.setenv(TOKEN_VARIABLE, "geheimnisvoll für alle")
    with pytest.raises(BitBloomError, match="ASCII"):
        Slow()


def test_what_is_refused_early_and_goes_on_for_long_costs_the_connection(monkeypatch):
    monkeypatch.setenv(TOKEN_VARIABLE, "secret")
    monkeypatch.setattr(protection, "DISCARDED", 10_000)
    sent = []

    async def endless():
        for _ in range(10_000):
            sent.append(1000)
            yield bytes(1000)

    async def scenario():
        slow = Slow()
        refused = await slow.client.post("/count", content=endless())
        assert refused.status_code == 401
        assert refused.headers["connection"] == "close"
        assert sum(sent) < 20_000
        short = await slow.client.post("/count", content=b"abc")
        assert short.status_code == 401
        assert "connection" not in short.headers

    asyncio.run(scenario())


@pytest.mark.parametrize("route", ["/names", "/count", "/nowhere"])
def test_every_answer_forbids_what_the_page_does_not_need(route):
    async def scenario():
        answer = await Slow().client.get(route)
        for name, value in protection.HEADERS.items():
            assert answer.headers[name] == value

    asyncio.run(scenario())
