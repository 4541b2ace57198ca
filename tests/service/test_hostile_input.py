"""Hostile requests: each gets a response of its own, and the service continues.

Requests generated from a service's own OpenAPI description, and thousands of damaged photos and bodies, over the network.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import random
import socket
import struct
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from PIL import Image
from schemathesis.specs.openapi.checks import positive_data_acceptance

from support import caption_standin
from support.standin import LIMITS, Served, photo

pytestmark = pytest.mark.slow

FAST = r"^/(v1/)?(predict|predict_batch|caption|search|similarity|provenance|service\.json)$"
TYPED = r"^/api/(predict|predict_batch|caption|search|similarity)$"
SERVICES = ["served", "served_texts", "served_captions"]
KINDS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "AVIF")
MUTANTS, OTHERS = 10_000, 2_000
"""Damaged requests to the fast routes of the service of photos, and to those of each other one."""
GROWTH = 200_000_000
"""Growth of the service's memory in a test, in bytes, at most."""


def operations(served: Served, paths: str) -> list[schemathesis.APIOperation]:
    """The operations of a service's description whose paths match."""
    described = schemathesis.openapi.from_url(f"{served.url}/docs.json").include(path_regex=paths)
    return [found.ok() for found in described.get_all_operations()]


@pytest.mark.parametrize("service", SERVICES)
def test_responses_conform_to_the_description(request, service):
    found = operations(request.getfixturevalue(service), FAST)
    assert len(found) >= 6

    for operation in found:

        @settings(max_examples=40, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def conforms(case):
            # A description cannot say that bytes are a photo, or that a text has words: other requests may be rejected.
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        conforms()


@pytest.mark.parametrize("service", SERVICES)
def test_typed_methods_respond_to_their_description_without_failure(request, service):
    found = operations(request.getfixturevalue(service), TYPED)
    assert len(found) >= 2

    for operation in found:

        @settings(max_examples=20, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def responds(case):
            # BentoML describes neither all statuses nor the bodies of its rejections.
            assert only_client_errors([case.call().status_code])

        responds()


def only_client_errors(statuses: Iterable[int]) -> bool:
    """Whether each status is 200 or that of a client error."""
    return all(status == 200 or 400 <= status < 500 for status in statuses)


def memory(served: Served) -> int:
    """Bytes in memory of the processes of a service."""
    port = urlsplit(served.url).port
    owners = {one.pid for one in psutil.net_connections("tcp") if one.laddr and one.laddr.port == port and one.pid}
    family = {process for pid in owners for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))}
    assert family
    return sum(process.memory_info().rss for process in family)


def mutants(count: int) -> Iterator[bytes]:
    """Photos in every format, with bytes replaced, removed, repeated, or taken from another file."""
    generator = random.Random(20)
    whole = [photo((200, 40, 40), 80, 60, kind) for kind in KINDS]
    for number in range(count):
        data = bytearray(whole[number % len(whole)])
        for _ in range(generator.choice((1, 1, 2, 8, 64))):
            at = generator.randrange(len(data))
            match generator.randrange(5):
                case 0:
                    data[at] = generator.randrange(256)
                case 1:
                    del data[at:]
                case 2:
                    data[at:at] = data[at : at + 50]
                case 3:
                    data[at : at + 4] = generator.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"))
                case _:
                    other = generator.choice(whole)
                    data[at:] = other[generator.randrange(len(other)) :]
            if not data:
                break
        yield bytes(data)


PHOTO_FIELD = b'--edge\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
SENTENCE_FIELD = b'\r\n--edge\r\nContent-Disposition: form-data; name="sentence"\r\n\r\n'
SENTENCES_FIELD = SENTENCE_FIELD.replace(b"sentence", b"sentences")
END_OF_FORM = b"\r\n--edge--\r\n"
MULTIPART = "multipart/form-data"
FORM_TYPES = [f"{MULTIPART}; boundary=edge"] * 6 + [MULTIPART, f"{MULTIPART}; boundary=", "image/jpeg", "a/b"]
JSON = "application/json"
JSON_TYPES = [JSON] * 8 + [f"{JSON}; charset=utf-16", "text/plain"]
TEXTS = b'{"texts": ["a flood", {"text": "party!", "keyword": "no%20fire", "location": "here"}], "words": true}'
SEARCH = b'{"sentence": "a red flower", "count": 3}'
PIECES = (
    b"\\ud800",
    b"\\u0000",
    b"\xff",
    b"\xed\xa0\x80",
    b"NaN",
    b"1e999",
    b"9" * 5000,
    b"[" * 2000,
    b'"',
    b"null",
    b"{",
    b"a " * 1200,
)


def damaged(
    count: int, start: bytes, rest: bytes, types: list[str], pieces: tuple[bytes, ...] = ()
) -> Iterator[tuple[bytes, str]]:
    """Bodies with bytes replaced, removed or repeated, mostly in `start`, or a piece inserted; content types may be wrong."""
    generator = random.Random(21)
    whole = start + rest
    for _ in range(count):
        data = bytearray(whole)
        for _ in range(generator.randrange(1, 6)):
            at = generator.randrange(len(data) if generator.random() < 0.3 else len(start))
            if pieces and generator.random() < 0.3:
                data[at:at] = generator.choice(pieces)
            elif generator.random() < 0.6:
                data[at % len(data)] = generator.randrange(256)
            else:
                data[at:at] = data[at : at + generator.randrange(1, 80)]
        yield bytes(data[: generator.randrange(1, len(data)) if generator.random() < 0.3 else None]), generator.choice(types)


def statuses(served: Served, *requests: tuple[str, Iterable[tuple[bytes, str]]]) -> Counter[int]:
    """The number of responses by status, for routes and their bodies. Asserts that memory stays within bounds."""
    with httpx.Client(base_url=served.url, timeout=30) as client:
        before = memory(served)
        seen = Counter(
            client.post(route, content=data, headers={"Content-Type": kind}).status_code
            for route, bodies in requests
            for data, kind in bodies
        )
        assert memory(served) - before < GROWTH
    return seen


def test_rejects_damaged_photos_and_forms(served):
    form = damaged(MUTANTS // 2, PHOTO_FIELD, photo((40, 170, 50)) + END_OF_FORM, FORM_TYPES)
    seen = statuses(served, ("/predict", ((data, "image/jpeg") for data in mutants(MUTANTS // 2))), ("/v1/predict", form))
    assert set(seen) == {200, 400, 415, 422}, seen
    assert httpx.post(f"{served.url}/predict", content=photo((220, 30, 30))).json()["label"] == "poppy"


def test_rejects_damaged_texts(served_texts):
    seen = statuses(served_texts, ("/v1/predict", damaged(OTHERS, TEXTS, b"", JSON_TYPES, PIECES)))
    assert set(seen) == {200, 400, 415, 422}, seen
    whole = {"content": TEXTS, "headers": {"Content-Type": JSON}}
    assert [each["label"] for each in httpx.post(f"{served_texts.url}/predict", **whole).json()] == ["disaster", "not disaster"]


def test_rejects_damaged_photos_forms_and_searches(served_captions):
    form = PHOTO_FIELD, caption_standin.photo("red") + SENTENCE_FIELD + b"a red flower" + END_OF_FORM
    fields = SENTENCE_FIELD.lstrip() + b"a red flower\r\n" + PHOTO_FIELD, caption_standin.photo("red") + END_OF_FORM
    count = OTHERS // 4
    seen = statuses(
        served_captions,
        ("/v1/caption", ((data, "image/jpeg") for data in mutants(count))),
        ("/v1/similarity", damaged(count, *form, FORM_TYPES)),
        ("/v1/similarity", damaged(count, *fields, FORM_TYPES, PIECES)),
        ("/v1/search", damaged(count, SEARCH, b"", JSON_TYPES, PIECES)),
    )
    assert set(seen) == {200, 400, 415, 422}, seen
    found = httpx.post(f"{served_captions.url}/search", content=SEARCH, headers={"Content-Type": JSON}).json()
    assert len(found["photos"]) == 3


def in_form(photo: bytes) -> tuple[bytes, str]:
    """A whole form with a photo, and its type."""
    return PHOTO_FIELD + photo + END_OF_FORM, FORM_TYPES[0]


def test_typed_method_rejects_damaged_photos_and_forms(served):
    count = MUTANTS // 8
    form = damaged(count, PHOTO_FIELD, photo((40, 170, 50)) + END_OF_FORM, [*FORM_TYPES, JSON])
    seen = statuses(served, ("/api/predict", map(in_form, mutants(count))), ("/api/predict", form))
    assert only_client_errors(seen) and {200, 400} <= set(seen), seen
    assert httpx.post(f"{served.url}/api/predict", files={"image": photo((220, 30, 30))}).json()["label"] == "poppy"


def test_typed_method_rejects_damaged_texts(served_texts):
    whole = b'{"text": "a flood", "keyword": "no%20fire", "location": "here", "words": true}'
    seen = statuses(served_texts, ("/api/predict", damaged(OTHERS // 4, whole, b"", JSON_TYPES, PIECES)))
    assert only_client_errors(seen) and {200, 400} <= set(seen), seen
    assert httpx.post(f"{served_texts.url}/api/predict", json={"text": "a flood"}).json()["label"] == "disaster"


def test_typed_methods_reject_damaged_photos_forms_and_sentences(served_captions):
    count = OTHERS // 8
    sentences = SENTENCES_FIELD + b'["a red flower"]'
    form = PHOTO_FIELD, caption_standin.photo("red") + sentences + END_OF_FORM
    fields = sentences.lstrip() + b"\r\n" + PHOTO_FIELD, caption_standin.photo("red") + END_OF_FORM
    seen = statuses(
        served_captions,
        ("/api/caption", map(in_form, mutants(count))),
        ("/api/similarity", damaged(count, *form, FORM_TYPES)),
        ("/api/similarity", damaged(count, *fields, FORM_TYPES, PIECES)),
        ("/api/search", damaged(count, SEARCH, b"", JSON_TYPES, PIECES)),
    )
    assert only_client_errors(seen) and {200, 400} <= set(seen), seen
    found = httpx.post(f"{served_captions.url}/api/search", content=SEARCH, headers={"Content-Type": JSON}).json()
    assert len(found["photos"]) == 3


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    """A PNG with this size in its header, and these rows."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def bomb_of_text() -> bytes:
    """A small image with a comment that unpacks to 100 MB."""
    comment = b"a\0\0" + zlib.compress(bytes(100_000_000), 9)
    whole = png(8, 8, bytes(8 * 25))
    at = whole.index(b"IDAT") - 4
    chunk = struct.pack(">I", len(comment)) + b"zTXt" + comment + struct.pack(">I", zlib.crc32(b"zTXt" + comment))
    return whole[:at] + chunk + whole[at:]


def many_frames() -> bytes:
    """An animation of 500 frames, of which a service needs one."""
    stream = io.BytesIO()
    frames = [Image.new("RGB", (64, 64), (number % 256, 0, 0)) for number in range(500)]
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (png(10_000, 10_000), {422}),
        (png(2**31 - 1, 2**31 - 1), {415, 422}),
        (png(900, 1100, bytes(900 * 1100 * 4)), {200, 422}),
        (bomb_of_text(), {200, 422}),
        (many_frames(), {200}),
        (photo((220, 30, 30)) + b"PK\x03\x04 and a zip behind it", {200}),
        (b"GIF89a<script>alert(1)</script>", {415, 422}),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>", {415}),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/tmp/x) (w) file", {415}),
    ],
    ids=["100-megapixels", "no-such-size", "more-rows", "comment-bomb", "frames", "zip-behind", "script", "svg", "postscript"],
)
def test_malicious_photo_costs_no_failure_and_little_memory(served, data, expected):
    before = memory(served)
    response = httpx.post(f"{served.url}/predict", content=data, timeout=30)
    assert response.status_code in expected, response.text
    assert memory(served) - before < GROWTH
    assert httpx.get(f"{served.url}/readyz").status_code == 200


def connect(served: Served) -> socket.socket:
    """A new connection to a service."""
    where = urlsplit(served.url)
    return socket.create_connection((where.hostname, where.port), timeout=30)


def exchange(served: Served, request: bytes) -> bytes:
    """The response to raw bytes, after which the client sends no more."""
    response = b""
    with connect(served) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(request)
        with contextlib.suppress(OSError):  # ENOTCONN, which is not a ConnectionError: the service has closed the connection
            connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(65_536):
            response += part
    return response


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde", 400),
        (b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (bytes(16_384), 400),
    ],
    ids=["negative", "two-lengths", "broken-chunks", "tls", "zeros"],
)
def test_rejects_wrong_lengths_and_bytes_that_are_not_http(served, request_, status):
    assert exchange(served, request_).startswith(f"HTTP/1.1 {status} ".encode())
    assert httpx.post(f"{served.url}/predict", content=photo((220, 30, 30))).json()["label"] == "poppy"


OFFERS = {
    "java": b"Connection: Upgrade, HTTP2-Settings\r\nHost: a\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\nUpgrade: h2c\r\n",
    "curl": b"Host: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    "lower-case": b"host: a\r\nconnection: upgrade\r\nupgrade: h2c\r\n",
    "tls": b"Host: a\r\nUpgrade: TLS/1.2\r\nConnection: Upgrade\r\n",
    "two": b"Host: a\r\nUpgrade: h2c, TLS/1.3\r\nConnection: keep-alive, Upgrade\r\n",
    "two-lines": b"Host: a\r\nUpgrade: h2c\r\nUpgrade: TLS/1.3\r\nConnection: Upgrade\r\n",
    "websocket": b"Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
    "many-headers": b"Host: a\r\n" + b"X-Padding: %s\r\n" % (b"a" * 1000) * 40 + b"Upgrade: h2c\r\nConnection: Upgrade\r\n",
}


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
@pytest.mark.parametrize("padding", [0, 200_000], ids=["small", "large"])
@pytest.mark.parametrize("chunked", [False, True], ids=["whole", "chunked"])
def test_ignores_offered_upgrades_and_keeps_the_connection(served, offer, padding, chunked):
    body = photo((220, 30, 30)) + bytes(padding)
    framed = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" if chunked else b"Content-Length: %d\r\n\r\n%s"
    with connect(served) as connection:
        for _ in range(2):
            connection.sendall(b"POST /predict HTTP/1.1\r\n" + offer + framed % (len(body), body))
            response = http.client.HTTPResponse(connection, method="POST")
            response.begin()
            assert json.loads(response.read())["label"] == "poppy"


def offering(body: bytes) -> bytes:
    """A request that offers an upgrade."""
    return b"POST /predict HTTP/1.1\r\n" + OFFERS["java"] + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def test_ignores_offered_upgrades_of_a_slow_client(served):
    request = offering(photo((220, 30, 30)))
    with connect(served) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, 220, 20):  # through the headers and into the body
            connection.sendall(request[start : start + 20])
            time.sleep(0.01)
        connection.sendall(request[220:])
        response = http.client.HTTPResponse(connection, method="POST")
        response.begin()
        assert json.loads(response.read())["label"] == "poppy"


def test_responds_in_order_to_pipelined_offers(served):
    requests = [offering(photo((220, 30, 30))), offering(b"no photo"), offering(photo((220, 30, 30)))]
    with connect(served) as connection:
        connection.sendall(b"".join(requests))
        stream = connection.makefile("rb")
        for status in (b"200", b"415", b"200"):
            assert stream.readline().split()[1] == status
            headers = http.client.parse_headers(stream)
            assert json.loads(stream.read(int(headers["content-length"])))


def test_keeps_a_body_that_looks_like_an_offer(served):
    body = photo((220, 30, 30)) + offering(b"no photo")
    with connect(served) as connection:
        connection.sendall(offering(body))
        response = http.client.HTTPResponse(connection, method="POST")
        response.begin()
        assert json.loads(response.read())["label"] == "poppy"
        connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


def test_sends_no_response_after_the_client_disconnects(served):
    assert exchange(served, b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nfour") == b""
    assert httpx.post(f"{served.url}/predict", content=photo((220, 30, 30))).json()["label"] == "poppy"


def test_releases_permits_of_clients_that_send_no_body(served):
    headers = f"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: {LIMITS.max_bytes}\r\n\r\n".encode()
    connections = [connect(served) for _ in range(LIMITS.max_requests)]
    try:
        for connection in connections:
            connection.sendall(headers)
        assert any(httpx.post(f"{served.url}/predict", content=photo((220, 30, 30))).status_code == 503 for _ in range(20))
        for connection in connections:
            assert connection.recv(65_536).startswith(b"HTTP/1.1 408")
        assert httpx.post(f"{served.url}/predict", content=photo((220, 30, 30))).json()["label"] == "poppy"
    finally:
        for connection in connections:
            connection.close()
