"""The service of a model that labels photos: its routes, and what its typed methods compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import TypeAdapter
from starlette.datastructures import UploadFile

from bitbloom.core.errors import UnreadableImage
from bitbloom.serving import metrics, openapi, protection, uploads
from bitbloom.serving.application import Application
from bitbloom.serving.prediction_log.observations import Origin, Outcome
from bitbloom.serving.predictor import Failure, Prediction, Predictor
from bitbloom.serving.protection import Limit
from bitbloom.serving.rejections import RESPONSES, Rejected

BATCH = "send several to /predict_batch"
PREDICTION = TypeAdapter(Prediction)


class ImageApplication(Application):
    """Photos in, classes out."""

    def open_model(self, folder: Path, digest: str) -> None:
        """Open the exported model."""
        self.predictor = Predictor.open(folder, digest, self.settings.max_pixels)

    def labels(self) -> Sequence[str]:
        """The classes of the model."""
        return self.predictor.classes

    def limits(self) -> Mapping[str, Limit]:
        """Of one photo, and of a batch."""
        known = self.settings
        many = uploads.photos_limit(known.max_bytes, known.max_batch, known.held_bytes)
        return {"predict": uploads.photo_limit(known.max_bytes), "predict_batch": many}

    def add_routes(self, router: APIRouter) -> None:
        """POST /predict and /predict_batch."""
        extra = openapi.PHOTO | openapi.flag("attention", "Add the attention map, if the model has attention.")
        router.post("/predict", summary="Label a photo", response_model=Prediction, responses=RESPONSES, openapi_extra=extra)(
            self.predict
        )
        batch = RESPONSES | {200: {"model": list[Prediction | Failure]}}
        router.post("/predict_batch", summary="Label several photos", responses=batch, openapi_extra=openapi.PHOTOS)(
            self.predict_batch
        )

    async def predict(self, request: Request) -> Response:
        """Label the photo in the form field `image`, or in the body itself."""
        # FastAPI would parse the parameter and check the prediction in the event loop, which every request shares.
        attention = uploads.flag(request, "attention")
        photo = await uploads.photo(request, self.settings.max_bytes, BATCH)
        origin = self.origin()
        content = await self.in_thread(lambda: PREDICTION.dump_json(self.label(photo, attention, origin)))
        return Response(content, media_type="application/json")

    async def predict_batch(self, request: Request) -> Any:
        """Label the photos in the form fields `image`, in order.

        A photo that cannot be read has an object with `error` in its place. The status is 422 when no photo can be
        read: then the response has an `error`, and the single errors in `results`.
        """
        async with uploads.photos(request, self.settings.max_batch) as files:
            protection.occupy(len(files))
            results = [await self._label_upload(file, number) for number, file in enumerate(files)]
        if message := no_label(results):
            return JSONResponse({"error": message, "results": results}, 422)
        return results

    def label(self, photo: bytes, attention: bool = False, origin: Origin | None = None) -> Prediction:
        """The prediction for an image file, logged if it has an origin. Raises Rejected when it cannot be read."""
        try:
            with metrics.timed("decode"):
                image = self.predictor.decode(photo)
        except UnreadableImage as error:
            raise uploads.unreadable(photo, error) from error
        with metrics.timed("model"):
            if origin:
                prediction, embedding = self.predictor.observe(image, attention)
            else:
                prediction, embedding = self.predictor.classify(image, attention), None
        metrics.predicted(prediction["label"], prediction["probability"])
        if self.log and origin:
            self.log.note_image(origin, photo, image, Outcome(prediction["label"], prediction["probability"], embedding))
        return prediction

    def label_file(self, photo: Path, attention: bool = False, origin: Origin | None = None) -> Prediction:
        """As `label`, of a file on disk. Raises Rejected for a file that is too large, too."""
        return self.label(self.read_file(photo), attention, origin)

    async def label_files(self, photos: list[Path]) -> list[Prediction | Failure]:
        """As `predict_batch`, of files on disk. Raises Rejected for too many files, or when none can be read."""
        if not 0 < len(photos) <= self.settings.max_batch:
            raise Rejected(400, f"{len(photos)} photos: send 1 to {self.settings.max_batch} in one request")
        protection.occupy(len(photos))
        results = [await self._or_failure(self.label_file, photo, number) for number, photo in enumerate(photos)]
        if message := no_label(results):
            raise Rejected(422, message)
        return results

    async def _label_upload(self, file: UploadFile, number: int) -> Prediction | Failure:
        try:
            photo = await uploads.content(file, self.settings.max_bytes)
        except Rejected as rejected:
            return Failure(error=rejected.message)
        return await self._or_failure(self.label, photo, number)

    async def _or_failure(self, label: Any, photo: bytes | Path, number: int) -> Prediction | Failure:
        try:
            result: Prediction = await self.in_thread(label, photo, False, self.origin(number))
            return result
        except Rejected as rejected:
            return Failure(error=rejected.message)


def no_label(results: list[Prediction | Failure]) -> str:
    """The message for a batch of which no photo has a label; else nothing."""
    if any("error" not in result for result in results):
        return ""
    return f"none of the {len(results)} photos can be read: see what is wrong with each"
