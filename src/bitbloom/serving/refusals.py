"""What a service says to a request that it does not answer: a status, and what is wrong in words that help."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect


class Refusal(BaseModel):
    """The body of every 4xx answer of these routes, and of a 503 or 504."""

    error: str
    """What is wrong, and what to do."""


ANSWERS: dict[int | str, dict[str, Any]] = {code: {"model": Refusal} for code in (400, 401, 408, 413, 415, 422, 503, 504)}
"""For OpenAPI: how a question may be refused."""


class Refused(HTTPException):
    """A request that gets a status and a message; `again` is after how many seconds it may be asked again."""

    def __init__(self, status: int, message: str, again: int | None = None) -> None:
        super().__init__(status, message, {} if again is None else {"Retry-After": str(again)})
        self.message = message

    def response(self) -> JSONResponse:
        """The answer."""
        return JSONResponse({"error": self.message}, self.status_code, headers=self.headers)


def handle(app: FastAPI) -> None:
    """Let an application answer in JSON whatever it refuses."""
    app.add_exception_handler(Refused, _refuse)
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_exception_handler(RequestValidationError, _refuse_form)
    app.add_exception_handler(ClientDisconnect, _nobody_listens)


async def _refuse(_: Request, refused: Exception) -> JSONResponse:
    assert isinstance(refused, Refused)
    return refused.response()


async def _refuse_http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": f"{error.detail}: see /docs.json"}, error.status_code, headers=error.headers)


async def _refuse_form(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return JSONResponse({"error": f"the body is not JSON ({first['ctx']['error']}): see /docs.json"}, 400)
    where = ".".join(str(part) for part in first["loc"][1:]) or "the body"
    return JSONResponse({"error": f"{where}: {first['msg'].lower()}: see /docs.json"}, 422)


async def _nobody_listens(_: Request, __: Exception) -> Response:
    return Response(status_code=400)
