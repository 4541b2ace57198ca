"""A real transformer, exported and served: a photo has the same bits alone, in a batch and beside other requests.

With several photos in one run, ONNX Runtime computes other bits for this network than with one.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bitbloom.config.sections.export import Export
from bitbloom.config.target import Target
from bitbloom.serving.files import predict_files
from bitbloom.stages import export, package
from support import tiny
from support.standin import LIMITS, Served, installed, make_target, write_surroundings

pytestmark = pytest.mark.slow

MAX_BATCH = 8
CLIENTS = 4
KINDS = {
    "JPEG": "RGB L",
    "PNG": "RGB RGBA L",
    "WEBP": "RGB",
    "GIF": "L",
    "TIFF": "RGB",
    "BMP": "RGB",
    "PPM": "RGB L",
    "AVIF": "RGB",
}
"""Formats, and the modes of the files of each."""


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The service of a small vision transformer, from the stages `export` and `package`."""
    folder = tiny.write_trained(tmp_path_factory.mktemp("transformer"))
    write_surroundings(folder)
    with contextlib.chdir(folder):
        export.run(Target("petals", {"task": "petals", "export": Export(calibration_samples=16, int8=False)}))
        package.run(make_target(limits=replace(LIMITS, max_batch=MAX_BATCH, max_requests=CLIENTS * MAX_BATCH)))
    with installed(folder, "petals", tmp_path_factory) as served:
        yield served


@pytest.fixture(scope="module")
def client(transformer: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=transformer.url, timeout=30) as client:
        yield client


@st.composite
def photos(draw: st.DrawFn) -> bytes:
    """An image file of noise around a colour, of any shape, format and mode."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    mode = draw(st.sampled_from(KINDS[kind].split()))
    height, width, depth = draw(st.integers(1, 90)), draw(st.integers(1, 90)), len(Image.new(mode, (1, 1)).getbands())
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    colour, noise = generator.integers(0, 256, depth), generator.integers(-draw(st.integers(0, 255)), 256, (height, width, depth))
    pixels = (colour + noise).clip(0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels.squeeze(2) if depth == 1 else pixels, mode).save(stream, kind)
    return stream.getvalue()


def several(most: int) -> st.SearchStrategy[list[bytes]]:
    """One to `most` photos in any order; some may occur more than once."""
    return st.lists(photos(), min_size=1, max_size=4, unique=True).flatmap(
        lambda known: st.lists(st.sampled_from(known), min_size=1, max_size=most)
    )


def alone(client: httpx.Client, photo: bytes) -> dict[str, object]:
    return client.post("/predict", content=photo).raise_for_status().json()


def together(client: httpx.Client, batch: Sequence[bytes]) -> list[dict[str, object]]:
    form = [("image", (f"{number}", photo)) for number, photo in enumerate(batch)]
    return client.post("/predict_batch", files=form).raise_for_status().json()


@settings(max_examples=60)
@given(batch=several(MAX_BATCH))
def test_photo_has_the_same_bits_alone_and_in_any_batch(client, batch):
    assert together(client, batch) == [alone(client, photo) for photo in batch]


@settings(max_examples=20)
@given(batch=several(MAX_BATCH))
def test_photo_has_the_bits_of_the_local_prediction(client, transformer, tmp_path_factory, batch):
    folder = tmp_path_factory.mktemp("batch")
    paths = [folder / str(number) for number in range(len(batch))]
    for path, photo in zip(paths, batch, strict=True):
        path.write_bytes(photo)
    printed = predict_files(transformer.model, paths)
    assert list(printed) == [{"path": str(path), **alone(client, path.read_bytes())} for path in paths]


@settings(max_examples=20)
@given(batches=st.lists(several(3), min_size=CLIENTS, max_size=CLIENTS))
def test_photo_has_the_same_bits_beside_other_requests(client, batches):
    expected = [[alone(client, photo) for photo in photos] for photos in batches]

    def send(photos: Sequence[bytes]) -> list[list[dict[str, object]]]:
        return [together(client, photos), [alone(client, photo) for photo in photos], together(client, photos[::-1])[::-1]]

    with ThreadPoolExecutor(CLIENTS) as pool:
        predictions = list(pool.map(send, batches))
    assert predictions == [[one, one, one] for one in expected]


def test_predictions_of_different_photos_differ(client):
    colours = [(220, 30, 30), (30, 160, 40), (40, 60, 220)]
    streams = [io.BytesIO() for _ in colours]
    for each, colour in zip(streams, colours, strict=True):
        Image.new("RGB", (40, 40), colour).save(each, "PNG")
    assert len({str(alone(client, each.getvalue())) for each in streams}) == len(colours)
