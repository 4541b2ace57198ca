"""What is noted of a prediction: first as the request's thread has it, then as a row of the log.

The thread that computes a prediction only takes a digest of the input. The thread of the log describes it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from bitbloom.serving import protection

IMAGE, TEXT = "image", "text"
ROW_BYTES = 2_000
"""Memory of a row beside its input, roughly."""


class Origin(NamedTuple):
    """A prediction that begins: its id, and the time on the clock of `perf_counter` in seconds."""

    id: str
    began: float


def begin(number: int = 0) -> Origin:
    """Begin prediction `number` of the request that is served, whose response gets the header X-Prediction-Id.

    The first prediction has the id of the header; a later one has `-<number>` after it.
    """
    scope = protection.REQUEST.get()
    known = scope.get(protection.PREDICTION) or scope.setdefault(protection.PREDICTION, uuid4().hex)
    return Origin(f"{known}-{number}" if number else known, time.perf_counter())


class Outcome(NamedTuple):
    """A prediction: its label, if it has one, its confidence, and the network's embedding float32 [d], if it has one."""

    label: str | None
    confidence: float
    embedding: NDArray[np.float32] | None


class Observation(NamedTuple):
    """A prediction and its input, before it is described."""

    id: str
    time: int
    latency: float
    kind: str
    digest: str
    source: NDArray[np.uint8] | str
    """The square [3, side, side] that the network saw, or the text."""
    size: int
    content: bytes | None
    outcome: Outcome

    @classmethod
    def of_image(cls, origin: Origin, photo: bytes, square: NDArray[np.uint8], outcome: Outcome, keep: bool) -> Self:
        """Note a photo's prediction; `keep` its bytes."""
        return cls._of(origin, IMAGE, photo, square, outcome, keep)

    @classmethod
    def of_text(cls, origin: Origin, text: str, outcome: Outcome, keep: bool) -> Self:
        """Note a text's prediction; `keep` the text."""
        return cls._of(origin, TEXT, text.encode("utf-8", "surrogatepass"), text, outcome, keep)

    @classmethod
    def _of(cls, origin: Origin, kind: str, data: bytes, source: NDArray[np.uint8] | str, outcome: Outcome, keep: bool) -> Self:
        latency = time.perf_counter() - origin.began
        now, digest = time.time_ns() // 1_000_000, hashlib.sha256(data).hexdigest()
        return cls(origin.id, now, latency, kind, digest, source, len(data), data if keep else None, outcome)

    @property
    def weight(self) -> int:
        """Bytes in memory, roughly."""
        source = self.source.nbytes if isinstance(self.source, np.ndarray) else self.size
        return ROW_BYTES + source + len(self.content or b"")


class Row(NamedTuple):
    """A described prediction: one row of a part."""

    id: str
    time: int
    latency: float
    kind: str
    digest: str
    features: Mapping[str, float]
    embedding: NDArray[np.float16] | None
    label: str | None
    confidence: float
    content: bytes | None

    @property
    def weight(self) -> int:
        """Bytes in memory, roughly."""
        return ROW_BYTES + len(self.content or b"")


def described(seen: Observation) -> Row:
    """The row of an observation."""
    return _row(seen, _features(seen.source, seen.size))


def all_described(seen: Sequence[Observation]) -> list[Row]:
    """The rows of observations. Photos of one size are described together."""
    sources = [one.source for one in seen]
    shapes = {one.shape if isinstance(one, np.ndarray) else None for one in sources}
    if len(shapes) != 1 or None in shapes:
        return [described(one) for one in seen]
    from bitbloom.data.descriptors import image

    features = image.describe_all(np.stack([np.asarray(source) for source in sources]), [one.size for one in seen])
    return [_row(one, found) for one, found in zip(seen, features, strict=True)]


def _row(seen: Observation, features: Mapping[str, float]) -> Row:
    label, confidence, embedding = seen.outcome
    halves = None if embedding is None else embedding.astype(np.float16)
    return Row(seen.id, seen.time, seen.latency, seen.kind, seen.digest, features, halves, label, confidence, seen.content)


def _features(source: NDArray[np.uint8] | str, size: int) -> dict[str, float]:
    if isinstance(source, str):
        from bitbloom.data.descriptors import text  # only a service for texts loads what cleans them

        return text.describe(source)
    from bitbloom.data.descriptors import image

    return image.describe(source, size)
