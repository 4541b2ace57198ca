"""Forms with one photo are read without Starlette's form parser, and give the bytes that it gives."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from bitbloom.serving.uploads import only_file

BOUNDARY = b"edge"
TYPE = f"multipart/form-data; boundary={BOUNDARY.decode()}"
DISPOSITION = b'Content-Disposition: form-data; name="image"; filename="photo.jpg"'
HEAD = DISPOSITION + b"\r\nContent-Type: image/jpeg"


def form(data: bytes, head: bytes = HEAD, end: bytes = b"--\r\n") -> bytes:
    return b"--" + BOUNDARY + b"\r\n" + head + b"\r\n\r\n" + data + b"\r\n--" + BOUNDARY + end


def by_starlette(body: bytes) -> bytes | None:
    """The file in the field `image`, when the form has this file and nothing else."""

    async def read() -> bytes | None:
        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": body, "more_body": False}

        scope = {"type": "http", "headers": [(b"content-type", TYPE.encode())], "app": None}
        async with Request(scope, receive).form() as found:
            parts = found.multi_items()
            if len(parts) == 1 and parts[0][0] == "image" and isinstance(parts[0][1], UploadFile):
                return await parts[0][1].read()
        return None

    try:
        return asyncio.run(read())
    except HTTPException:
        return None


pieces = st.sampled_from([b"\r\n", b"--", BOUNDARY, b"\r\n--", b"\r", b"\n", b"-", b"photo", b"\r\n\r\n", b": ", DISPOSITION])
data = st.lists(pieces | st.binary(max_size=20), max_size=12).map(b"".join)


@given(data)
@example(b"--" + BOUNDARY)
def test_reads_the_bytes_that_starlette_reads(data):
    body = form(data)
    assert only_file(TYPE, body) in (by_starlette(body), None)
    before = b"\r\n"  # of the header: it can begin a delimiter, too
    assert b"\r\n--" + BOUNDARY in before + data or only_file(TYPE, body) == data


@given(data, st.integers(0, 400), st.integers(0, 255))
def test_never_reads_a_damaged_form_as_another_file(data, at, byte):
    body = bytearray(form(data))
    body[at % len(body)] = byte
    assert only_file(TYPE, bytes(body)) in (by_starlette(bytes(body)), None)


@given(st.lists(pieces | st.binary(max_size=20), max_size=20).map(b"".join))
def test_never_reads_other_bytes_as_another_file(body):
    assert only_file(TYPE, body) in (by_starlette(body), None)


@pytest.mark.parametrize("end", [b"--\r\n", b"--"])
@pytest.mark.parametrize("head", [HEAD, DISPOSITION, b"Content-Type: image/png\r\n" + DISPOSITION])
def test_reads_forms_as_programs_write_them(head, end):
    assert only_file(TYPE, form(b"photo", head, end)) == b"photo"


@pytest.mark.parametrize(
    "body",
    [
        form(b"photo", DISPOSITION.replace(b"image", b"other")),
        form(b"photo", b'Content-Disposition: form-data; name="image"'),
        form(b"photo", b"Content-Type: image/jpeg"),
        form(b"photo") + form(b"photo"),
        b"preamble\r\n" + form(b"photo"),
        form(b"photo")[:-10],
        b"",
    ],
)
def test_leaves_other_forms_to_starlette(body):
    assert only_file(TYPE, body) is None
