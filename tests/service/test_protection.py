"""The middleware in front of the routes: headers, the token, admission and bounds on bodies, around one slow route."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import ASGIApp

from bitbloom.core.errors import BitBloomError
from bitbloom.serving import protection, rejections
from bitbloom.serving.settings import ORIGINS_VARIABLE, TOKEN_VARIABLE, Settings

SETTINGS = Settings(
    target="t", task="t", kind="image", title="", max_bytes=1, max_pixels=1, max_batch=1,
    max_requests=2, held_bytes=1000, body_seconds=5.0, unsure_below=0.5,
)  # fmt: skip
LIMITS = {"count": protection.Limit(700, "send fewer than 700"), "failing": protection.Limit(10, "send fewer than 10")}


@pytest.fixture(autouse=True)
def without_token(monkeypatch):
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)


class Slow:
    """An application that responds with the length of the body after its gate is opened."""

    def __init__(self, **changed: float) -> None:
        self.gate, self.entered = asyncio.Event(), 0
        routes = FastAPI()
        for path in ("/count", "/v1/count", "/other"):
            routes.post(path)(self.count)
        routes.post("/failing")(self.failing)
        routes.get("/names")(self.names)
        rejections.handle(routes)
        app: ASGIApp = routes
        for middleware, options in reversed(protection.middleware(replace(SETTINGS, **changed), LIMITS)):
            app = middleware(app, **options)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://service")

    async def count(self, request: Request, permits: int = 1) -> int:
        length = len(await request.body())
        protection.occupy(permits)
        self.entered += 1
        await self.gate.wait()
        return length

    async def failing(self, request: Request) -> JSONResponse:
        """As BentoML does, make a response of its own of any exception while the body is read."""
        try:
            await request.body()
        except Exception:
            return JSONResponse({"error": "an unexpected error"}, 500)
        return JSONResponse("read")

    async def names(self) -> str:
        return "open to all"

    async def until_entered(self, count: int) -> None:
        while self.entered < count:
            await asyncio.sleep(0.001)


def test_rejects_with_retry_after_when_all_permits_are_taken_and_recovers():
    async def scenario():
        slow = Slow()
        admitted = [asyncio.create_task(slow.client.post("/count", content=b"abc")) for _ in range(2)]
        await slow.until_entered(2)
        rejected = await slow.client.post("/count", content=b"abc")
        assert rejected.status_code == 503
        assert int(rejected.headers["retry-after"]) >= 1
        assert "try again" in rejected.json()["error"]
        assert (await slow.client.get("/names")).status_code == 200
        slow.gate.set()
        assert [each.status_code for each in await asyncio.gather(*admitted)] == [200, 200]
        assert (await slow.client.post("/count", content=b"abc")).json() == 3

    asyncio.run(scenario())


@given(st.lists(st.integers(0, 600), min_size=1, max_size=8), st.integers(1, 5))
def test_holds_at_most_the_bytes_of_the_limit_and_releases_them_all(sizes, rounds):
    async def scenario():
        slow = Slow(max_requests=100)
        for _ in range(rounds):
            slow.gate.clear()
            slow.entered = 0
            requests = [asyncio.create_task(slow.client.post("/count", content=bytes(size))) for size in sizes]
            for _ in range(20):
                await asyncio.sleep(0)
            slow.gate.set()
            responses = await asyncio.gather(*requests)
            taken = [size for size, response in zip(sizes, responses, strict=True) if response.status_code == 200]
            assert sum(taken) <= SETTINGS.held_bytes
            assert {response.status_code for response in responses} <= {200, 503}
            assert len(taken) == len(sizes) or sum(sizes) > SETTINGS.held_bytes
            assert responses[0].status_code == 200

    asyncio.run(scenario())


def test_rejects_slow_body_and_releases_its_permit():
    async def scenario():
        slow = Slow(max_requests=1, body_seconds=0.05)
        slow.gate.set()

        async def endless():
            while True:
                yield b"x"
                await asyncio.sleep(0.01)

        rejected = await slow.client.post("/count", content=endless())
        assert rejected.status_code == 408
        assert rejected.headers["connection"] == "close"
        assert (await slow.client.post("/count", content=b"abcd")).json() == 4

    asyncio.run(scenario())


def test_computes_longer_than_a_body_may_take_to_arrive():
    async def scenario():
        slow = Slow(body_seconds=0.05)
        request = asyncio.create_task(slow.client.post("/count", content=b"ab"))
        await slow.until_entered(1)
        await asyncio.sleep(0.1)
        slow.gate.set()
        assert (await request).json() == 2

    asyncio.run(scenario())


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.data())
def test_takes_at_most_all_permits_and_releases_them_all(sizes, draw):
    async def scenario():
        slow = Slow(max_requests=8, held_bytes=10_000)
        requests = []
        for size in sizes:
            requests.append(asyncio.create_task(slow.client.post(f"/count?permits={size}")))
            if draw.draw(st.booleans()):
                await asyncio.sleep(0)
        for _ in range(30):
            await asyncio.sleep(0)
        admitted = slow.entered
        slow.gate.set()
        responses = await asyncio.gather(*requests)
        taken = [min(size, 8) for size, response in zip(sizes, responses, strict=True) if response.status_code == 200]
        assert sum(taken) <= 8
        assert len(taken) == admitted
        assert {response.status_code for response in responses} <= {200, 503}
        assert sum(sizes) > 8 or len(taken) == len(sizes)
        assert (await slow.client.post("/count?permits=8")).status_code == 200

    asyncio.run(scenario())


def test_takes_all_permits_for_a_request_of_more_work():
    async def scenario():
        slow = Slow(max_requests=2)
        request = asyncio.create_task(slow.client.post("/count?permits=100"))
        await slow.until_entered(1)
        assert (await slow.client.post("/count")).status_code == 503
        slow.gate.set()
        assert (await request).status_code == 200
        assert (await slow.client.post("/count")).status_code == 200

    asyncio.run(scenario())


@pytest.mark.parametrize(("route", "most"), [("/count", 700), ("/v1/count", 700), ("/other", 500)])
def test_rejects_body_over_the_limit_of_its_route(route, most):
    async def scenario():
        slow = Slow()
        slow.gate.set()
        assert (await slow.client.post(route, content=bytes(most))).json() == most
        rejected = await slow.client.post(route, content=bytes(most + 1))
        assert rejected.status_code == 413
        assert "send" in rejected.json()["error"]

    asyncio.run(scenario())


def test_sends_the_reason_of_a_rejection_whatever_the_application_makes_of_it():
    async def scenario():
        slow = Slow()
        assert (await slow.client.post("/failing", content=bytes(10))).json() == "read"
        rejected = await slow.client.post("/failing", content=bytes(11))
        assert (rejected.status_code, rejected.json()) == (413, {"error": "send fewer than 10"})

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
def test_requires_the_token_where_one_is_set(monkeypatch, header, status):
    monkeypatch.setenv(TOKEN_VARIABLE, "secret")

    async def scenario():
        slow = Slow()
        slow.gate.set()
        headers = {"Authorization": header.encode("latin-1")} if header else {}
        response = await slow.client.post("/count", content=b"a", headers=headers)
        assert response.status_code == status
        assert ("www-authenticate" in response.headers) == (status == 401)
        assert (await slow.client.get("/names")).status_code == 200

    asyncio.run(scenario())


def test_ignores_newline_at_the_end_of_the_token(monkeypatch):
    monkeypatch.setenv(TOKEN_VARIABLE, "secret\n")

    async def scenario():
        slow = Slow()
        slow.gate.set()
        assert (await slow.client.post("/count", headers={"Authorization": "Bearer secret"})).status_code == 200

    asyncio.run(scenario())


def test_rejects_token_outside_ascii_at_the_start(monkeypatch):
    monkeypatch.setenv(TOKEN_VARIABLE, "geheimnisvoll für alle")
    with pytest.raises(BitBloomError, match="ASCII"):
        Slow()


def test_closes_the_connection_of_a_rejected_body_that_continues(monkeypatch):
    monkeypatch.setenv(TOKEN_VARIABLE, "secret")
    monkeypatch.setattr(protection, "DRAINED", 10_000)
    sent = []

    async def endless():
        for _ in range(10_000):
            sent.append(1000)
            yield bytes(1000)

    async def scenario():
        slow = Slow()
        rejected = await slow.client.post("/count", content=endless())
        assert rejected.status_code == 401
        assert rejected.headers["connection"] == "close"
        assert sum(sent) < 20_000
        short = await slow.client.post("/count", content=b"abc")
        assert short.status_code == 401
        assert "connection" not in short.headers

    asyncio.run(scenario())


@pytest.mark.parametrize("route", ["/names", "/count", "/nowhere"])
def test_sends_security_headers_with_every_response(route):
    async def scenario():
        response = await Slow().client.get(route)
        for name, value in protection.HEADERS.items():
            assert response.headers[name] == value

    asyncio.run(scenario())


def test_admits_pages_of_the_named_origins_alone(monkeypatch):
    monkeypatch.setenv(ORIGINS_VARIABLE, "https://flowers.example, https://garden.example")

    async def scenario():
        slow = Slow()
        slow.gate.set()
        for origin, allowed in {"https://garden.example": True, "https://other.example": False}.items():
            preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            assert (await slow.client.options("/count", headers=preflight)).is_success == allowed
            response = await slow.client.post("/count", content=b"a", headers={"Origin": origin})
            assert response.headers.get("access-control-allow-origin") == (origin if allowed else None)

    asyncio.run(scenario())
