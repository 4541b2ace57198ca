"""Photos that come over the network: read within limits, refused with a status and a message that helps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from fastapi.routing import APIRoute
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive

from bitbloom.core.errors import UnreadableImage
from bitbloom.data import imaging
from bitbloom.serving import forms
from bitbloom.serving.refusals import Refused

FIELD, TEXTS = "image", "sentence"
HEAD = 65_536
"""Bytes of a file that say whether it is an image."""
FRAMING = 16_384
"""Bytes a file that a multipart body may take beside the photos, for boundaries and headers; or JSON beside its texts."""
ESCAPED = 12
"""Bytes that JSON may take for a character: two escapes of six."""
MANY_FIELDS = 1000
"""Fields of a form that are read at all."""


def _takes(*types: str, **fields: object) -> dict[str, Any]:
    """The OpenAPI words for a route that reads its body itself: a form with these fields, or a photo of these types."""
    form = {"type": "object", "required": list(fields), "properties": fields}
    content = {"multipart/form-data": {"schema": form}} | {kind: {"schema": BINARY} for kind in types}
    return {"requestBody": {"required": True, "content": content}}


BINARY = {"type": "string", "format": "binary"}
ONE = _takes("image/*", image=BINARY)
MANY = _takes(image={"type": "array", "items": BINARY})
ONE_AND_TEXTS = _takes(image=BINARY, sentence={"type": "array", "items": {"type": "string"}})


def unreadable(data: bytes, error: UnreadableImage) -> Refused:
    """The refusal of a photo that does not decode: 400 empty, 415 not an image, 422 damaged or with too many pixels."""
    if not data:
        return Refused(400, f"{error}: choose a photo")
    if not imaging.is_image(data[:HEAD]):
        return Refused(415, f"{error}: send a photo in one of these formats")
    return Refused(422, f"{error}" if "resize" in str(error) else f"{error}: save the photo again and send the whole file")


async def photo(request: Request, max_bytes: int, several: str) -> bytes:
    """The one photo of a request: the multipart field `image`, or the body itself.

    Args:
        request: not read yet.
        max_bytes: of the photo.
        several: what to do instead of sending several photos.

    Raises:
        Refused: too big (413; known while reading, not after), or a form without exactly one photo (400).
    """
    is_form, refusal = _is_form(request), too_big(max_bytes)
    most = max_bytes + FRAMING if is_form else max_bytes
    body = await Request(request.scope, _limited(request.receive, most, refusal)).body()
    file = forms.only_file(request.headers["content-type"], body, FIELD) if is_form else body
    if file is None:
        async with _form(Request(request.scope, _again(body)), len(body), refusal, (1, 1), several) as form:
            return await content(_files(form)[0], max_bytes)
    if len(file) > max_bytes:
        raise refusal
    return file


async def photo_and_texts(request: Request, max_bytes: int, most: int, longest: int) -> tuple[bytes, list[str]]:
    """The photo in the field `image` of a form, and the texts in its fields `sentence`, one to `most` of `longest` characters.

    Raises:
        Refused: not a form (415), too big (413), not exactly one photo or no text (400), too many texts or too long (422).
    """
    whole = max_bytes + FRAMING + most * (4 * longest + FRAMING)
    refusal = Refused(413, f"the photo and the sentences have more than {whole:,} bytes together: send less")
    async with _form(request, whole, refusal, (1, MANY_FIELDS), "send one photo at a time") as form:
        texts = [value for value in form.getlist(TEXTS) if isinstance(value, str)]
        if not texts:
            raise Refused(400, f"the form has no field '{TEXTS}': add one or several (curl -F {TEXTS}='a red flower')")
        if len(texts) > most:
            raise Refused(422, f"{len(texts)} sentences are more than {most}: send them in several requests")
        if max(map(len, texts)) > longest:
            raise Refused(422, f"a sentence has more than {longest} characters: send a shorter one")
        return await content(_files(form)[0], max_bytes), texts


@asynccontextmanager
async def photos(request: Request, max_bytes: int, most: int, together: int) -> AsyncIterator[list[UploadFile]]:
    """The files in the fields `image` of a form, one to `most` of them, kept on disk when they are big.

    Together they may have half of the bytes that a service holds at a time (`together`): the other half is for others.

    Raises:
        Refused: not a form (415), the whole is too big (413), or there is no photo, or more than `most` (400).
    """
    whole = min(most * (max_bytes + FRAMING), together // 2)
    refusal = Refused(413, f"the photos have more than {whole:,} bytes together: send fewer")
    async with _form(request, whole, refusal, (most, most), f"send at most {most} in one request") as form:
        yield _files(form)


@asynccontextmanager
async def _form(request: Request, whole: int, refusal: Refused, most: tuple[int, int], several: str) -> AsyncIterator[FormData]:
    """A form of no more than `whole` bytes (else `refusal`) and `most` files and other fields."""
    if not _is_form(request):
        raise Refused(415, f"send the photos as multipart/form-data, each in a field '{FIELD}'")
    limited = Request(request.scope, _limited(request.receive, whole, refusal))
    try:
        form = await limited.form(max_files=most[0], max_fields=most[1])
    except Refused:
        raise
    except HTTPException as error:
        advice = several if "Too many files" in error.detail else f"send each photo as a file (curl -F {FIELD}=@photo.jpg)"
        raise Refused(400, f"{error.detail.rstrip('.')}: {advice}") from error
    try:
        yield form
    finally:
        await form.close()


def _files(form: FormData) -> list[UploadFile]:
    files = [value for value in form.getlist(FIELD) if isinstance(value, UploadFile)]
    if not files:
        raise Refused(400, f"the form has no file in a field '{FIELD}': add one (curl -F {FIELD}=@photo.jpg)")
    return files


def json_route(texts: int, longest: int) -> type[APIRoute]:
    """The class of a route that takes JSON with at most so many texts of so many characters, and refuses a bigger body (413)."""
    most = FRAMING + texts * longest * ESCAPED

    class JSONRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def bounded(request: Request) -> Response:
                refusal = Refused(413, f"the question has more than {most:,} bytes: send less")
                return await handle(Request(request.scope, _limited(request.receive, most, refusal)))

            return bounded

    return JSONRoute


async def content(upload: UploadFile, max_bytes: int) -> bytes:
    """The bytes of one uploaded file. Raises Refused (413) when it is too big."""
    if (upload.size or 0) > max_bytes:
        raise too_big(max_bytes)
    return await upload.read()


def too_big(max_bytes: int) -> Refused:
    """The refusal of a photo over the limit."""
    return Refused(413, f"the photo is bigger than the limit of {max_bytes:,} bytes: make it smaller")


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "multipart/form-data"


def _limited(receive: Receive, most: int, refusal: Refused) -> Receive:
    """`receive`, which raises the refusal as soon as more than `most` bytes of a body have come."""
    left = most

    async def limited() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise refusal
        return message

    return limited


def _again(body: bytes) -> Receive:
    """`receive` of a body that has been read."""

    async def again() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return again
