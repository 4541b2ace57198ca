"""A run: list the inputs, compare them with those of an earlier run in the same folder, and compute the missing parts."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bitbloom.config.sections.service import Service
from bitbloom.core import canonical, imports, progress
from bitbloom.core.digests import file_digest, listing_digest
from bitbloom.core.errors import BitBloomError
from bitbloom.core.processes import workers
from bitbloom.experiments.batch import listing, outputs
from bitbloom.experiments.batch.sources import open_source
from bitbloom.experiments.batch.work import INPUTS, Job, Worker
from bitbloom.serving.files import open_model

MANIFEST = "_manifest.json"
PART_SIZE = 1000
COLUMNS = {"text": "text", "image": "path", "caption": "path"}
"""Kind of model → the usual column of a table."""
PACKAGES = ("numpy", "pillow", "onnxruntime", "tokenizers", "ftfy", "pyarrow")
"""Packages that decide about the bytes of a part."""
CHANGES = {
    "inputs": "other inputs",
    "inputs_digest": "other inputs",
    "model_digest": "another model",
    "format": "another --format",
    "part_size": "another --part-size",
    "limits": "other limits of the target's service",
    "code_digest": "other code or packages",
}
"""Key of the manifest → what a different value means."""
Engine = Callable[[Job, Sequence[int], int], Iterator[int]]
"""Computes parts of a job with a number of workers, and yields numbers of new predictions."""


@dataclass(frozen=True)
class Request:
    """What to predict, and where to write it.

    Attributes:
        model: a model file, or the folder of one.
        source: see `sources.open_source`.
        out: a new folder, or the folder of an earlier run of this request.
        known: the limits of the target's service.
        format: a name in `outputs.FORMATS`.
        column: the column of a table; by default `text` or `path`.
        part_size: inputs of a part.
        engine: a name in `ENGINES`.
    """

    model: Path
    source: str
    out: Path
    known: Service = field(default_factory=Service)
    format: str = "parquet"
    column: str = ""
    part_size: int = PART_SIZE
    engine: str = "local"


@dataclass(frozen=True)
class Summary:
    """A complete run: its parts, predictions and errors."""

    parts: int
    predictions: int
    errors: int


def local(job: Job, numbers: Sequence[int], threads: int) -> Iterator[int]:
    """Compute parts in this process, with one network of one thread for each worker."""
    return Worker(job, threads).compute(numbers)


def on_ray(job: Job, numbers: Sequence[int], processes: int) -> Iterator[int]:
    """Compute parts with Ray Data, in one process for each worker."""
    from bitbloom.experiments.batch import ray_engine

    return ray_engine.compute(job, numbers, processes)


ENGINES: Mapping[str, Engine] = {"local": local, "ray": on_ray}


def run(request: Request) -> Summary:
    """Compute the missing parts of a request.

    Raises:
        BitBloomError: the source, the model, an option or the folder does not fit; or a disk or bucket cannot be read. Finished
            parts remain, and the same request continues.
    """
    if request.engine not in ENGINES:
        raise BitBloomError(f"--engine '{request.engine}' is none of {', '.join(ENGINES)}")
    outputs.named(request.format)
    count = workers()
    with _locked(request.out):
        job, facts = _listed(request)
        numbers = range(listing.parts(facts["inputs"], request.part_size))
        sizes = {number: min(request.part_size, facts["inputs"] - number * request.part_size) for number in numbers}
        missing = [number for number in numbers if _unfinished(job, number, sizes[number])]
        done = facts["inputs"] - sum(sizes[number] for number in missing)
        if missing:
            with progress.advancing("predict", facts["inputs"], done) as advance:
                for new in ENGINES[request.engine](job, missing, count):
                    advance(new)
        return _finish(job, sizes)


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Hold the folder alone, and remove what a killed run was writing. The kernel frees the lock of a killed process."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise BitBloomError(f"{out} cannot be a folder ({error.strerror}): --out takes a new folder") from error
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BitBloomError(f"another run writes to {out}: wait for it, or choose another --out") from error
        for pattern in (".part-*.tmp", ".[_]*.tmp"):
            for left in out.glob(pattern):
                left.unlink(missing_ok=True)
        yield
    finally:
        os.close(folder)


def _listed(request: Request) -> tuple[Job, dict[str, Any]]:
    """List the inputs, and compare them with the manifest, or write it."""
    out = request.out.resolve()
    others = [path.name for path in out.iterdir() if path.name != INPUTS]
    if others and MANIFEST not in others:
        raise BitBloomError(f"{request.out} holds other files ({sorted(others)[0]}): --out takes a new folder")
    model = open_model(request.model, request.known)
    texts, column = model.kind == "text", request.column or COLUMNS[model.kind]
    source = open_source(request.source, texts, column)
    listed = listing.write(out / INPUTS, progress.track(source.entries, "list inputs"), texts, request.part_size)
    if not listed.inputs:
        raise BitBloomError(f"{request.source} holds no inputs")
    facts = {
        "inputs": listed.inputs,
        "inputs_digest": listed.digest,
        "model_digest": model.digest,
        "format": request.format,
        "part_size": request.part_size,
        "limits": {name: asdict(request.known)[name] for name in ("max_bytes", "max_pixels")},
        "code_digest": code_digest(),
    }
    _compare(request.out, facts)
    return Job(request.model.resolve(), request.known, source.root, out, request.format), facts


def _compare(out: Path, facts: dict[str, Any]) -> None:
    """Write the manifest, or raise BitBloomError when an earlier one differs."""
    file = out / MANIFEST
    if not file.exists():
        canonical.write_json(file, facts)
        return
    before = canonical.read_json(file)
    for key, meaning in CHANGES.items():
        if before.get(key) != facts[key]:
            raise BitBloomError(
                f"{out} has predictions of {meaning} ({key} {before.get(key)}, now {facts[key]}): choose another --out, or "
                "remove the folder"
            )


def code_digest() -> str:
    """Return the SHA-256 of the modules that predict, and of the versions of their packages."""
    files = imports.closure(["bitbloom.serving.files", "bitbloom.experiments.batch.outputs"])
    names = {file.relative_to(imports.ROOT).as_posix(): file_digest(file) for file in files}
    return listing_digest(names | {package: version(package) for package in PACKAGES})


def _unfinished(job: Job, number: int, size: int) -> bool:
    """Whether a part is missing or damaged."""
    found = outputs.count(job.out, number, job.format)
    return found is None or found.predictions != size


def _finish(job: Job, sizes: Mapping[int, int]) -> Summary:
    """Count all parts again, and remove the list. Raises BitBloomError when a part is missing."""
    counts = [outputs.count(job.out, number, job.format) for number in sizes]
    for number, found in enumerate(counts):
        if found is None or found.predictions != sizes[number]:
            raise BitBloomError(f"{outputs.part_path(job.out, number, job.format)} is missing or damaged: run the command again")
    (job.out / INPUTS).unlink()
    return Summary(len(counts), sum(sizes.values()), sum(found.errors for found in counts if found))
