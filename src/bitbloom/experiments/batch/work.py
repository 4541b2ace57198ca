"""The computation of parts, the same for every engine: read ahead, predict one input at a time, write a part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bitbloom.core.errors import UnreadableImage
from bitbloom.experiments.batch import listing, outputs
from bitbloom.experiments.batch.listing import Entry, Photo
from bitbloom.experiments.batch.sources import Reader
from bitbloom.experiments.batch.threads import ordered
from bitbloom.serving.files import of_photo, of_row, open_model, printable
from bitbloom.serving.rows import Row

if TYPE_CHECKING:
    from bitbloom.config.sections.service import Service
    from bitbloom.experiments.batch.outputs import Prediction

INPUTS = "_inputs.parquet"
"""The list of inputs, in the folder of the output while a run is unfinished. Readers of Parquet folders skip such names."""
CHUNK, CHUNK_BYTES = 16, 2_000_000
"""Photos or texts that a thread takes at a time, and their bytes, unless one photo has more."""


@dataclass(frozen=True)
class Job:
    """What the workers of a run have in common.

    Attributes:
        model: a model file, or the folder of one.
        known: the limits of the target's service.
        root: the folder or bucket of the photos.
        out: the folder of the output.
        format: a name in `outputs.FORMATS`.
    """

    model: Path
    known: Service
    root: str
    out: Path
    format: str


class Chunk(NamedTuple):
    """Consecutive inputs of a part."""

    part: int
    entries: Sequence[Entry]
    last: bool


Load = Callable[[], bytes]


class Worker:
    """An open model that computes parts of a job with a number of threads."""

    def __init__(self, job: Job, threads: int = 1) -> None:
        self.job, self.threads = job, threads
        self.model, self.reader = open_model(job.model, job.known), Reader(job.root)

    def compute(self, numbers: Iterable[int]) -> Iterator[int]:
        """Compute and write parts; yield the number of new predictions now and then.

        Threads read photos, other threads predict: each network has one thread. Both take consecutive inputs across the bounds of
        parts, so no thread waits for the last photo of a part.
        """
        readers = self.reader.threads
        loaded = ordered(self._load, self._chunks(numbers), readers, readers + 2)
        written: list[Prediction] = []
        for chunk, predictions in ordered(self._predict, loaded, self.threads, 2 * self.threads + 1):
            written += predictions
            if chunk.last:
                outputs.write(self.job.out, chunk.part, self.job.format, written, self.model.kind)
                written = []
            yield len(predictions)

    def _chunks(self, numbers: Iterable[int]) -> Iterator[Chunk]:
        for number in numbers:
            pieces = list(pieces_of(listing.read(self.job.out / INPUTS, number)))
            for at, entries in enumerate(pieces, start=1):
                yield Chunk(number, entries, at == len(pieces))

    def _load(self, chunk: Chunk) -> tuple[Chunk, list[Load]]:
        """The chunk, and a function for each photo that returns its bytes or raises why there are none."""
        return chunk, [self._read(entry) for entry in chunk.entries if isinstance(entry, Photo)]

    def _read(self, photo: Photo) -> Load:
        try:
            return partial(_returned, self.reader.read(photo, self.job.known.max_bytes))
        except (UnreadableImage, OSError) as error:
            return partial(_raised, error)

    def _predict(self, loaded: tuple[Chunk, list[Load]]) -> tuple[Chunk, list[Prediction]]:
        chunk, loads = loaded
        if self.model.kind == "text":
            return chunk, [of_row(entry, self.model.compute) for entry in chunk.entries if isinstance(entry, Row)]
        names = [printable(entry.name) for entry in chunk.entries if isinstance(entry, Photo)]
        most = self.job.known.max_bytes
        return chunk, [of_photo(name, load, self.model.compute, most) for name, load in zip(names, loads, strict=True)]


def pieces_of(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Cut the inputs of a part for threads: at most CHUNK of them and CHUNK_BYTES bytes, at least one input."""
    piece: list[Entry] = []
    size = 0
    for entry in entries:
        own = max(0, entry.size) if isinstance(entry, Photo) else 0
        if piece and (len(piece) == CHUNK or size + own > CHUNK_BYTES):
            yield piece
            piece, size = [], 0
        piece.append(entry)
        size += own
    if piece:
        yield piece


def _returned(photo: bytes) -> bytes:
    return photo


def _raised(error: Exception) -> bytes:
    raise error
