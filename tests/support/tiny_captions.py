"""Tiny photos with captions and a network, for tests of captioning."""

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
"""Captions of the photos of each colour; photos of the sky have one caption less."""
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
    """Return the photos of `tiny`, packed with captions like in the prepare stage."""
    photos = tiny.dataset()
    rows = photos.samples.assign(captions=[json.dumps(SAYING[label]) for label in photos.samples["label"]])
    captions = [[samples.split(caption) for caption in json.loads(row)] for row in rows["captions"]]
    vocabulary = samples.known_words((words for given in captions for words in given), 1)
    words = samples.numbered(captions, vocabulary, TOKENS)
    tokenizer = samples._tokenizer(Prepare(tokens=TOKENS), vocabulary)
    tokens = samples.encoded([json.loads(row) for row in rows["captions"]], tokenizer, words.shape)
    meta = {"vocabulary": vocabulary, "tokenizer": tokenizer.to_str(), "tokens": TOKENS, "image_size": tiny.SIDE}
    return Dataset({"images": photos.arrays["images"], "words": words, "tokens": tokens}, pd.DataFrame(rows), meta)


def start(model: CaptionModel = MODEL, data: Dataset | None = None, **train: object) -> loop.Run:
    """Return a run of one worker before its first step; micro-batches have 12 photos for the contrastive loss."""
    settings: dict[str, object] = {"epochs": 1, "batch_size": 96, "learning_rate": 0.01, "label_smoothing": 0.0}
    sections = loop.Sections(model, Augment(colour=0.0, crop=0.0), Train(**(settings | train)), Numerics())
    return loop.Run(workers.Worker(), tasks.model("captions"), data or dataset(), sections)


def frozen(data: Dataset, model: CaptionModel = MODEL) -> tuple[CaptionModel, Dataset]:
    """Return the model with frozen towers, and the data with the features of the features stage."""
    config = replace(model, image_layers=0, text_layers=0, views=2)
    torch.manual_seed(Train().seed)
    task = tasks.model("captions")
    network = task.build(config, data.meta).eval()
    with torch.no_grad():
        found = task.features(network, data.arrays, data.sample_seeds(), Augment(colour=0.0), config)  # type: ignore[attr-defined]
    return config, replace(data, arrays={**data.arrays, **found})


@contextlib.contextmanager
def workspace(folder: Path, network: torch.nn.Module, model: CaptionModel = MODEL) -> Iterator[None]:
    """Change to a folder with the outputs of a training for the duration of the block."""
    data = dataset()
    data.save(folder / TARGET.processed)
    tiny.write_manifest(data, folder / TARGET.manifest)
    (folder / TARGET.models).mkdir(parents=True)
    save_file(
        {name: tensor.contiguous() for name, tensor in network.state_dict().items()}, folder / TARGET.models / "model.safetensors"
    )
    config = {"task": "captions", "model": asdict(model), "meta": data.meta, "data_digest": "0" * 64}
    canonical.write_json(folder / TARGET.models / "config.json", config)
    with contextlib.chdir(folder):
        yield


def trained(epochs: int = 20) -> loop.Run:
    """Return a trained run in evaluation mode."""
    run = start(epochs=epochs)
    for step in range(run.steps):
        run.step(step)
    run.network.eval()
    return run


def photo(colour: int) -> np.ndarray:
    """Return a photo, uint8 [3, side, side], of the colour of a poppy (0), a fern (1) or the sky (2)."""
    image = np.full((3, tiny.SIDE, tiny.SIDE), 60, np.uint8)
    image[colour] += 110
    return image
