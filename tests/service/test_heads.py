"""Bounds on what comes over a line outside of bodies, on a server with an application that answers when it is told to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import ClassVar

import pytest
import uvicorn

from bitbloom.serving.heads import MOST_BYTES, BoundedHeads

SECONDS = 0.3
QUESTION = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
Scenario = Callable[["Line"], Awaitable[None]]


class Line:
    """A line to a server."""

    gate: ClassVar[asyncio.Event]
    """Until it is set, nothing is answered."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> bytes:
        return await self.reader.readuntil(b"yes")

    async def to_its_end(self) -> bytes:
        async with asyncio.timeout(20):
            return await self.reader.read()


async def application(scope, receive, send) -> None:
    assert scope["type"] == "http"
    await Line.gate.wait()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
    await send({"type": "http.response.body", "body": b"yes"})


@asynccontextmanager
async def line() -> AsyncIterator[Line]:
    Line.gate = asyncio.Event()
    Line.gate.set()
    protocol = type("Protocol", (BoundedHeads,), {"seconds": SECONDS})
    config = uvicorn.Config(application, http=protocol, log_level="critical", lifespan="off", timeout_keep_alive=30)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        try:
            yield Line(reader, writer)
        finally:
            writer.close()
            server.should_exit = True
            Line.gate.set()
            await serving


def run(scenario: Scenario) -> None:
    async def on_a_line() -> None:
        async with line() as one:
            await scenario(one)

    asyncio.run(on_a_line())


def test_questions_one_after_the_other_and_in_pieces_are_answered():
    async def scenario(line):
        for _ in range(3):
            for piece in (QUESTION[:5], QUESTION[5:20], QUESTION[20:]):
                await line.send(piece)
                await asyncio.sleep(SECONDS / 10)
            assert (await line.answer()).startswith(b"HTTP/1.1 200")

    run(scenario)


@pytest.mark.parametrize("header", [b"X-Long: ", b"X-Many: b\r\n"], ids=["one-long", "many"])
@pytest.mark.parametrize("before", [0, 1], ids=["first", "after-an-answer"])
def test_a_head_without_end_is_refused(header, before):
    async def scenario(line):
        for _ in range(before):
            await line.send(QUESTION)
            await line.answer()
        await line.send((QUESTION[:-2] + header * (MOST_BYTES // len(header))).ljust(MOST_BYTES, b"a")[:MOST_BYTES])
        await asyncio.sleep(SECONDS / 10)
        await line.send(b"a")
        assert (await line.to_its_end()).startswith(b"HTTP/1.1 431")

    run(scenario)


@pytest.mark.parametrize("before", [0, 1], ids=["first", "after-an-answer"])
def test_a_head_that_takes_too_long_is_refused(before):
    async def scenario(line):
        for _ in range(before):
            await line.send(QUESTION)
            await line.answer()
        await line.send(QUESTION[:-2])
        assert (await line.to_its_end()).startswith(b"HTTP/1.1 408")

    run(scenario)


def test_a_line_on_which_nothing_comes_is_closed_without_a_word():
    async def scenario(line):
        assert await line.to_its_end() == b""

    run(scenario)


@pytest.mark.parametrize("idle", [b"\r\n", b"G"], ids=["empty-line", "half-a-head"])
def test_bytes_that_begin_nothing_do_not_keep_a_line_open(idle):
    async def scenario(line):
        await line.send(QUESTION)
        await line.answer()
        await line.send(idle)
        assert b"200" not in await line.to_its_end()

    run(scenario)


def test_a_body_behind_its_answer_does_not_keep_a_line_open():
    async def scenario(line):
        await line.send(QUESTION[:-2] + b"Content-Length: 1000000000\r\n\r\n")
        await line.answer()
        await line.send(b"a")
        assert await line.to_its_end() == b""

    run(scenario)


def test_trailers_without_end_cost_the_line():
    async def scenario(line):
        await line.send(CHUNKED + b"0\r\n")
        await line.answer()
        with pytest.raises(ConnectionError):
            for _ in range(1_000):
                await line.send(b"X-Trailer: b\r\n" * 1_000)
                await asyncio.sleep(0)

    run(scenario)


def test_half_a_head_behind_questions_that_wait_for_their_answers_is_waited_for():
    async def scenario(line):
        Line.gate.clear()
        await line.send(2 * QUESTION + QUESTION[:5])
        await asyncio.sleep(2 * SECONDS)
        Line.gate.set()
        await line.answer()
        await line.answer()
        await line.send(QUESTION[5:])
        assert (await line.answer()).startswith(b"HTTP/1.1 200")

    run(scenario)


def test_nothing_is_said_into_an_answer_that_is_due():
    async def scenario(line):
        Line.gate.clear()
        await line.send(QUESTION)
        await asyncio.sleep(SECONDS / 10)
        await line.send(QUESTION[:-2])
        await line.send(b"X-Long: " + b"a" * MOST_BYTES)
        assert await line.to_its_end() == b""

    run(scenario)
