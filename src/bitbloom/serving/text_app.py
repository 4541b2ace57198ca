"""The service for texts: routes, answers and refusals. One for all tasks that label texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from bitbloom.serving import protection, uploads
from bitbloom.serving.base import Service
from bitbloom.serving.predictor import Failure
from bitbloom.serving.refusals import ANSWERS, Refused
from bitbloom.serving.text_predictor import EMPTY, Answer, TextPredictor

MOST_CHARACTERS = 2000

Text = Annotated[str, Field(max_length=MOST_CHARACTERS)]


class Message(BaseModel):
    """A text; keyword and location as Kaggle's files have them."""

    text: Text
    keyword: Text = ""
    location: Text = ""


class Question(BaseModel):
    """Texts to label, no more than the service's `max_batch`."""

    texts: list[Message | Text] = Field(min_length=1)
    words: bool = True
    """Whether to say which words mattered: it asks the model once more for each word."""


class TextApplication(Service):
    """The routes of a service for texts, and the predictor they ask once it is open."""

    def open_model(self, folder: Path, digest: str) -> None:
        """Open the exported model."""
        self.predictor = TextPredictor.open(folder, digest)

    def add_routes(self, router: APIRouter) -> None:
        """POST /predict."""
        bounded = uploads.json_route(self.settings.max_batch * len(Message.model_fields), MOST_CHARACTERS)
        router.add_api_route(
            "/predict", self.predict, methods=["POST"], summary="Label texts", responses=ANSWERS, route_class_override=bounded
        )

    async def predict(self, request: Request, question: Question) -> list[Answer | Failure]:
        """Label the texts, in order; one of which nothing is left after cleaning has an `error` in its place."""
        most = self.settings.max_batch
        if len(question.texts) > most:
            raise Refused(422, f"{len(question.texts)} texts are more than {most}: send them in several requests")
        protection.occupy(request, len(question.texts))
        messages = [Message(text=item) if isinstance(item, str) else item for item in question.texts]
        # Text by text: others get their turn in between, and a question that is given up stops there.
        answers = [await self.in_thread(self._answer, each, question.words) for each in messages]
        if all("error" in answer for answer in answers):
            raise Refused(422, f"{EMPTY}: send some words")
        return answers

    def _answer(self, message: Message, words: bool) -> Answer | Failure:
        parts = (message.text, message.keyword, message.location)
        found = self.predictor.label(*parts)
        if found is None:
            return Failure(error=EMPTY)
        return Answer(**found, words=self.predictor.words(*parts, found) if words else [])
