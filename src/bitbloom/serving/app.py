"""The service for photos: routes, answers and refusals. One for all tasks that label photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile

from bitbloom.core.errors import UnreadableImage
from bitbloom.serving import protection, uploads
from bitbloom.serving.base import RequestRoute, Service
from bitbloom.serving.predictor import Answer, Failure, Predictor
from bitbloom.serving.refusals import ANSWERS, Refused

BATCH = "send several to /predict_batch"


class Application(Service):
    """The routes of a service for photos, and the predictor they ask once it is open."""

    def open_model(self, folder: Path, digest: str) -> None:
        """Open the exported model."""
        self.predictor = Predictor.open(folder, digest, self.settings.max_pixels)

    def add_routes(self, router: APIRouter) -> None:
        """POST /predict and /predict_batch."""
        router.add_api_route(
            "/predict",
            self.predict,
            methods=["POST"],
            summary="Label a photo",
            responses=ANSWERS,
            openapi_extra=uploads.ONE,
            response_model_exclude_unset=True,
            route_class_override=RequestRoute,
        )
        batch = ANSWERS | {200: {"model": list[Answer | Failure]}}
        router.post("/predict_batch", summary="Label several photos", responses=batch, openapi_extra=uploads.MANY)(
            self.predict_batch
        )

    async def predict(self, request: Request, attention: bool = False) -> Answer:
        """Label the photo in the form field `image`, or in the body itself.

        With `attention` the answer says where the model looked, if it can.
        """
        return await self._answer(await uploads.photo(request, self.settings.max_bytes, BATCH), attention)

    async def predict_batch(self, request: Request) -> Any:
        """Label the photos in the form fields `image`, in order.

        A photo that cannot be read has an object with `error` in its place. The status is 422 when no photo can be
        read: then the answer has an `error`, and the single errors in `results`.
        """
        limits = self.settings
        async with uploads.photos(request, limits.max_bytes, limits.max_batch, limits.held_bytes) as files:
            protection.occupy(request, len(files))
            results = [await self._answer_or_failure(file) for file in files]
        if all("error" in result for result in results):
            message = f"none of the {len(results)} photos can be read: see what is wrong with each"
            return JSONResponse({"error": message, "results": results}, 422)
        return results

    async def _answer(self, photo: bytes, attention: bool = False) -> Answer:
        try:
            return await self.in_thread(self.predictor.answer, photo, attention)
        except UnreadableImage as error:
            raise uploads.unreadable(photo, error) from error

    async def _answer_or_failure(self, file: UploadFile) -> Answer | Failure:
        try:
            return await self._answer(await uploads.content(file, self.settings.max_bytes))
        except Refused as refused:
            return Failure(error=refused.message)
