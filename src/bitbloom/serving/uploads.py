"""Photos and texts in request bodies: they are read within limits, or rejected with a status and a remedy."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import TypeAdapter, ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from bitbloom.core.errors import UnreadableImage
from bitbloom.data import imaging
from bitbloom.serving import limits
from bitbloom.serving.protection import Limit
from bitbloom.serving.rejections import Rejected

FIELD, SENTENCES = "image", "sentence"
FRAMING = 16_384
"""Bytes allowed in addition to each photo of a multipart body, for boundaries and headers; or to the texts of JSON."""
ESCAPED = 12
"""Maximum bytes of a character in JSON: two escapes of six."""
BOOLEAN = TypeAdapter(bool)
HEADERS = re.compile(rb"(Content-[A-Z][a-z-]+: [ -~]+(\r\n(?!$)|$))+")
"""The headers of a part as programs write them."""
MAX_FIELDS = 1000
"""Maximum fields of a form."""


def photo_limit(max_bytes: int) -> Limit:
    """Return the limit of a body with one photo."""
    return Limit(max_bytes + FRAMING, limits.large_photo(max_bytes))


def photos_limit(max_bytes: int, most: int, held: int) -> Limit:
    """Return the limit of a form of at most `most` photos: at most half of `held`, the memory for all requests in bytes."""
    whole = min(most * (max_bytes + FRAMING), held // 2)
    return Limit(whole, f"the photos have more than {whole:,} bytes together: send fewer")


def photo_and_sentences_limit(max_bytes: int, most: int, longest: int) -> Limit:
    """Return the limit of a form with a photo and at most `most` sentences of at most `longest` characters."""
    whole = max_bytes + FRAMING + most * (4 * longest + FRAMING)
    return Limit(whole, f"the photo and the sentences have more than {whole:,} bytes together: send less")


def json_limit(texts: int, longest: int) -> Limit:
    """Return the limit of JSON with at most `texts` texts of at most `longest` characters."""
    whole = FRAMING + texts * longest * ESCAPED
    return Limit(whole, f"the request has more than {whole:,} bytes: send less")


def unreadable(data: bytes, error: UnreadableImage) -> Rejected:
    """Return the rejection of a photo that cannot be decoded: 400 empty, 415 not an image, 422 damaged or too many pixels."""
    status = 400 if not data else 422 if imaging.is_image(data[: limits.SIGNATURE]) else 415
    return Rejected(status, limits.unreadable(data, str(error)))


def flag(request: Request, name: str) -> bool:
    """The query parameter `name`, false without it. Raises Rejected (422) when it is neither true nor false."""
    try:
        return BOOLEAN.validate_python(request.query_params.get(name, "false"))
    except ValidationError as error:
        raise Rejected(422, f"{name}: send true or false") from error


async def photo(request: Request, max_bytes: int, several: str) -> bytes:
    """Return the one photo of a request: the multipart field `image`, or the body itself.

    Args:
        request: a request whose body is unread.
        max_bytes: maximum size of the photo.
        several: advice for a client that sends several photos.

    Raises:
        Rejected: the photo is too large (413), or a form does not have exactly one (400).
    """
    body = await request.body()
    file = only_file(request.headers["content-type"], body) if _is_form(request) else body
    if file is None:
        async with _form(request, (1, 1), several) as form:
            return await content(_files(form)[0], max_bytes)
    if len(file) > max_bytes:
        raise too_large(max_bytes)
    return file


def only_file(content_type: str, body: bytes) -> bytes | None:
    """The file in the field `image` of a form (RFC 7578) that has no other part; None for any other form.

    Nearly every request has this form. Starlette's parser takes longer: it reads every form, into temporary files.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    start, delimiter = b"--" + boundary + b"\r\n", b"\r\n--" + boundary
    end = body.find(delimiter)
    if not boundary or not body.startswith(start) or body[end:] not in (delimiter + b"--", delimiter + b"--\r\n"):
        return None
    head, separator, file = body[len(start) : end].partition(b"\r\n\r\n")
    headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")) if separator and HEADERS.fullmatch(head) else {}
    options = parse_options_header(headers.get(b"Content-Disposition"))[1]
    return file if b"filename" in options and options.get(b"name") == FIELD.encode() else None


async def photo_and_sentences(request: Request, max_bytes: int, most: int, longest: int) -> tuple[bytes, list[str]]:
    """Return the photo in the field `image` of a form, and the texts in its fields `sentence`.

    Raises:
        Rejected: the body is not a form (415), the photo is too large (413), the form does not have exactly one photo, or has no
            text (400), or the texts exceed their limits (422).
    """
    async with _form(request, (1, MAX_FIELDS), "send one photo at a time") as form:
        sentences = [value for value in form.getlist(SENTENCES) if isinstance(value, str)]
        check_sentences(sentences, most, longest)
        return await content(_files(form)[0], max_bytes), sentences


def check_sentences(sentences: list[str], most: int, longest: int) -> None:
    """Raise Rejected without a sentence (400), for more than `most`, or for one of more than `longest` characters (422)."""
    if not sentences:
        raise Rejected(400, f"the form has no field '{SENTENCES}': add one or several (curl -F {SENTENCES}='a red flower')")
    if len(sentences) > most:
        raise Rejected(422, f"{len(sentences)} sentences are more than {most}: send them in several requests")
    if max(map(len, sentences)) > longest:
        raise Rejected(422, f"a sentence has more than {longest} characters: send a shorter one")


@asynccontextmanager
async def photos(request: Request, most: int) -> AsyncIterator[list[UploadFile]]:
    """Yield the files in the fields `image` of a form, 1 to `most`; large ones are on disk.

    Raises:
        Rejected: the body is not a form (415), or it has no photo or more than `most` (400).
    """
    async with _form(request, (most, most), f"send at most {most} in one request") as form:
        yield _files(form)


@asynccontextmanager
async def _form(request: Request, most: tuple[int, int], several: str) -> AsyncIterator[FormData]:
    """Yield a form of at most `most[0]` files and `most[1]` other fields."""
    if not _is_form(request):
        raise Rejected(415, f"send the photos as multipart/form-data, each in a field '{FIELD}'")
    try:
        form = await request.form(max_files=most[0], max_fields=most[1])
    except Rejected:
        raise
    except HTTPException as error:
        advice = several if "Too many files" in error.detail else f"send each photo as a file (curl -F {FIELD}=@photo.jpg)"
        raise Rejected(400, f"{error.detail.rstrip('.')}: {advice}") from error
    try:
        yield form
    finally:
        await form.close()


def _files(form: FormData) -> list[UploadFile]:
    files = [value for value in form.getlist(FIELD) if isinstance(value, UploadFile)]
    if not files:
        raise Rejected(400, f"the form has no file in a field '{FIELD}': add one (curl -F {FIELD}=@photo.jpg)")
    return files


async def content(upload: UploadFile, max_bytes: int) -> bytes:
    """Return the bytes of one uploaded file. Raises Rejected (413) when it is too large."""
    if (upload.size or 0) > max_bytes:
        raise too_large(max_bytes)
    return await upload.read()


def too_large(max_bytes: int) -> Rejected:
    """Return the rejection of a photo over the limit."""
    return Rejected(413, limits.large_photo(max_bytes))


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "multipart/form-data"
