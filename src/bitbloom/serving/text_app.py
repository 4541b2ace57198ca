"""The service of a model that labels texts: its route, and what its typed method computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, BeforeValidator, Field

from bitbloom.serving import metrics, protection, uploads
from bitbloom.serving.application import Application
from bitbloom.serving.limits import MAX_CHARACTERS
from bitbloom.serving.prediction_log.observations import Origin, Outcome
from bitbloom.serving.predictor import Failure
from bitbloom.serving.protection import Limit
from bitbloom.serving.rejections import RESPONSES, Rejected
from bitbloom.serving.text_predictor import EMPTY, Prediction, TextPredictor

Text = Annotated[str, Field(max_length=MAX_CHARACTERS)]


class Message(BaseModel):
    """A text; keyword and location as Kaggle's files have them."""

    text: Text
    keyword: Text = ""
    location: Text = ""


def _as_message(value: object) -> object:
    return {"text": value} if isinstance(value, str) else value


MessageOrText = Annotated[Message, BeforeValidator(_as_message, json_schema_input_type=Message | Text)]
"""An error names `texts[0]`, and not the alternatives of a union."""


class PredictRequest(BaseModel):
    """Texts to label, at most the service's `max_batch`."""

    texts: list[MessageOrText] = Field(min_length=1)
    words: bool = True
    """Whether to compute the weight of each word, which runs the model once more for each."""


class TextApplication(Application):
    """Texts in, classes out."""

    def open_model(self, folder: Path, digest: str) -> None:
        """Open the exported model."""
        self.predictor = TextPredictor.open(folder, digest)

    def labels(self) -> Sequence[str]:
        """The classes of the model."""
        return self.predictor.classes

    def limits(self) -> Mapping[str, Limit]:
        """Of the texts in JSON."""
        limit = uploads.json_limit(self.settings.max_batch * len(Message.model_fields), MAX_CHARACTERS)
        return {"predict": limit, "predict_batch": limit}

    def add_routes(self, router: APIRouter) -> None:
        """POST /predict."""
        router.post("/predict", summary="Label texts", responses=RESPONSES)(self.predict)

    async def predict(self, wanted: PredictRequest) -> list[Prediction | Failure]:
        """Label the texts, in order; a text of which nothing is left after cleaning has an `error` in its place."""
        return await self.label_texts(wanted.texts, wanted.words)

    async def label_texts(self, texts: list[Message], words: bool) -> list[Prediction | Failure]:
        """The predictions for texts, in order. Raises Rejected (422) for too many, or when nothing is left of any of them."""
        most = self.settings.max_batch
        if len(texts) > most:
            raise Rejected(422, f"{len(texts)} texts are more than {most}: send them in several requests")
        protection.occupy(len(texts))
        # Text by text: other requests are served in between, and a request that is cancelled ends there.
        predictions = [await self.in_thread(self.label, each, words, self.origin(number)) for number, each in enumerate(texts)]
        if all("error" in each for each in predictions):
            raise Rejected(422, EMPTY)
        return predictions

    def label(self, message: Message, words: bool, origin: Origin | None = None) -> Prediction | Failure:
        """The prediction for one text, logged if it has an origin."""
        parts = (message.text, message.keyword, message.location)
        with metrics.timed("model"):
            observed = self.predictor.observe(*parts)
            if observed is None:
                return Failure(error=EMPTY)
            found, embedding = observed
            prediction = Prediction(**found, words=self.predictor.words(*parts, found) if words else [])
        metrics.predicted(found["label"], found["probability"])
        if self.log and origin:
            self.log.note_text(origin, message.text, Outcome(found["label"], found["probability"], embedding))
        return prediction
