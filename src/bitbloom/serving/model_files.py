"""The files of a model that a service reads, and their digest.

A classifier is one graph. A model of photos and sentences has three graphs and an index of photos.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bitbloom.core.digests import file_digest, folder_files, listing_digest
from bitbloom.core.errors import BitBloomError
from bitbloom.drift.familiar import FAMILIAR, KINDS
from bitbloom.serving.predictor import MODEL

GRAPHS = IMAGE, TEXT, DECODER = "image.onnx", "text.onnx", "decoder.onnx"
REFERENCE = "reference.parquet"
"""Written and read by `drift/observations.py`; its name is here, too, because that module imports PyArrow."""
INDEX = "index"
EMBEDDINGS, PHOTOS, THUMBNAILS = f"{INDEX}/embeddings.npy", f"{INDEX}/photos.json", f"{INDEX}/photos"


def writes_captions(folder: Path) -> bool:
    """Return whether this is the folder of a model of photos and sentences."""
    return (folder / IMAGE).is_file()


def files(folder: Path) -> dict[str, Path]:
    """Return the files of `models/<target>` that the service reads, by their path in the service.

    Raises:
        BitBloomError: a file is missing.
    """
    if not writes_captions(folder):
        return _present({MODEL: folder / MODEL})
    index = {f"{INDEX}/{name}": path for name, path in folder_files(folder / INDEX).items()}
    named = {name: folder / name for name in (*GRAPHS, EMBEDDINGS, PHOTOS)}
    return _present(dict(sorted((index | named).items())))


def reference(folder: Path, kind: str) -> dict[str, Path]:
    """Return what the service compares its inputs with, of the model of this kind in a folder, by the path in the service.

    The model's digest does not cover it: no label depends on it.

    Raises:
        BitBloomError: a file is missing.
    """
    return _present({name: folder / name for name in (REFERENCE, *((FAMILIAR,) if kind in KINDS else ()))})


def digest(found: Mapping[str, Path]) -> str:
    """Return the digest of a model with these files: that of a single file, else that of their sorted list."""
    digests = {name: file_digest(path) for name, path in found.items()}
    return next(iter(digests.values())) if len(digests) == 1 else listing_digest(digests)


def check(folder: Path, expected: str) -> None:
    """Raise BitBloomError when the model in a folder has another digest."""
    found = digest(files(folder))
    if found != expected:
        raise BitBloomError(f"the model in {folder} has the digest {found}, not {expected}: build it again, or fetch it again")


def _present(found: dict[str, Path]) -> dict[str, Path]:
    for path in found.values():
        if not path.is_file():
            raise BitBloomError(f"{path} is missing: `make export TARGET=…` makes it")
    return found
