"""Inputs of the typed methods (`@bentoml.api`) that a service has for BentoML's client, playground and `bentoml.depends`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import bentoml
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from bitbloom.serving import process
from bitbloom.serving.rejections import Rejected

FORMS = ("multipart/", "application/x-www-form-urlencoded")
MAX_PARTS = 100
"""Files or fields of a form that are read at all."""


class Files(bentoml.IODescriptor):  # type: ignore[misc]  # BentoML has no types
    """An input with uploaded files. BentoML would download an address in place of a file: a service uses no network."""

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> Self:
        """Parse a request. Raises BentoMLException (400) for a form whose file is none, or that is broken."""
        with process.bentoml_errors():
            await cls._check_files(request)
        parsed: Self = await super().from_http_request(request, serde)
        return parsed

    @classmethod
    async def _check_files(cls, request: Request) -> None:
        if not request.headers.get("content-type", "").startswith(FORMS):
            return
        try:
            form = await request.form(max_files=MAX_PARTS, max_fields=MAX_PARTS)  # the request keeps it
        except Rejected:
            raise
        except HTTPException as error:
            raise Rejected(400, f"{error.detail.rstrip('.')}: send each photo as a file (curl -F image=@photo.jpg)") from error
        for name, value in form.multi_items():
            if isinstance(value, UploadFile) != (name in cls.multipart_fields):
                expected = " and ".join(f"'{field}'" for field in cls.multipart_fields)
                raise Rejected(400, f"'{name}': send {expected} as a file, and other fields as text (curl -F image=@photo.jpg)")
            if isinstance(value, UploadFile):
                value.filename = None  # BentoML would make it part of a path


class Photo(Files):
    """A photo."""

    image: Path


class PhotoToLabel(Photo):
    """A photo; `attention` adds the attention map to the prediction."""

    attention: bool = False


class Photos(Files):
    """Photos, at most the service's `max_batch`."""

    images: list[Path]


class PhotoAndSentences(Photo):
    """A photo, and sentences to compare with it."""

    sentences: list[str]
