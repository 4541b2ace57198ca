"""Services in front of people who mean no good: whatever comes gets an answer of its own, and the service lives on.

Questions made from a service's own OpenAPI description, and thousands of damaged photos and bodies, over the network.
"""

from __future__ import annotations

import contextlib
import io
import random
import socket
import struct
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

OURS = r"^/(v1/)?(predict|predict_batch|caption|search|similarity|provenance|service\.json)$"
KINDS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "AVIF")
MUTANTS, OTHERS = 10_000, 2_000
"""Damaged questions to the service of photos, and to each of the others."""
GROWTH = 200_000_000
"""Bytes that the service's memory may grow by under all that."""


@pytest.mark.parametrize("service", ["served", "served_texts", "served_captions"])
def test_whatever_a_description_allows_is_answered_as_it_says(request, service):
    url = request.getfixturevalue(service).url
    described = schemathesis.openapi.from_url(f"{url}/docs.json").include(path_regex=OURS)
    operations = [found.ok() for found in described.get_all_operations()]
    assert len(operations) >= 6

    for operation in operations:

        @settings(max_examples=40, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def keeps_to_it(case):
            # That bytes are a photo, or a text has words, no description can say: such a question may be refused.
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        keeps_to_it()


def memory(served: Served) -> int:
    """Bytes that the processes of a service have in memory."""
    port = urlsplit(served.url).port
    owners = {one.pid for one in psutil.net_connections("tcp") if one.laddr and one.laddr.port == port and one.pid}
    family = {process for pid in owners for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))}
    assert family
    return sum(process.memory_info().rss for process in family)


def mutants(count: int) -> Iterator[bytes]:
    """Photos in every format with bytes flipped, cut off, put in twice, or of another file."""
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
END_OF_FORM = b"\r\n--edge--\r\n"
MULTIPART = "multipart/form-data"
FORM_TYPES = [f"{MULTIPART}; boundary=edge"] * 6 + [MULTIPART, f"{MULTIPART}; boundary=", "image/jpeg", "a/b"]
JSON = "application/json"
JSON_TYPES = [JSON] * 8 + [f"{JSON}; charset=utf-16", "text/plain"]
QUESTION = b'{"texts": ["a flood", {"text": "party!", "keyword": "no%20fire", "location": "here"}], "words": true}'
WISH = b'{"sentence": "a red flower", "count": 3}'
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
    count: int, head: bytes, tail: bytes, types: list[str], pieces: tuple[bytes, ...] = ()
) -> Iterator[tuple[bytes, str]]:
    """Bodies with bytes flipped, cut off or repeated, mostly in the head, or a piece put in; their types may not fit them."""
    generator = random.Random(21)
    whole = head + tail
    for _ in range(count):
        data = bytearray(whole)
        for _ in range(generator.randrange(1, 6)):
            at = generator.randrange(len(data) if generator.random() < 0.3 else len(head))
            if pieces and generator.random() < 0.3:
                data[at:at] = generator.choice(pieces)
            elif generator.random() < 0.6:
                data[at % len(data)] = generator.randrange(256)
            else:
                data[at:at] = data[at : at + generator.randrange(1, 80)]
        yield bytes(data[: generator.randrange(1, len(data)) if generator.random() < 0.3 else None]), generator.choice(types)


def asked(served: Served, *questions: tuple[str, Iterable[tuple[bytes, str]]]) -> Counter[int]:
    """How often the service answered with which status, for routes and their bodies; its memory stays within bounds."""
    with httpx.Client(base_url=served.url, timeout=30) as client:
        before = memory(served)
        seen = Counter(
            client.post(route, content=data, headers={"Content-Type": kind}).status_code
            for route, bodies in questions
            for data, kind in bodies
        )
        assert memory(served) - before < GROWTH
    return seen


def test_thousands_of_damaged_photos_and_bodies_cost_no_failure_and_no_memory(served):
    form = damaged(MUTANTS // 2, PHOTO_FIELD, photo((40, 170, 50)) + END_OF_FORM, FORM_TYPES)
    seen = asked(served, ("/predict", ((data, "image/jpeg") for data in mutants(MUTANTS // 2))), ("/v1/predict", form))
    assert set(seen) == {200, 400, 415, 422}, seen
    assert httpx.post(f"{served.url}/predict", content=photo((220, 30, 30))).json()["label"] == "poppy"


def test_damaged_questions_about_texts_cost_no_failure_and_no_memory(served_texts):
    seen = asked(served_texts, ("/v1/predict", damaged(OTHERS, QUESTION, b"", JSON_TYPES, PIECES)))
    assert set(seen) == {200, 400, 422}, seen
    whole = {"content": QUESTION, "headers": {"Content-Type": JSON}}
    assert [each["label"] for each in httpx.post(f"{served_texts.url}/predict", **whole).json()] == ["disaster", "not disaster"]


def test_damaged_photos_forms_and_wishes_for_captions_cost_no_failure_and_no_memory(served_captions):
    form = PHOTO_FIELD, caption_standin.photo("red") + SENTENCE_FIELD + b"a red flower" + END_OF_FORM
    fields = SENTENCE_FIELD.lstrip() + b"a red flower\r\n" + PHOTO_FIELD, caption_standin.photo("red") + END_OF_FORM
    share = OTHERS // 4
    seen = asked(
        served_captions,
        ("/v1/caption", ((data, "image/jpeg") for data in mutants(share))),
        ("/v1/similarity", damaged(share, *form, FORM_TYPES)),
        ("/v1/similarity", damaged(share, *fields, FORM_TYPES, PIECES)),
        ("/v1/search", damaged(share, WISH, b"", JSON_TYPES, PIECES)),
    )
    assert set(seen) == {200, 400, 415, 422}, seen
    found = httpx.post(f"{served_captions.url}/search", content=WISH, headers={"Content-Type": JSON}).json()
    assert len(found["photos"]) == 3


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    """A PNG that says so much of itself, with these rows."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def bomb_of_text() -> bytes:
    """A small picture whose comment unpacks to 100 MB."""
    comment = b"a\0\0" + zlib.compress(bytes(100_000_000), 9)
    whole = png(8, 8, bytes(8 * 25))
    at = whole.index(b"IDAT") - 4
    chunk = struct.pack(">I", len(comment)) + b"zTXt" + comment + struct.pack(">I", zlib.crc32(b"zTXt" + comment))
    return whole[:at] + chunk + whole[at:]


def many_frames() -> bytes:
    """An animation of 500 frames, of which one is wanted."""
    stream = io.BytesIO()
    frames = [Image.new("RGB", (64, 64), (number % 256, 0, 0)) for number in range(500)]
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "statuses"),
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
def test_a_photo_made_to_do_harm_does_none(served, data, statuses):
    before = memory(served)
    answer = httpx.post(f"{served.url}/predict", content=data, timeout=30)
    assert answer.status_code in statuses, answer.text
    assert memory(served) - before < GROWTH
    assert httpx.get(f"{served.url}/readyz").status_code == 200


def connected(served: Served) -> socket.socket:
    where = urlsplit(served.url)
    return socket.create_connection((where.hostname, where.port), timeout=30)


def to_its_end(line: socket.socket) -> bytes:
    return b"".join(iter(lambda: line.recv(65_536), b""))


def spoken(served: Served, request: bytes) -> bytes:
    """What the service says to raw bytes, until it or we are done."""
    answer = b""
    with connected(served) as line, contextlib.suppress(ConnectionError):
        line.sendall(request)
        with contextlib.suppress(OSError):  # ENOTCONN, no ConnectionError: the service has closed the line already
            line.shutdown(socket.SHUT_WR)
        while part := line.recv(65_536):
            answer += part
    return answer


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
def test_wrong_lengths_and_what_is_no_http_are_refused(served, request_, status):
    assert spoken(served, request_).startswith(f"HTTP/1.1 {status} ".encode())
    assert httpx.post(f"{served.url}/predict", content=photo((220, 30, 30))).json()["label"] == "poppy"


def test_who_leaves_in_the_middle_of_a_body_is_not_answered(served):
    assert spoken(served, HEAD + b"Content-Length: 1000\r\n\r\nfour") == b""
    assert httpx.post(f"{served.url}/predict", content=photo((220, 30, 30))).json()["label"] == "poppy"


HEAD = b"POST /predict HTTP/1.1\r\nHost: a\r\n"


def test_clients_that_send_nothing_lose_their_places_in_time(served):
    where = urlsplit(served.url)
    head = f"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: {LIMITS.max_bytes}\r\n\r\n".encode()
    lines = [socket.create_connection((where.hostname, where.port), timeout=30) for _ in range(LIMITS.max_requests)]
    try:
        for line in lines:
            line.sendall(head)
        assert any(httpx.post(f"{served.url}/predict", content=photo((220, 30, 30))).status_code == 503 for _ in range(20))
        for line in lines:
            assert line.recv(65_536).startswith(b"HTTP/1.1 408")
        assert httpx.post(f"{served.url}/predict", content=photo((220, 30, 30))).json()["label"] == "poppy"
    finally:
        for line in lines:
            line.close()
