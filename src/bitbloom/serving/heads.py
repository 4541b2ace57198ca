"""Bounds on the head of a request (its first line and headers), which arrives before any application can refuse it.

    bound(settings.body_seconds)  # before the server starts

BentoML starts uvicorn itself and leaves it the choice of a parser: httptools, in C, which reads heads without end.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import ClassVar

from uvicorn import config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_BYTES = 16_384
"""Of a head, as h11 has it; beside what came in one piece with its first byte (uvloop reads 256 KiB at a time)."""


def bound(seconds: float) -> None:
    """Let servers that start from now on bound the heads they read: 431 too big, 408 not here in time."""
    BoundedHeads.seconds = seconds
    config.HTTP_PROTOCOLS["auto"] = f"{__name__}:{BoundedHeads.__name__}"


class BoundedHeads(HttpToolsProtocol):
    """A connection of HTTP/1.1. Between its requests uvicorn's own `timeout_keep_alive` holds."""

    seconds: ClassVar[float]
    awaited = True
    """Whether a head is awaited: the first one, or one that began and is not at its end."""
    size = 0
    """Bytes of that head so far, at least."""
    late: asyncio.TimerHandle | None = None
    """Runs while it is awaited."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own narrowing
        """Await the first head."""
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        """Parse, unless these bytes make a head too big."""
        if self.awaited:  # else this piece may hold the end of another request, too
            self.size += len(data)
        super().data_received(data)
        if not self.awaited or self.transport.is_closing():
            return
        if self.size > MOST_BYTES:
            self._refuse(431, f"the headers have more than {MOST_BYTES:,} bytes: send less")
        elif self.late is None:
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

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._stop_timer()
        super().connection_lost(exc)

    def _start_timer(self) -> None:
        self.late = self.loop.call_later(self.seconds, self._is_late)

    def _stop_timer(self) -> None:
        if self.late is not None:
            self.late.cancel()
            self.late = None

    def _is_late(self) -> None:
        if self.headers is not None:
            self._refuse(408, f"the headers took more than {self.seconds:g} s to arrive: send them over a faster line")
        else:  # a browser opens lines that it may need: an answer to no question would confuse it
            self.transport.close()

    def _refuse(self, status: int, message: str) -> None:
        """Answer and close the line, on which nothing can be understood from here on."""
        self._stop_timer()
        body = json.dumps({"error": message})
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        self.transport.write(f"{head}\r\nConnection: close\r\n\r\n{body}".encode())
        self.transport.close()
