"""Offered upgrades are ignored: an application sees the requests that it would see without the offers."""

from __future__ import annotations

import gc
import weakref

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitbloom.serving import upgrades

OFFERS = {
    "java": [b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAEAAEAAAAIAAAAB", b"Upgrade: h2c"],
    "two-lines": [b"Upgrade: h2c", b"upgrade: TLS/1.3", b"Connection: keep-alive, Upgrade"],
    "websocket": [b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="],
    "without-connection": [b"Upgrade: h2c"],
    "without-upgrade": [b"Connection: upgrade"],
    "none": [],
}
LOOKS_LIKE_A_REQUEST = b"POST / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 3\r\n\r\nabc"


class Application:
    """Keeps what a parser tells it, as uvicorn does: requests with their headers and bodies."""

    def __init__(self) -> None:
        self.finished: list[dict] = []
        self.parser = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        self.now = {"url": b"", "headers": [], "body": b"", "started": 0}

    def on_url(self, url: bytes) -> None:
        self.now["url"] += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.now["headers"].append((name, value))

    def on_headers_complete(self) -> None:
        self.now |= {"method": self.parser.get_method(), "keep": self.parser.should_keep_alive()}
        self.now["started"] += 1

    def on_body(self, body: bytes) -> None:
        self.now["body"] += body

    def on_message_complete(self) -> None:
        self.finished.append(self.now)


def request(offer: list[bytes], body: bytes, chunked: bool) -> bytes:
    """A POST with an offer, which a body follows as a whole or in chunks."""
    length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
    chunks = [body[start : start + 7] for start in range(0, len(body), 7)]
    sent = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n" if chunked else body
    return b"\r\n".join([b"POST /predict?top=3 HTTP/1.1", b"Host: a", *offer, length, b"", sent])


def received(parser: type, pieces: list[bytes]) -> list[dict]:
    """The requests that an application sees."""
    application = Application()
    application.parser = parser(application)
    application.parser.set_dangerous_leniencies(lenient_data_after_close=True)
    for piece in pieces:
        application.parser.feed_data(piece)
    return application.finished


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Data in pieces, cut at these places."""
    ends = sorted(place % (len(data) + 1) for place in places)
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]


BODIES = st.one_of(st.binary(max_size=40), st.just(LOOKS_LIKE_A_REQUEST))
REQUESTS = st.lists(st.tuples(st.sampled_from(sorted(OFFERS)), BODIES, st.booleans()), min_size=1, max_size=3)


@given(REQUESTS, st.lists(st.integers(0, 2000), max_size=6))
def test_application_sees_the_requests_without_offers(requests, places):
    """However they are cut into pieces, and whatever their bodies look like."""
    sent = b"".join(request(OFFERS[offer], body, chunked) for offer, body, chunked in requests)
    kept = [[field for field in OFFERS[offer] if not field.lower().startswith(b"upgrade:")] for offer, _, _ in requests]
    plain = [request(fields, body, chunked) for fields, (_, body, chunked) in zip(kept, requests, strict=True)]
    found = received(upgrades.Parser, cut(sent, places))
    for one in found:
        one["headers"] = [field for field in one["headers"] if field[0].lower() != b"upgrade"]  # an offer without `Connection`
    assert found == received(httptools.HttpRequestParser, plain)
    assert [(one["body"], one["started"]) for one in found] == [(body, 1) for _, body, _ in requests]


@pytest.mark.parametrize("size", [1, 5, 10_000], ids=["bytes", "pieces", "whole"])
def test_reads_the_body_of_a_last_request(size):
    sent = request([b"Connection: close, Upgrade", b"Upgrade: h2c"], b"photo", chunked=False)
    found = received(upgrades.Parser, [sent[start : start + size] for start in range(0, len(sent), size)])
    assert [(one["body"], one["keep"]) for one in found] == [(b"photo", False)]


def test_leaves_tunnels_to_httptools():
    with pytest.raises(httptools.HttpParserUpgrade):
        received(upgrades.Parser, [b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\nhello"])


def test_invalid_request_with_offer_is_an_error():
    with pytest.raises(httptools.HttpParserError):
        received(upgrades.Parser, [b"POST / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: x\r\n\r\n"])


def test_closed_connection_is_freed_without_a_search_for_cycles():
    application = Application()
    application.parser = upgrades.Parser(application)
    application.parser.feed_data(request(OFFERS["java"], b"photo", chunked=False))
    parser = weakref.ref(application.parser)
    gc.disable()
    try:
        application.parser = None
        assert parser() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("value", "expected"), [(None, upgrades.Parser), ("true", upgrades.Parser), ("false", httptools.HttpRequestParser)]
)
def test_ignores_upgrades_unless_switched_off(monkeypatch, value, expected):
    monkeypatch.setattr(httptools, "HttpRequestParser", httptools.HttpRequestParser)
    monkeypatch.delenv(upgrades.VARIABLE, raising=False)
    if value:
        monkeypatch.setenv(upgrades.VARIABLE, value)
    upgrades.ignore()
    assert httptools.HttpRequestParser is expected
