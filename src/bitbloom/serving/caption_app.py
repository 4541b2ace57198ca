"""The service of a model of photos and sentences: its routes, and what its typed methods compute."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from bitbloom.core.errors import UnreadableImage
from bitbloom.serving import metrics, model_files, openapi, uploads
from bitbloom.serving.application import Application
from bitbloom.serving.caption_predictor import (
    WORDLESS,
    CaptionPredictor,
    CaptionResponse,
    Embedding,
    SearchResponse,
    SimilarityResponse,
)
from bitbloom.serving.prediction_log.observations import Origin, Outcome
from bitbloom.serving.protection import Limit
from bitbloom.serving.rejections import RESPONSES, Rejected

Response = TypeVar("Response")
MAX_CHARACTERS = 500
MAX_PHOTOS = 100
PHOTOS = "photos"
ONE = "send one photo at a time"


Sentence = Annotated[str, Field(max_length=MAX_CHARACTERS)]
Count = Annotated[int, Field(ge=1, le=MAX_PHOTOS)]


class SearchRequest(BaseModel):
    """A sentence, and how many photos to find for it; the index may have fewer."""

    sentence: Sentence
    count: Count = 12


class CaptionApplication(Application):
    """Photos in, sentences out; sentences in, photos out."""

    def open_model(self, folder: Path, digest: str) -> None:
        """Open the exported graphs and the index."""
        self.predictor = CaptionPredictor.open(folder, digest, self.settings.max_pixels)

    def limits(self) -> Mapping[str, Limit]:
        """Of one photo, of one sentence in JSON, and of a photo with sentences."""
        most, max_bytes = self.settings.max_batch, self.settings.max_bytes
        return {
            "caption": uploads.photo_limit(max_bytes),
            "search": uploads.json_limit(1, MAX_CHARACTERS),
            "similarity": uploads.photo_and_sentences_limit(max_bytes, most, MAX_CHARACTERS),
        }

    def add_routes(self, router: APIRouter) -> None:
        """POST /caption, /search and /similarity."""
        router.post("/caption", summary="Describe a photo", responses=RESPONSES, openapi_extra=openapi.PHOTO)(self.caption)
        router.post("/search", summary="Find photos", responses=RESPONSES)(self.search)
        extra = openapi.PHOTO_AND_SENTENCES
        router.post("/similarity", summary="Compare a photo with sentences", responses=RESPONSES, openapi_extra=extra)(
            self.similarity
        )

    def folders(self) -> dict[str, Path]:
        """/photos/…, the thumbnails of the index."""
        return {PHOTOS: self.folder / model_files.THUMBNAILS}

    async def caption(self, request: Request) -> CaptionResponse:
        """Generate sentences about the photo in the form field `image`, or in the body itself: best first."""
        photo = await uploads.photo(request, self.settings.max_bytes, ONE)
        return await self.in_thread(self.describe, photo, self.origin())

    async def search(self, wanted: SearchRequest) -> SearchResponse:
        """The photos of the index most similar to the sentence; `thumbnail` is an address relative to this service's."""
        return await self.in_thread(self.find, wanted.sentence, wanted.count, self.origin())

    async def similarity(self, request: Request) -> SimilarityResponse:
        """The cosine of the photo in the form field `image` with each of the form fields `sentence`, in order."""
        known = self.settings
        photo, sentences = await uploads.photo_and_sentences(request, known.max_bytes, known.max_batch, MAX_CHARACTERS)
        return await self.in_thread(self.compare, photo, sentences, self.origin())

    def describe(self, photo: bytes, origin: Origin | None = None) -> CaptionResponse:
        """Sentences for an image file, logged if it has an origin. Raises Rejected when it cannot be read."""
        image = self._decode(photo)
        response, embedding = self._timed("caption", lambda: self.predictor.observe(image))
        if self.log and origin:
            best = response["sentences"][0]
            self.log.note_image(origin, photo, image, Outcome(best["sentence"], math.exp(best["score"]), embedding))
        return response

    def describe_file(self, photo: Path, origin: Origin | None = None) -> CaptionResponse:
        """As `describe`, of a file on disk."""
        return self.describe(self.read_file(photo), origin)

    def find(self, sentence: str, count: int, origin: Origin | None = None) -> SearchResponse:
        """The `count` most similar photos of the index. Raises Rejected when the sentence has no word."""
        response, embedding = self._timed("search", lambda: self.predictor.observe_search(sentence, count))
        if self.log and origin:
            best = response["photos"][0]
            self.log.note_text(origin, sentence, Outcome(best["id"], best["score"], embedding))
        return response

    def compare(self, photo: bytes, sentences: list[str], origin: Origin | None = None) -> SimilarityResponse:
        """The similarity of each sentence. Raises Rejected when the photo cannot be read, or a sentence has no word."""
        uploads.check_sentences(sentences, self.settings.max_batch, MAX_CHARACTERS)
        image = self._decode(photo)
        response, embedding = self._timed("similarity", lambda: self.predictor.observe_similarity(image, sentences))
        if self.log and origin:
            # The sentences are the client's: the row names none.
            best = max(each["similarity"] for each in response["sentences"])
            self.log.note_image(origin, photo, image, Outcome(None, best, embedding))
        return response

    def compare_file(self, photo: Path, sentences: list[str], origin: Origin | None = None) -> SimilarityResponse:
        """As `compare`, of a file on disk."""
        return self.compare(self.read_file(photo), sentences, origin)

    def _decode(self, photo: bytes) -> NDArray[np.uint8]:
        try:
            with metrics.timed("decode"):
                return self.predictor.decode(photo)
        except UnreadableImage as error:
            raise uploads.unreadable(photo, error) from error

    def _timed(self, kind: str, compute: Callable[[], tuple[Response, Embedding] | None]) -> tuple[Response, Embedding]:
        """The response of the model and the embedding of its input, counted and timed.

        Raises:
            Rejected: there is none, because a sentence has no word.
        """
        with metrics.timed("model"):
            found = compute()
        if found is None:
            raise Rejected(422, f"{WORDLESS}: say what a photo shows")
        metrics.predicted(kind)
        return found
