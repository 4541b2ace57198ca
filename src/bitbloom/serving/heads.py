"""Bounds on what comes over a line outside of bodies: the head of a request (its first line and headers), trailers, idle bytes.

    bound(settings.body_seconds)  # before the server starts

It comes before any application can refuse it. BentoML starts uvicorn itself and leaves it the choice of a parser: httptools,
in C, which reads and keeps headers without end.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import ClassVar

from uvicorn import config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_BYTES = 16_384
"""Of a head, as h11 has it. One that comes in a single read is not refused: an event loop reads at most 256 KiB at a time."""


def bound(seconds: float) -> None:
    """Let servers that start from now on refuse heads that are too big (431) or not here in time (408)."""
    BoundedHeads.seconds = seconds
    config.HTTP_PROTOCOLS["auto"] = f"{__name__}:{BoundedHeads.__name__}"


class BoundedHeads(HttpToolsProtocol):
    """A line of HTTP/1.1. While nothing at all comes between two requests, uvicorn's own `timeout_keep_alive` holds."""

    seconds: ClassVar[float]
    awaited = True
    """Whether a head is awaited: the first one, or one that began and is not at its end."""
    size = 0
    """Bytes since the last head, or piece of a body."""
    late: asyncio.TimerHandle | None = None
    """Runs while something else than a body or an answer is awaited."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own narrowing
        """Await the first head."""
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        """Parse, and see whether that brought anything."""
        self.size += len(data)
        super().data_received(data)
        if self.transport.is_closing() or self.transport.get_protocol() is not self:  # refused, or a WebSocket from now on
            return
        if self.size > MOST_BYTES:
            self._refuse(431, f"the headers have more than {MOST_BYTES:,} bytes: send less")
        elif self.late is None and not self._answering():
            self._start_timer()

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self.awaited = True

    def on_headers_complete(self) -> None:
        """It is here."""
        self.awaited, self.size = False, 0
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of a body, which the application bounds."""
        self.size = 0
        super().on_body(body)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._stop_timer()
        super().connection_lost(exc)

    def _answering(self) -> bool:
        """Whether an earlier request still waits for its answer: what comes behind it may have to wait, too."""
        return self.cycle is not None and not self.cycle.response_complete

    def _start_timer(self) -> None:
        self.late = self.loop.call_later(self.seconds, self._is_late)

    def _stop_timer(self) -> None:
        if self.late is not None:
            self.late.cancel()
            self.late = None

    def _is_late(self) -> None:
        self.late = None
        if self.headers is None:  # a browser opens lines that it may need: an answer to no question would confuse it
            self.transport.close()
        else:
            self._refuse(408, f"the headers took more than {self.seconds:g} s to arrive: send them over a faster line")

    def _refuse(self, status: int, message: str) -> None:
        """Close the line, on which nothing can be understood from here on; say why, unless an answer to something else is due."""
        self._stop_timer()
        if self.awaited and not self._answering():
            body = json.dumps({"error": message})
            head = (
                f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
            )
            self.transport.write(f"{head}\r\nConnection: close\r\n\r\n{body}".encode())
        self.transport.close()
