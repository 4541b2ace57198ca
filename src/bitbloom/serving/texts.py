"""The service for texts: the exported model, the words that mattered, routes and refusals."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import numpy as np
from fastapi import FastAPI
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from tokenizers import Tokenizer
from typing_extensions import TypedDict

from bitbloom import texts
from bitbloom.errors import BitBloomError
from bitbloom.models.tokens import encode, longest
from bitbloom.serving import uploads
from bitbloom.serving.base import Refusal, Service
from bitbloom.serving.predictor import open_session, shortest

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

WORD = re.compile(r"\S+")
MOST_TEXTS = 32
MOST_CHARACTERS = 2000


class Word(TypedDict):
    """A word of the text, and by how much the answer's probability falls without it."""

    word: str
    weight: float


class Answer(TypedDict):
    """What the model says of a text, and of which words it does."""

    label: str
    probability: float
    words: list[Word]
    model_digest: str


class Message(BaseModel):
    """A text; keyword and location as Kaggle's files have them."""

    text: str = Field(max_length=MOST_CHARACTERS)
    keyword: str = Field("", max_length=100)
    location: str = Field("", max_length=200)


class Question(BaseModel):
    """One to MOST_TEXTS texts."""

    texts: list[Message | str] = Field(min_length=1, max_length=MOST_TEXTS)


@dataclass(frozen=True)
class TextPredictor:
    """An exported text classifier: input `tokens` int64 [n, l], output `probabilities` float32 [n, classes]."""

    session: InferenceSession
    classes: tuple[str, ...]
    tokenizer: Tokenizer
    tokens: int
    digest: str

    @classmethod
    def open(cls, path: Path, digest: str | None = None) -> TextPredictor:
        """Open a model file, or the `model.onnx` of a folder. Raises BitBloomError on a missing or another model."""
        session, found = open_session(path, digest)
        metadata = session.get_modelmeta().custom_metadata_map
        try:
            classes, tokens = tuple(json.loads(metadata["classes"])), int(metadata["tokens"])
            tokenizer = Tokenizer.from_str(metadata["tokenizer"])
        except (KeyError, ValueError) as error:
            raise BitBloomError(f"{path} lacks the metadata of the export stage ({error}): export it again") from error
        return cls(session, classes, tokenizer, tokens, found)

    def answer(self, text: str, keyword: str = "", location: str = "", words: bool = True) -> Answer:
        """The answer for a text. Cleaned as in training; one text a run, so that it never depends on its company."""
        probabilities = self.probabilities(texts.joined(text, keyword, location))
        best = int(probabilities.argmax())
        mattered = self.words(text, keyword, location, best, float(probabilities[best])) if words else []
        return Answer(
            label=self.classes[best], probability=shortest(probabilities[best]), words=mattered, model_digest=self.digest
        )

    def probabilities(self, joined: str) -> NDArray[np.float32]:
        """Probabilities [classes] of a joined text."""
        rows = encode(self.tokenizer, [joined], self.tokens)
        (outputs,) = self.session.run(["probabilities"], {"tokens": rows[:, : longest(rows)]})
        result: NDArray[np.float32] = outputs[0]
        return result

    def words(self, text: str, keyword: str, location: str, best: int, whole: float) -> list[Word]:
        """Occlusion: each word of the cleaned text left out in turn (Zeiler and Fergus 2014, arXiv:1311.2901)."""
        cleaned = texts.clean(text)
        places = list(WORD.finditer(cleaned))
        without = [cleaned[: place.start()] + cleaned[place.end() :] for place in places]
        left = [float(self.probabilities(texts.joined(other, keyword, location))[best]) for other in without]
        return [Word(word=place[0], weight=round(whole - rest, 4)) for place, rest in zip(places, left, strict=True)]


class TextApplication(Service):
    """The routes of a service for texts, and the predictor they ask once it is open."""

    def open_model(self, file: Path, digest: str) -> None:
        """Open the exported model."""
        self.predictor = TextPredictor.open(file, digest)

    def add_routes(self, app: FastAPI) -> None:
        """POST /predict."""
        app.post("/predict", summary="Label texts", responses={422: {"model": Refusal}})(self.predict)

    async def predict(self, question: Question) -> list[Answer]:
        """Label the texts, in order."""
        messages = [Message(text=item, keyword="", location="") if isinstance(item, str) else item for item in question.texts]
        if any(not texts.clean(message.text) for message in messages):
            raise uploads.Refused(422, "a text is empty, or nothing is left of it after cleaning: send some words")
        return await anyio.to_thread.run_sync(self._answers, messages, limiter=self.threads)

    def _answers(self, messages: Sequence[Message]) -> list[Answer]:
        return [self.predictor.answer(message.text, message.keyword, message.location) for message in messages]
