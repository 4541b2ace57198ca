"""Offers of an upgrade to another protocol are ignored (RFC 9110 §7.8). Java's client and `curl --http2` send them.

httptools 0.9.0 ends a request with an offer after its headers, and takes its body for the other protocol. uvicorn makes its
parsers by httptools' public name, which `ignore` sets to a class that reads such headers again, without the offer.
`BITBLOOM_IGNORE_UPGRADES=false` leaves httptools as it is.
"""

from __future__ import annotations

import os
import weakref
from array import array
from typing import Any

import httptools

VARIABLE = "BITBLOOM_IGNORE_UPGRADES"


class Parser(httptools.HttpRequestParser):
    """A parser whose protocol sees no offer. A CONNECT still raises HttpParserUpgrade."""

    def __init__(self, protocol: Any) -> None:
        self.headers = Headers(protocol, weakref.proxy(self))  # a strong reference would keep closed connections
        self.leniencies: dict[str, bool | None] = {}
        super().__init__(self.headers)

    def set_dangerous_leniencies(self, **chosen: bool | None) -> None:  # type: ignore[override]  # uvicorn names its choices
        """Set them also for requests that are read again."""
        self.leniencies |= chosen
        super().set_dangerous_leniencies(**self.leniencies)

    def feed_data(self, data: bytes | bytearray | memoryview | array[int]) -> None:
        """Parse what a connection has received: a part of a request, or several requests."""
        while True:
            try:
                return super().feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if not self.headers.are_offer():
                    raise
                headers = self.headers.without_offer()
                super().__init__(self.headers)  # after `Connection: close, Upgrade` it would read nothing more
                self.set_dangerous_leniencies()
                super().feed_data(headers)
                data = memoryview(data)[upgrade.args[0] :]


class Headers:
    """Keeps the headers of a request, and calls the protocol, but not at the end of headers that are read again."""

    def __init__(self, protocol: Any, parser: Parser) -> None:
        self.protocol, self.parser = protocol, parser

    def __getattr__(self, name: str) -> Any:
        return getattr(self.protocol, name)

    def on_message_begin(self) -> None:
        self.url, self.fields = b"", list[tuple[bytes, bytes]]()
        self.protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        self.url += url
        self.protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))
        self.protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self.are_offer():
            self.protocol.on_headers_complete()

    def on_message_complete(self) -> None:
        if not self.are_offer():
            self.protocol.on_message_complete()

    def are_offer(self) -> bool:
        """Whether they offer an upgrade. CONNECT demands one."""
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"

    def without_offer(self) -> bytes:
        """The request up to its body, without the fields `Upgrade`."""
        start = b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        kept = [b"%s: %s" % field for field in self.fields if field[0].lower() != b"upgrade"]
        return b"\r\n".join([start, *kept, b"", b""])


def ignore() -> None:
    """Ignore upgrades that clients offer to servers of this process."""
    if os.environ.get(VARIABLE, "true").lower() != "false":
        setattr(httptools, "HttpRequestParser", Parser)  # noqa: B010 -- mypy rejects an assignment to a class
