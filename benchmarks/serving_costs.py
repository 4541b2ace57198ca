"""The time of each step for one photo in a service of `petals`, and of alternatives to our choices: milliseconds, one thread.

    python benchmarks/serving_costs.py [--runs 15] [--json results.json]

Each row is measured alone and warm, in turns with the others. In a service, caches are cold (docs/serving.md). Needs `make all`.
"""

from __future__ import annotations

import argparse
import io
import itertools
import statistics
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image
from rich.console import Console
from rich.table import Table
from starlette.requests import Request

from bitbloom.core import canonical, checkout
from bitbloom.data import imaging
from bitbloom.serving.predictor import Predictor

PHOTOS = 40
MODELS = Path("models/petals")
FORM_HEADER = b'--b\r\nContent-Disposition: form-data; name="image"; filename="photo.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
FORM = "multipart/form-data; boundary=b"
Work = Callable[[int], object]
"""A computation with the photo of an index."""


def session(file: str, threads: int = 1) -> onnxruntime.InferenceSession:
    """A session of an exported graph."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(MODELS / file, options, providers=["CPUExecutionProvider"])


def run(model: onnxruntime.InferenceSession, images: np.ndarray, batch: int = 1) -> Work:
    """Run a graph on `batch` of the images [n, 3, S, S] at a time."""
    return lambda number: model.run(["probabilities"], {"images": images[number % (PHOTOS - batch + 1) :][:batch]})


def preprocessed(images: np.ndarray) -> Work:
    """The preprocessing of the graph, in NumPy."""
    mean, std = np.float32([0.5] * 3)[:, None, None], np.float32([0.25] * 3)[:, None, None]
    return lambda number: (images[number].astype(np.float32) / np.float32(255) - mean) / std


def parsed(bodies: list[bytes]) -> Work:
    """Parse a form as FastAPI does for an `UploadFile`."""

    async def parse(body: bytes) -> bytes:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        scope = {"type": "http", "headers": [(b"content-type", FORM.encode())]}
        async with Request(scope, receive).form() as form:
            file: Any = form["image"]
            return bytes(await file.read())

    return lambda number: _finished(parse(bodies[number]))


def _finished(coroutine: Coroutine[Any, Any, bytes]) -> bytes:
    """The result of a coroutine that never suspends, without the cost of an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: bytes = stop.value
        return result
    raise RuntimeError("the coroutine suspended")


def enlarged(photo: bytes) -> bytes:
    """The photo with 12 million pixels, as a phone takes them."""
    stream = io.BytesIO()
    Image.open(io.BytesIO(photo)).resize((4000, 3000), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def cases() -> dict[str, tuple[Work, int]]:
    """The computation of each row, and its photos per call."""
    photos = [path.read_bytes() for path in sorted(Path("data/raw/petals").rglob("*.jpg"))[:: 2400 // PHOTOS]][:PHOTOS]
    predictor = Predictor.open(MODELS)
    side = predictor.image_size
    images = np.stack([imaging.square(photo, side) for photo in photos])
    bodies = [FORM_HEADER + photo + b"\r\n--b--\r\n" for photo in photos]
    phone = enlarged(photos[0])
    fp32, int8 = session("model.onnx"), session("model.int8.onnx")
    return {
        "decode and resize a JPEG of 96 × 96": (lambda number: imaging.square(photos[number], side), 1),
        "decode and resize a JPEG of 4,000 × 3,000": (lambda _: imaging.square(phone, side), 1),
        "preprocess by NumPy instead of in the graph": (preprocessed(images), 1),
        "parse a form": (parsed(bodies), 1),
        "network, fp32": (run(fp32, images), 1),
        "network, fp32, 8 at a time": (run(fp32, images, 8), 8),
        "network, fp32, 32 at a time": (run(fp32, images, 32), 32),
        "network, fp32, two threads": (run(session("model.onnx", 2), images), 1),
        "network, static int8": (run(int8, images), 1),
        "network, static int8, 8 at a time": (run(int8, images, 8), 8),
        "decode, network and response": (lambda number: predictor.predict(photos[number]), 1),
    }


def measure(runs: int) -> dict[str, list[float]]:
    """Milliseconds per photo of each case, one number per run."""
    work = cases()
    found: dict[str, list[float]] = {name: [] for name in work}
    for _, (name, (call, photos)) in itertools.product(range(runs), work.items()):
        call(0)
        began = time.perf_counter()
        for number in range(10):
            call(number)
        found[name].append((time.perf_counter() - began) * 1000 / (10 * photos))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = measure(arguments.runs)
    table = Table("", "ms per photo", "spread", title="One photo of `petals`, one thread, medians")
    for name, taken in found.items():
        table.add_row(name, f"{statistics.median(taken):.3f}", f"{min(taken):.3f} to {max(taken):.3f}")
    Console().print(table)
    if arguments.json:
        canonical.write_json(arguments.json, found)


if __name__ == "__main__":
    checkout.require()
    main()
