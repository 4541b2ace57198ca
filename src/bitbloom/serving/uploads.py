"""Photos that come over the network: read within limits, refused with a status and a message that helps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive

from bitbloom import imaging
from bitbloom.errors import UnreadableImage

FIELD = "image"
FRAMING = 16_384
"""Bytes a file that a multipart body may take beside the photos, for boundaries and headers."""
DISCARDED = 64_000_000
"""Bytes of a refused body that are read and thrown away, so that the sender hears the answer and no broken pipe."""


class Refused(Exception):
    """A request that gets a 4xx status and a message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def unreadable(data: bytes, error: UnreadableImage) -> Refused:
    """The refusal of a photo that does not decode: 400 empty, 415 not an image, 422 damaged or with too many pixels."""
    if not data:
        return Refused(400, f"{error}: choose a photo")
    if not imaging.is_image(data):
        return Refused(415, f"{error}: send a photo in one of these formats")
    return Refused(422, f"{error}" if "resize" in str(error) else f"{error}: save the photo again and send the whole file")


async def photo(request: Request, max_bytes: int) -> bytes:
    """The one photo of a request: the multipart field `image`, or the body itself.

    Raises:
        Refused: too big (413; known while reading, not after), or a form without exactly one photo (400).
    """
    if not _is_form(request):
        limited = Request(request.scope, _limited(request.receive, max_bytes, too_big(max_bytes)))
        return await limited.body()
    async with photos(request, max_bytes, 1) as uploads:
        return await content(uploads[0], max_bytes)


@asynccontextmanager
async def photos(request: Request, max_bytes: int, most: int) -> AsyncIterator[list[UploadFile]]:
    """The files in the fields `image` of a form, one to `most` of them, kept on disk when they are big.

    Raises:
        Refused: not a form (415), the whole is too big (413), or there is no photo, or more than `most` (400).
    """
    if not _is_form(request):
        raise Refused(415, f"send the photos as multipart/form-data, each in a field '{FIELD}'")
    whole = most * (max_bytes + FRAMING)
    refusal = too_big(max_bytes) if most == 1 else Refused(413, f"the photos have more than {whole:,} bytes together: send fewer")
    limited = Request(request.scope, _limited(request.receive, whole, refusal))
    try:
        form = await limited.form(max_files=most, max_fields=most)
    except HTTPException as error:
        many = f"send at most {most} in one request" if most > 1 else "send several to /predict_batch"
        advice = many if "Too many files" in error.detail else f"send each photo as a file (curl -F {FIELD}=@photo.jpg)"
        raise Refused(400, f"{error.detail.rstrip('.')}: {advice}") from error
    try:
        files = [value for value in form.getlist(FIELD) if isinstance(value, UploadFile)]
        if not files:
            raise Refused(400, f"the form has no file in a field '{FIELD}': add one (curl -F {FIELD}=@photo.jpg)")
        yield files
    finally:
        await form.close()


async def content(upload: UploadFile, max_bytes: int) -> bytes:
    """The bytes of one uploaded file. Raises Refused (413) when it is too big."""
    if (upload.size or 0) > max_bytes:
        raise too_big(max_bytes)
    return await upload.read()


def too_big(max_bytes: int) -> Refused:
    """The refusal of a photo over the limit."""
    return Refused(413, f"the photo is bigger than the limit of {max_bytes:,} bytes: make it smaller")


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


def _limited(receive: Receive, most: int, refusal: Refused) -> Receive:
    """`receive`, which raises the refusal as soon as more than `most` bytes of a body have come."""
    left = most

    async def limited() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            await _discard(receive, message)
            raise refusal
        return message

    return limited


async def _discard(receive: Receive, message: Message) -> None:
    """Read the rest of a body, or DISCARDED bytes of it, and keep nothing."""
    left = DISCARDED
    while message.get("more_body") and left > 0:
        message = await receive()
        left -= len(message.get("body", b""))
