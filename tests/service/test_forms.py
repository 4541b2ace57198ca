"""Forms of one file: the same bytes that Starlette's parser gives, and nothing that it would give otherwise."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from bitbloom.serving import forms
from bitbloom.serving.forms import only_file

HOSTILE = [b"", b"\r\n", b"\r\n--", b"--", b"\r\n--boundary", b"\r\n--boundary--\r\n", b"a", b"\xff\xd8", bytes(70_000)]
CONTENT = st.lists(st.sampled_from(HOSTILE) | st.binary(max_size=20), max_size=6).map(b"".join)
NAME = st.sampled_from(["image", "Image", "other"])
FILE = st.tuples(NAME, st.tuples(st.sampled_from(["a.jpg", 'b "c".jpg', "ä.png", "x"]), CONTENT))
FIELD = st.tuples(NAME, CONTENT.map(lambda data: (None, data)))


def sent(parts, boundary="boundary"):
    """Content type and body of a form."""
    request = httpx.Request(
        "POST", "http://service", files=parts, headers={"Content-Type": f"multipart/form-data; boundary={boundary}"}
    )
    return request.headers["content-type"], request.read()


def by_starlette(content_type, body):
    """The parts of a form, as (name, bytes or text), or None when it is refused."""

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def parse():
        scope = {"type": "http", "headers": [(b"content-type", content_type.encode("latin-1"))]}
        form = await Request(scope, receive).form()
        return [(name, value if isinstance(value, str) else await value.read()) for name, value in form.multi_items()]

    try:
        return asyncio.run(parse())
    except MultiPartException:
        return None


@given(CONTENT)
def test_the_file_of_a_form_has_the_bytes_that_were_sent(data):
    if b"--boundary" not in data:
        assert only_file(*sent([("image", ("a.jpg", data))]), "image") == data


@given(st.lists(FILE | FIELD, min_size=1, max_size=3))
def test_a_file_is_found_only_where_starlette_finds_it_and_nothing_else(parts):
    content_type, body = sent(parts)
    found, expected = only_file(content_type, body, "image"), by_starlette(content_type, body)
    if found is not None:
        assert expected == [("image", found)]
    elif expected is not None and len(expected) == 1 and isinstance(expected[0][1], bytes):
        assert expected[0][0] != "image"


@given(CONTENT, st.data())
def test_a_form_that_is_cut_or_changed_is_never_read_otherwise_than_by_starlette(data, draw):
    content_type, body = sent([("image", ("a.jpg", data))])
    at = draw.draw(st.integers(0, len(body)))
    damaged = body[:at] if draw.draw(st.booleans()) else body[:at] + draw.draw(st.binary(min_size=1, max_size=3)) + body[at + 1 :]
    found = only_file(content_type, damaged, "image")
    if found is not None:
        assert by_starlette(content_type, damaged) == [("image", found)]


def test_without_a_boundary_there_is_no_form():
    assert only_file("multipart/form-data", b"--a\r\n", "image") is None


def test_no_more_than_one_part_is_parsed():
    begun = []
    many = b"--b\r\na:\r\n\r\n\r\n" * 1000

    class Watched(forms._Part):
        def begin(self):
            begun.append(1)
            super().begin()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forms, "_Part", Watched)
        assert only_file("multipart/form-data; boundary=b", many, "image") is None
    assert len(begun) == 2
