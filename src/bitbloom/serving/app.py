"""The web application of a service for photos: routes, answers and refusals. One for all tasks that label photos.

`bentos/<task>/service.py` mounts it in a BentoML service, which adds /readyz, /livez, /metrics and /docs.json.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import anyio
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from bitbloom import canonical
from bitbloom.errors import UnreadableImage
from bitbloom.serving import uploads
from bitbloom.serving.predictor import MODEL, Answer, Failure, Predictor
from bitbloom.serving.settings import PROVENANCE, Provenance, Settings, provenance

PAGE = "page"
PAGE_HEADERS = {"Content-Security-Policy": "default-src 'self'; img-src 'self' blob:", "Cache-Control": "no-cache"}
BINARY = {"type": "string", "format": "binary"}
ONE = {"type": "object", "required": ["image"], "properties": {"image": BINARY}}
MANY = {"type": "object", "required": ["image"], "properties": {"image": {"type": "array", "items": BINARY}}}


class Refusal(BaseModel):
    """The body of every 4xx answer."""

    error: str
    """What is wrong, and what to do."""


class Application:
    """The routes of a service, and the predictor they ask once it is open."""

    def __init__(self, folder: Path) -> None:
        """Read the names and limits in `folder`, which holds service.json, provenance.json, model.onnx and page/."""
        self.folder = folder
        self.settings = Settings.read(folder)
        self.asgi = self._routes()

    def open(self) -> None:
        """Open the model and take the digests, in the process that serves. Raises BitBloomError on a wrong model."""
        expected = canonical.read_json(self.folder / PROVENANCE)["model_digest"]
        self.predictor = Predictor.open(self.folder / MODEL, expected, self.settings.max_pixels)
        self.provenance = provenance(self.folder)
        self.threads = anyio.CapacityLimiter(len(os.sched_getaffinity(0)))

    def _routes(self) -> FastAPI:
        app = FastAPI(title=self.settings.title, docs_url=None, redoc_url=None, openapi_url=None)
        app.add_exception_handler(uploads.Refused, _refuse)
        app.add_exception_handler(HTTPException, _refuse_http)
        refusals: dict[int | str, dict[str, Any]] = {code: {"model": Refusal} for code in (400, 413, 415, 422)}
        batch = refusals | {200: {"model": list[Answer | Failure]}}
        app.post("/predict", summary="Label a photo", responses=refusals, openapi_extra=_takes(ONE, raw=True))(self.predict)
        app.post("/predict_batch", summary="Label several photos", responses=batch, openapi_extra=_takes(MANY))(
            self.predict_batch
        )
        app.get("/provenance", summary="Where the answers come from")(self.show_provenance)
        app.get("/service.json", summary="Names and limits of this service")(self.show_settings)
        app.get("/", include_in_schema=False)(self.page)
        app.mount(f"/{PAGE}", StaticFiles(directory=self.folder / PAGE), name=PAGE)
        return app

    async def predict(self, request: Request) -> Answer:
        """Label the photo in the form field `image`, or in the body itself."""
        return await self._answer(await uploads.photo(request, self.settings.max_bytes))

    async def predict_batch(self, request: Request) -> Any:
        """Label the photos in the form fields `image`, in order.

        A photo that cannot be read has an object with `error` in its place. The status is 422 when no photo can be
        read: then the answer has an `error`, and the single errors in `results`.
        """
        most, limit = self.settings.max_batch, self.settings.max_bytes
        async with uploads.photos(request, limit, most) as files:
            results = [await self._answer_or_failure(file) for file in files]
        if all("error" in result for result in results):
            message = f"none of the {len(results)} photos can be read: see what is wrong with each"
            return JSONResponse({"error": message, "results": results}, 422)
        return results

    def show_provenance(self) -> Provenance:
        """The commit, the digests of data, lock, model and Bento, and the command that builds them again."""
        return self.provenance

    def show_settings(self) -> dict[str, str | int | float]:
        """Title and limits: bytes and pixels of a photo, photos of a batch, and below which probability to doubt."""
        return asdict(self.settings)

    def page(self) -> FileResponse:
        """The page for people."""
        return FileResponse(self.folder / PAGE / "index.html", headers=PAGE_HEADERS)

    async def _answer(self, photo: bytes) -> Answer:
        """Decode and label in a thread, no more at once than there are cores."""
        try:
            return await anyio.to_thread.run_sync(self.predictor.answer, photo, limiter=self.threads)
        except UnreadableImage as error:
            raise uploads.unreadable(photo, error) from error

    async def _answer_or_failure(self, file: UploadFile) -> Answer | Failure:
        try:
            return await self._answer(await uploads.content(file, self.settings.max_bytes))
        except uploads.Refused as refused:
            return Failure(error=refused.message)


def _takes(form: dict[str, Any], raw: bool = False) -> dict[str, Any]:
    """The OpenAPI words for a route that reads its body itself."""
    content: dict[str, Any] = {"multipart/form-data": {"schema": form}}
    if raw:
        content["image/*"] = {"schema": BINARY}
    return {"requestBody": {"required": True, "content": content}}


async def _refuse(_: Request, refused: Exception) -> JSONResponse:
    assert isinstance(refused, uploads.Refused)
    return JSONResponse({"error": refused.message}, refused.status)


async def _refuse_http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": f"{error.detail}: see /docs.json"}, error.status_code, headers=error.headers)
