"""What the web applications of all services share: names and limits, provenance, the page, and refusals in JSON.

`bentos/<task>/service.py` mounts one in a BentoML service, which adds /readyz, /livez, /metrics and /docs.json.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path

import anyio
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from bitbloom import canonical
from bitbloom.serving import uploads
from bitbloom.serving.settings import PROVENANCE, Provenance, Settings, provenance

PAGE = "page"
PAGE_HEADERS = {"Content-Security-Policy": "default-src 'self'; img-src 'self' blob:", "Cache-Control": "no-cache"}


class Refusal(BaseModel):
    """The body of every 4xx answer."""

    error: str
    """What is wrong, and what to do."""


class Service(ABC):
    """The routes of a service; a task's own class adds those that ask its model, which it opens in `open_model`."""

    def __init__(self, folder: Path) -> None:
        """Read the names and limits in `folder`, which holds service.json, provenance.json, the model and page/."""
        self.folder = folder
        self.settings = Settings.read(folder)
        self.asgi = self._common_routes()
        self.add_routes(self.asgi)

    def open(self) -> None:
        """Open the model and take the digests, in the process that serves. Raises BitBloomError on a wrong model."""
        self.open_model(self.folder, canonical.read_json(self.folder / PROVENANCE)["model_digest"])
        self.provenance = provenance(self.folder)
        self.threads = anyio.CapacityLimiter(len(os.sched_getaffinity(0)))

    @abstractmethod
    def open_model(self, folder: Path, digest: str) -> None:
        """Open the exported model, which lies in the service's folder and has this digest."""

    @abstractmethod
    def add_routes(self, app: FastAPI) -> None:
        """Add the routes that ask the model."""

    def _common_routes(self) -> FastAPI:
        app = FastAPI(title=self.settings.title, docs_url=None, redoc_url=None, openapi_url=None)
        app.add_exception_handler(uploads.Refused, _refuse)
        app.add_exception_handler(HTTPException, _refuse_http)
        app.add_exception_handler(RequestValidationError, _refuse_form)
        app.get("/provenance", summary="Where the answers come from")(self.show_provenance)
        app.get("/service.json", summary="Names and limits of this service")(self.show_settings)
        app.get("/", include_in_schema=False)(self.page)
        app.mount(f"/{PAGE}", StaticFiles(directory=self.folder / PAGE), name=PAGE)
        return app

    def show_provenance(self) -> Provenance:
        """The commit, the digests of data, lock, model and Bento, and the command that builds them again."""
        return self.provenance

    def show_settings(self) -> dict[str, str | int | float]:
        """Title and limits: bytes and pixels of a photo, photos of a batch, and below which probability to doubt."""
        return asdict(self.settings)

    def page(self) -> FileResponse:
        """The page for people."""
        return FileResponse(self.folder / PAGE / "index.html", headers=PAGE_HEADERS)


async def _refuse(_: Request, refused: Exception) -> JSONResponse:
    assert isinstance(refused, uploads.Refused)
    return JSONResponse({"error": refused.message}, refused.status)


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
