"""Error responses of a service: a status, and a message that says what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from bitbloom.serving import limits


class ErrorResponse(BaseModel):
    """The body of every 4xx response of these routes, and of a 503 or 504."""

    error: str
    """What is wrong, and what to do."""


RESPONSES: dict[int | str, dict[str, Any]] = {code: {"model": ErrorResponse} for code in (400, 401, 408, 413, 415, 422, 503, 504)}
"""For OpenAPI: how a request may be rejected."""


class Rejected(HTTPException):
    """A request that gets an error response instead of a prediction."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, message, headers or {})
        self.message = message

    def response(self) -> JSONResponse:
        """The error response."""
        return JSONResponse({"error": self.message}, self.status_code, headers=self.headers)


def handle(app: FastAPI) -> None:
    """Make an application send every error response as JSON."""
    app.add_exception_handler(Rejected, _reject)
    app.add_exception_handler(HTTPException, _reject_http)
    app.add_exception_handler(RequestValidationError, _reject_invalid)
    app.add_exception_handler(ClientDisconnect, _end)


async def _reject(request: Request, rejected: Exception) -> JSONResponse:
    assert isinstance(rejected, Rejected)
    if rejected.status_code in (415, 422) and _content_type(request) == "application/x-www-form-urlencoded":
        rejected.message += " (curl: --data-binary or -F instead of -d)"
    return rejected.response()


async def _reject_http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": f"{error.detail}: see /docs"}, error.status_code, headers=error.headers)


async def _reject_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["loc"] == ("body",) and not _content_type(request).endswith("json"):
        return JSONResponse({"error": "send JSON with the header 'Content-Type: application/json' (curl --json)"}, 415)
    if first["type"] == "json_invalid":
        return JSONResponse({"error": f"the body is not JSON ({first['ctx']['error']}): see /docs"}, 400)
    field = _field(first["loc"][1:], error.body) or "the body"
    if first["type"] == "string_too_long":
        return JSONResponse({"error": limits.long_text(field, first["ctx"]["max_length"])}, 422)
    return JSONResponse({"error": f"{field}: {first['msg'].lower()}: see /docs"}, 422)


def _field(place: Sequence[str | int], body: Any) -> str:
    """A field of a JSON body as a client wrote it: `texts[0]`, or `texts[0].keyword` in an object."""
    name = ""
    for part in place:
        if isinstance(body, str):
            break  # of a text, the error names the field of an object
        if isinstance(part, int):
            name += f"[{part}]"
            body = body[part] if isinstance(body, list) and part < len(body) else None
        else:
            name += f".{part}"
            body = body.get(part) if isinstance(body, dict) else None
    return name.removeprefix(".")


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _end(_: Request, __: Exception) -> Response:
    """The client has disconnected: nothing that is sent arrives."""
    return Response(status_code=400)
