"""Offers of an upgrade to another protocol are ignored (RFC 9110 §7.8). Java's client and `curl --http2` send them.

httptools 0.9.0 ends such a request after its headers, and loses the body. uvicorn makes its parsers by httptools' public name,
which `ignore` sets to a class that hides the offer. `BITBLOOM_IGNORE_UPGRADES=false` leaves httptools as it is.
"""

from __future__ import annotations

import os
import re
from array import array

import httptools

VARIABLE = "BITBLOOM_IGNORE_UPGRADES"
OFFER = re.compile(rb"([A-Z]+ [^\r\n]+\r\n(?:[^\r\n]+\r\n)*?)upgrade(?=:(?![ \t]*websocket))", re.IGNORECASE)
"""The beginning of a request, up to the header that offers an upgrade."""
HIDDEN = rb"\1ignored"
"""The same with another name of the same length, so that no length in the request changes."""


class Parser(httptools.HttpRequestParser):
    """A parser that sees no offered upgrade, except to WebSocket."""

    def feed_data(self, data: bytes | bytearray | memoryview | array[int]) -> None:
        """Parse what a connection has received. Headers in several pieces keep their offer; clients send them in one."""
        super().feed_data(OFFER.sub(HIDDEN, data, 1) if OFFER.match(data) else data)


def ignore() -> None:
    """Ignore upgrades that clients offer to servers of this process."""
    if os.environ.get(VARIABLE, "true").lower() != "false":
        setattr(httptools, "HttpRequestParser", Parser)  # noqa: B010 -- mypy rejects an assignment to a class
