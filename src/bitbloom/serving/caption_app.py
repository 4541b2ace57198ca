"""The service for photos and sentences: routes, answers and refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from bitbloom.core.errors import UnreadableImage
from bitbloom.serving import model_files, uploads
from bitbloom.serving.base import RequestRoute, Service
from bitbloom.serving.caption_predictor import WORDLESS, Answer, CaptionPredictor, Findings, Fits
from bitbloom.serving.refusals import ANSWERS, Refused

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

    def add_routes(self, router: APIRouter) -> None:
        """POST /caption, /search and /similarity."""
        router.add_api_route(
            "/caption",
            self.caption,
            methods=["POST"],
            summary="Describe a photo",
            responses=ANSWERS,
            openapi_extra=uploads.ONE,
            route_class_override=RequestRoute,
        )
        bounded = uploads.json_route(1, MOST_CHARACTERS)
        router.add_api_route(
            "/search", self.search, methods=["POST"], summary="Find photos", responses=ANSWERS, route_class_override=bounded
        )
        router.post(
            "/similarity", summary="Compare a photo with sentences", responses=ANSWERS, openapi_extra=uploads.ONE_AND_TEXTS
        )(self.similarity)

    def folders(self) -> dict[str, Path]:
        """/photos/…, the thumbnails of the index."""
        return {PHOTOS: self.folder / model_files.THUMBNAILS}

    async def caption(self, request: Request) -> Answer:
        """Write sentences about the photo in the form field `image`, or in the body itself: best first."""
        photo = await uploads.photo(request, self.settings.max_bytes, "send one photo at a time")
        return await self._ask_about(photo, lambda: self.predictor.answer(photo))

    async def search(self, wish: Wish) -> Findings:
        """The photos of the index that fit the sentence best; `thumbnail` is an address relative to this service's."""
        return _worded(await self.in_thread(self.predictor.find, wish.sentence, wish.count))

    async def similarity(self, request: Request) -> Fits:
        """The cosine of the photo in the form field `image` with each of the form fields `sentence`, in order."""
        most, limit = self.settings.max_batch, self.settings.max_bytes
        photo, sentences = await uploads.photo_and_texts(request, limit, most, MOST_CHARACTERS)
        return _worded(await self._ask_about(photo, lambda: self.predictor.compare(photo, sentences)))

    async def _ask_about(self, photo: bytes, ask: Callable[[], Result]) -> Result:
        try:
            return await self.in_thread(ask)
        except UnreadableImage as error:
            raise uploads.unreadable(photo, error) from error


def _worded(found: Result | None) -> Result:
    if found is None:
        raise Refused(422, f"{WORDLESS}: say what a photo shows")
    return found
