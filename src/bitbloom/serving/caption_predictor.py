"""The exported model of photos and sentences: a photo in, sentences out; a sentence in, photos out.

`bitbloom predict` and the service both use it. It needs NumPy, Pillow, ftfy, tokenizers and ONNX Runtime only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from typing_extensions import TypedDict

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.data import imaging, texts, vocabulary
from bitbloom.models.decoding import Sentence, by_graph
from bitbloom.models.tokens import cut, encode
from bitbloom.serving import model_files
from bitbloom.serving.predictor import open_session, shortest

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

WIDTH = 4
"""Beams of a search, and so sentences of a response."""
WORDLESS = "there is no word in the sentence"
WORD = re.compile(r"\w")

Embedding = NDArray[np.float32]


class Caption(TypedDict):
    """A generated sentence, and the mean log-probability of its words."""

    sentence: str
    score: float


class CaptionResponse(TypedDict):
    """Sentences about a photo, best first, and the digest of the model."""

    sentences: list[Caption]
    model_digest: str


class Match(TypedDict):
    """A photo of the index: how similar it is to the sentence (cosine), its own captions, and where its thumbnail is."""

    id: str
    score: float
    captions: list[str]
    thumbnail: str


class SearchResponse(TypedDict):
    """Photos, the most similar first, and the digest of the model."""

    photos: list[Match]
    model_digest: str


class Similarity(TypedDict):
    """A sentence, and how similar it is to the photo: the cosine of their embeddings, -1 to 1."""

    sentence: str
    similarity: float


class SimilarityResponse(TypedDict):
    """Sentences in the order of the request, and the digest of the model."""

    sentences: list[Similarity]
    model_digest: str


@dataclass(frozen=True)
class Index:
    """Photos that a search finds: unit embeddings float32 [m, E], and `id` and `captions` of each."""

    embeddings: Embedding
    photos: list[dict[str, Any]]

    @classmethod
    def open(cls, folder: Path) -> Index:
        """Read the index in a model's folder. Raises BitBloomError when its parts do not fit each other."""
        try:
            embeddings = np.load(folder / model_files.EMBEDDINGS)
            photos = canonical.read_json(folder / model_files.PHOTOS)
        except (OSError, ValueError) as error:
            raise BitBloomError(f"{folder / model_files.INDEX} cannot be read ({error}): export it again") from error
        thumbnails = len(list((folder / model_files.THUMBNAILS).glob("*.jpg")))
        if not len(embeddings) == len(photos) == thumbnails:
            counts = f"{len(embeddings)} embeddings, {len(photos)} photos and {thumbnails} thumbnails"
            raise BitBloomError(f"{folder / model_files.INDEX} has {counts}: export it again")
        return cls(embeddings, photos)

    def nearest(self, embedding: Embedding, count: int) -> list[Match]:
        """The photos most similar to an embedding [E], equal ones in the order of the index."""
        scores = np.einsum("me,e->m", self.embeddings, embedding)  # one thread, always the same order of sums
        return [self._match(at, scores[at]) for at in np.argsort(-scores, kind="stable")[:count].tolist()]

    def _match(self, at: int, score: np.float32) -> Match:
        photo = self.photos[at]
        return Match(id=photo["id"], score=shortest(score), captions=photo["captions"], thumbnail=f"photos/{at:05}.jpg")


@dataclass(frozen=True)
class CaptionPredictor:
    """The graphs of the export stage in ONNX Runtime sessions, and the index.

    Attributes:
        image: `images` uint8 [n, 3, side, side] → `vector` float32 [n, E], unit length; `memory` float32
            [n, L, 2, H, T, D], keys and values of the decoder's cross-attention.
        text: `tokens` int64 [n, l] → `vector` float32 [n, E], unit length.
        decoder: one step: `words` int64 [n], `position` int64 [1], `memory`, `past` float32 [n, L, 2, H, W, D] → `scores`
            float32 [n, V], log-probabilities of the next word, and `present`, the next `past`.
        words: the decoder's vocabulary.
        tokenizer: of the text encoder.
        index: the photos that a search finds.
        image_size: side of the square that the graph takes, pixels.
        digest: of the files of the model (`model_files.digest`).
        max_pixels: larger photos are rejected.
    """

    image: InferenceSession
    text: InferenceSession
    decoder: InferenceSession
    words: tuple[str, ...]
    tokenizer: Tokenizer
    index: Index
    image_size: int
    digest: str
    max_pixels: int

    @classmethod
    def open(cls, folder: Path, digest: str | None = None, max_pixels: int = imaging.MAX_PIXELS) -> CaptionPredictor:
        """Open the model in a folder.

        Raises:
            BitBloomError: a file is missing, they are not those of this `digest`, or not of the export stage.
        """
        found = model_files.digest(model_files.files(folder))
        if digest is not None and found != digest:
            raise BitBloomError(f"the model in {folder} has the digest {found}, not {digest}: build it again or fetch it again")
        image, text, decoder = (open_session(folder / name)[0] for name in model_files.GRAPHS)
        try:
            words = tuple(json.loads(_metadata(decoder)["vocabulary"]))
            tokenizer, side = Tokenizer.from_str(_metadata(text)["tokenizer"]), int(_metadata(image)["image_size"])
        except (KeyError, ValueError) as error:
            raise BitBloomError(f"{folder} lacks the metadata of the export stage ({error}): export it again") from error
        if words[: len(vocabulary.SPECIAL)] != vocabulary.SPECIAL:
            raise BitBloomError(f"the vocabulary of {folder} does not begin with {vocabulary.SPECIAL}: export it again")
        return cls(image, text, decoder, words, tokenizer, Index.open(folder), side, found, max_pixels)

    def caption(self, photo: bytes, width: int = WIDTH) -> CaptionResponse:
        """Sentences for an image file. Raises UnreadableImage with the reason."""
        return self.describe(self.decode(photo), width)

    def decode(self, photo: bytes) -> NDArray[np.uint8]:
        """The centre square of an image file, [3, side, side]. Raises UnreadableImage with the reason."""
        return imaging.square(photo, self.image_size, self.max_pixels)

    def describe(self, image: NDArray[np.uint8], width: int = WIDTH) -> CaptionResponse:
        """Sentences for an image [3, side, side]."""
        return self.observe(image, width)[0]

    def observe(self, image: NDArray[np.uint8], width: int = WIDTH) -> tuple[CaptionResponse, Embedding]:
        """As `describe`, and the embedding [E] of the image from the same run."""
        embedding, memory = self._encode_image(image)
        sentences = [
            Caption(sentence=vocabulary.sentence(one.words, self.words), score=shortest(np.float32(one.score)))
            for one in by_graph(self.decoder, memory, width)
        ]
        return CaptionResponse(sentences=sentences, model_digest=self.digest), embedding

    def generate(self, image: NDArray[np.uint8], width: int = WIDTH) -> list[Sentence]:
        """Sentences for an image [3, side, side], best first, by a beam search of this width.

        Every run has one image, and its beams are the batch: then a response cannot depend on other photos.
        """
        return by_graph(self.decoder, self._encode_image(image)[1], width)

    def search(self, sentence: str, count: int) -> SearchResponse | None:
        """The `count` photos most similar to a sentence, or all; None when there is no word in it."""
        found = self.observe_search(sentence, count)
        return found and found[0]

    def observe_search(self, sentence: str, count: int) -> tuple[SearchResponse, Embedding] | None:
        """As `search`, with the sentence's embedding [E]."""
        embedding = self._encode_text(sentence)
        if embedding is None:
            return None
        return SearchResponse(photos=self.index.nearest(embedding, count), model_digest=self.digest), embedding

    def compare(self, image: NDArray[np.uint8], sentences: Sequence[str]) -> SimilarityResponse | None:
        """How similar each sentence is to an image [3, side, side]; None when there is no word in one."""
        found = self.observe_similarity(image, sentences)
        return found and found[0]

    def observe_similarity(
        self, image: NDArray[np.uint8], sentences: Sequence[str]
    ) -> tuple[SimilarityResponse, Embedding] | None:
        """As `compare`, with the image's embedding [E]."""
        embeddings = [self._encode_text(sentence) for sentence in sentences]
        seen = self._encode_image(image)[0]
        found = [
            Similarity(sentence=sentence, similarity=shortest(np.einsum("e,e->", seen, embedding)))
            for sentence, embedding in zip(sentences, embeddings, strict=True)
            if embedding is not None
        ]
        if len(found) < len(sentences):
            return None
        return SimilarityResponse(sentences=found, model_digest=self.digest), seen

    def embed(self, image: NDArray[np.uint8]) -> Embedding:
        """The embedding [E] of an image [3, side, side], without sentences."""
        return self._encode_image(image)[0]

    def _encode_image(self, image: NDArray[np.uint8]) -> tuple[Embedding, NDArray[np.float32]]:
        """Embedding [E] and memory [1, L, 2, H, T, D] of an image [3, side, side]."""
        embedding, memory = self.image.run(["vector", "memory"], {"images": image[None]})
        return embedding[0], memory

    def _encode_text(self, sentence: str) -> Embedding | None:
        """The embedding [E] of a sentence, cleaned as in training; None when there is no word in it."""
        cleaned = texts.clean(sentence)
        if not WORD.search(cleaned):
            return None
        (embedding,) = self.text.run(["vector"], {"tokens": cut(*encode(self.tokenizer, [cleaned]))})
        result: Embedding = embedding[0]
        return result


def _metadata(session: InferenceSession) -> dict[str, str]:
    properties: dict[str, str] = session.get_modelmeta().custom_metadata_map
    return properties
