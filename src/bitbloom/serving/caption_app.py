"""The service for photos and sentences: routes, answers and refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import anyio
from fastapi import FastAPI, Request
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field

from bitbloom.errors import UnreadableImage
from bitbloom.serving import model_files, uploads
from bitbloom.serving.base import Refusal, Service
from bitbloom.serving.caption_predictor import WORDLESS, Answer, CaptionPredictor, Findings, Fits

MOST_CHARACTERS = 500
MOST_FOUND = 100
PHOTOS = "photos"

Result = TypeVar("Result")


class Wish(BaseModel):
    """What a photo should show, and how many are wanted; there are no more than the index has."""

    sentence: str = Field(max_length=MOST_CHARACTERS)
    count: int = Field(default=12, ge=1, le=MOST_FOUND)


class CaptionApplication(Service):
    """The routes of a service for photos and sentences, and the predictor they ask once it is open."""

    def open_model(self, folder: Path, digest: str) -> None:
        """Open the exported graphs and the index."""
        self.predictor = CaptionPredictor.open(folder, digest, self.settings.max_pixels)

    def add_routes(self, app: FastAPI) -> None:
        """POST /caption, /search and /similarity; GET /photos/…, the thumbnails of the index."""
        of_photos: dict[int | str, dict[str, Any]] = {code: {"model": Refusal} for code in (400, 413, 415, 422)}
        of_texts: dict[int | str, dict[str, Any]] = {code: {"model": Refusal} for code in (400, 422)}
        app.post("/caption", summary="Describe a photo", responses=of_photos, openapi_extra=uploads.ONE)(self.caption)
        app.post("/search", summary="Find photos", responses=of_texts)(self.search)
        app.post(
            "/similarity", summary="Compare a photo with sentences", responses=of_photos, openapi_extra=uploads.ONE_AND_TEXTS
        )(self.similarity)
        # Without the check here: a folder that is not there is `open`'s to name.
        app.mount(f"/{PHOTOS}", StaticFiles(directory=self.folder / model_files.THUMBNAILS, check_dir=False), name=PHOTOS)

    async def caption(self, request: Request) -> Answer:
        """Write sentences about the photo in the form field `image`, or in the body itself: best first."""
        photo = await uploads.photo(request, self.settings.max_bytes, "send one photo at a time")
        return await self._ask_about(photo, lambda: self.predictor.answer(photo))

    async def search(self, wish: Wish) -> Findings:
        """The photos of the index that fit the sentence best; `thumbnail` is an address relative to this service's."""
        find = self.predictor.find
        return _worded(await anyio.to_thread.run_sync(find, wish.sentence, wish.count, limiter=self.threads))

    async def similarity(self, request: Request) -> Fits:
        """The cosine of the photo in the form field `image` with each of the form fields `sentence`, in order."""
        most, limit = self.settings.max_batch, self.settings.max_bytes
        photo, sentences = await uploads.photo_and_texts(request, limit, most, MOST_CHARACTERS)
        return _worded(await self._ask_about(photo, lambda: self.predictor.compare(photo, sentences)))

    async def _ask_about(self, photo: bytes, ask: Callable[[], Result]) -> Result:
        """Decode and answer in a thread, no more at once than there are cores."""
        try:
            return await anyio.to_thread.run_sync(ask, limiter=self.threads)
        except UnreadableImage as error:
            raise uploads.unreadable(photo, error) from error


def _worded(found: Result | None) -> Result:
    if found is None:
        raise uploads.Refused(422, f"{WORDLESS}: say what a photo shows")
    return found
