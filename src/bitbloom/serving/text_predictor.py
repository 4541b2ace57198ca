"""The exported text classifier: a text in, label, probability and the weight of each word out.

`bitbloom predict` and the service both use it. It needs NumPy, ftfy, tokenizers and ONNX Runtime only.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from typing_extensions import TypedDict

from bitbloom.core.errors import BitBloomError
from bitbloom.data import texts
from bitbloom.models.tokens import cut, encode
from bitbloom.serving.predictor import EMBEDDING, PROBABILITIES, Embedding, open_session, shortest, wanted_only

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

EMPTY = "nothing is left of the text after cleaning: send some words"
WORD = re.compile(r"\S+")


class Word(TypedDict):
    """A word of the text, and by how much the probability of the label falls without it."""

    word: str
    weight: float


class Label(TypedDict):
    """The likeliest label of a text, and the SHA-256 of the model."""

    label: str
    probability: float
    model_digest: str


class Prediction(Label):
    """A label, and the weights of the words: empty unless requested."""

    words: list[Word]


@dataclass(frozen=True)
class TextPredictor:
    """An exported text classifier: input `tokens` int64 [n, l], output `probabilities` float32 [n, classes].

    On request it has a second output, `embedding` float32 [n, d].
    """

    session: InferenceSession
    classes: tuple[str, ...]
    tokenizer: Tokenizer
    digest: str

    @classmethod
    def open(cls, path: Path, digest: str | None = None) -> TextPredictor:
        """Open a model file, or the `model.onnx` of a folder. Raises BitBloomError on a missing or another model."""
        return cls.of(*open_session(path, digest), path)

    @classmethod
    def of(cls, session: InferenceSession, digest: str, path: Path) -> TextPredictor:
        """The predictor of an open session. Raises BitBloomError when it is not of the export stage."""
        metadata = session.get_modelmeta().custom_metadata_map
        try:
            classes, tokenizer = tuple(json.loads(metadata["classes"])), Tokenizer.from_str(metadata["tokenizer"])
        except (KeyError, ValueError) as error:
            raise BitBloomError(f"{path} lacks the metadata of the export stage ({error}): export it again") from error
        return cls(session, classes, tokenizer, digest)

    def label(self, text: str, keyword: str = "", location: str = "") -> Label | None:
        """The label of a text; None when nothing is left of it after cleaning, as in training.

        Every run has one text: then a prediction cannot depend on the other texts of a batch.
        """
        if not texts.clean(text):
            return None
        return self._label(self.probabilities(texts.joined(text, keyword, location)))

    def observe(self, text: str, keyword: str = "", location: str = "") -> tuple[Label, Embedding | None] | None:
        """As `label`, and the embedding [d] of the same run; None in its place if the model has none."""
        if not texts.clean(text):
            return None
        wanted = [PROBABILITIES, *([EMBEDDING] if EMBEDDING in self.outputs else [])]
        probabilities, *embeddings = self._run(wanted, texts.joined(text, keyword, location))
        return self._label(probabilities), embeddings[0] if embeddings else None

    @functools.cached_property
    def outputs(self) -> frozenset[str]:
        """Names of the model's outputs."""
        return frozenset(output.name for output in self.session.get_outputs())

    def _label(self, probabilities: NDArray[np.float32]) -> Label:
        best = int(probabilities.argmax())
        return Label(label=self.classes[best], probability=shortest(probabilities[best]), model_digest=self.digest)

    def probabilities(self, joined: str) -> NDArray[np.float32]:
        """Probabilities [classes] of a joined text."""
        return self._run([PROBABILITIES], joined)[0]

    def _run(self, wanted: list[str], joined: str) -> list[NDArray[np.float32]]:
        found = self.session.run(wanted, {"tokens": cut(*encode(self.tokenizer, [joined]))}, wanted_only())
        return [outputs[0] for outputs in found]

    def words(self, text: str, keyword: str, location: str, found: Label) -> list[Word]:
        """Return what each word of the cleaned text adds to the probability of its label, by occlusion.

        Each word is left out in turn (Zeiler and Fergus 2014, arXiv:1311.2901). A word has at least one token: the words
        beyond as many as the model reads tokens add nothing.
        """
        cleaned, label = texts.clean(text), self.classes.index(found["label"])
        every = list(WORD.finditer(cleaned))
        used = every[: (self.tokenizer.truncation or {}).get("max_length", len(every))]
        without = [cleaned[: place.start()] + cleaned[place.end() :] for place in used]
        left = [self.probabilities(texts.joined(other, keyword, location))[label] for other in without]
        weights = [round(found["probability"] - float(rest), 4) for rest in left] + [0.0] * (len(every) - len(used))
        return [Word(word=place[0], weight=weight) for place, weight in zip(every, weights, strict=True)]
