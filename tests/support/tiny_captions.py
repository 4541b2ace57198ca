"""Tiny photos with sentences and a network for them: what the tests of captioning run on."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from bitbloom import tasks
from bitbloom.config.models.caption import CaptionModel, Decoder
from bitbloom.config.models.image import ImageModel
from bitbloom.config.models.text import TextModel
from bitbloom.config.sections.augment import Augment
from bitbloom.config.sections.export import Export
from bitbloom.config.sections.numerics import Numerics
from bitbloom.config.sections.prepare import Prepare
from bitbloom.config.sections.train import Train
from bitbloom.config.target import Target
from bitbloom.core import canonical
from bitbloom.data.dataset import Dataset
from bitbloom.tasks.captions import samples
from bitbloom.training import loop, workers
from support import tiny

SAYING = {
    "fern": ("a green fern grows", "one green thing"),
    "poppy": ("a red poppy", "one red thing here"),
    "sky": ("the sky is blue",),
}
"""What is said of the photos of each colour: a photo of the sky has one sentence less."""
TOKENS = 14
MODEL = CaptionModel(
    image=ImageModel(image_size=16, patch_size=4, hidden_size=32, layers=2, heads=2, stem="patch"),
    text=TextModel(hidden_size=32, layers=2, heads=2, positions=16, dropout=0.0),
    writer=Decoder(hidden_size=32, layers=2, heads=2, dropout=0.0),
    embedding_size=16,
    grid=4,
)
TARGET = Target("captions-tiny", {"task": "captions", "export": Export(int8=False, index=5)})


def dataset() -> Dataset:
    """The photos of `tiny`, packed with sentences as the prepare stage does it."""
    photos = tiny.dataset()
    rows = photos.samples.assign(captions=[json.dumps(SAYING[label]) for label in photos.samples["label"]])
    said = [[samples.split(one) for one in json.loads(row)] for row in rows["captions"]]
    vocabulary = samples.known_words((words for each in said for words in each), 1)
    words = samples.numbered(said, vocabulary, TOKENS)
    tokenizer = samples._tokenizer(Prepare(tokens=TOKENS), vocabulary)
    tokens = samples.encoded([json.loads(row) for row in rows["captions"]], tokenizer, words.shape)
    meta = {"vocabulary": vocabulary, "tokenizer": tokenizer.to_str(), "tokens": TOKENS, "image_size": tiny.SIDE}
    return Dataset({"images": photos.arrays["images"], "words": words, "tokens": tokens}, pd.DataFrame(rows), meta)


def start(model: CaptionModel = MODEL, data: Dataset | None = None, **train: object) -> loop.Run:
    """A run of one worker that has not taken a step; micro-batches of 12 photos, for pairs are told apart within them."""
    settings: dict[str, object] = {"epochs": 1, "batch_size": 96, "learning_rate": 0.01, "label_smoothing": 0.0}
    sections = loop.Sections(model, Augment(colour=0.0, crop=0.0), Train(**(settings | train)), Numerics())
    return loop.Run(workers.Worker(), tasks.model("captions"), data or dataset(), sections)


def frozen(data: Dataset, model: CaptionModel = MODEL) -> tuple[CaptionModel, Dataset]:
    """The same with both towers frozen, and the features that the features stage would have written of all samples."""
    held = replace(model, image_layers=0, text_layers=0, views=2)
    torch.manual_seed(Train().seed)
    task = tasks.model("captions")
    network = task.build(held, data.meta).eval()
    with torch.no_grad():
        found = task.features(network, data.arrays, data.sample_seeds(), Augment(colour=0.0), held)  # type: ignore[attr-defined]
    return held, replace(data, arrays={**data.arrays, **found})


@contextlib.contextmanager
def workspace(folder: Path, network: torch.nn.Module, model: CaptionModel = MODEL) -> Iterator[None]:
    """Inside a folder that holds what training leaves, while the block lasts."""
    data = dataset()
    data.save(folder / TARGET.processed)
    (folder / TARGET.models).mkdir(parents=True)
    save_file(
        {name: tensor.contiguous() for name, tensor in network.state_dict().items()}, folder / TARGET.models / "model.safetensors"
    )
    config = {"task": "captions", "model": asdict(model), "meta": data.meta, "data_digest": "0" * 64}
    canonical.write_json(folder / TARGET.models / "config.json", config)
    with contextlib.chdir(folder):
        yield


def trained(epochs: int = 20) -> loop.Run:
    """A run that has seen every photo so often."""
    run = start(epochs=epochs)
    for step in range(run.steps):
        run.step(step)
    run.network.eval()
    return run


def photo(colour: int) -> np.ndarray:
    """uint8 [3, side, side] of one of the three colours: 0 is the poppy's, 1 the fern's, 2 the sky's."""
    image = np.full((3, tiny.SIDE, tiny.SIDE), 60, np.uint8)
    image[colour] += 110
    return image
