"""Source `garden_tfrecords`: photos of the garden, written as the TFRecords of "Petals to the Metal" and read from them.

It is the embedded data set for everything that the source `tfrecords` does: shards in folders train, val and test are written in
the competition's schema, and the labelled ones are read by the same code. Those of test stay, for the submission.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bitbloom.core import canonical, processes
from bitbloom.core.errors import BitBloomError
from bitbloom.core.progress import track
from bitbloom.data.sources import SourceFile, garden, tfrecords
from bitbloom.data.sources.garden.species import SPECIES
from bitbloom.data.sources.tfrecords import shards
from bitbloom.data.sources.tfrecords.shards import Photo

CHUNK = 16
VAL_EVERY = 4
"""Of the rounds through all species, every fourth is in val, as about a quarter of the competition's labelled photos is."""


@dataclass
class Config(tfrecords.Labelled):
    """The `source` section."""

    kind: str = "garden_tfrecords"
    classes: list[str] = field(default_factory=lambda: [species.name for species in SPECIES])
    """Names of the classes, all species of the garden; the feature `class` is the position in this list."""
    seed: int = 2026
    images: int = 192
    """Number of labelled photos."""
    unlabelled: int = 24
    """Number of photos in the shards of test."""
    shards: int = 2
    """Number of shards of each split."""


def fetch(config: Config, destination: Path, workers: int = 1) -> list[SourceFile]:
    """Draw the photos, write all shards, and read the labelled ones; `destination`/test keeps the unlabelled ones.

    Raises:
        BitBloomError: the classes are not the species of the garden.
    """
    if sorted(config.classes) != sorted(species.name for species in SPECIES):
        raise BitBloomError(f"source.classes has to list the species of the garden: {', '.join(s.name for s in SPECIES)}")
    with tempfile.TemporaryDirectory(prefix=".shards.", dir=destination) as temporary:
        folder = Path(temporary)
        write(config, folder, workers)
        found = tfrecords.extract(folder, config, destination)
        (folder / shards.TEST).rename(destination / shards.TEST)
    return found


def write(config: Config, folder: Path, workers: int = 1) -> None:
    """Write the shards of all splits below a folder, and a sample submission."""
    total = config.images + config.unlabelled
    drawn = processes.spread(partial(_draw, config), range(total), workers, CHUNK)
    photos = list(track(drawn, "draw", total))
    labelled, test = photos[: config.images], photos[config.images :]
    rounds = [number // len(SPECIES) % VAL_EVERY == VAL_EVERY - 1 for number in range(config.images)]
    splits = {
        shards.TRAIN: [photo for photo, in_val in zip(labelled, rounds, strict=True) if not in_val],
        shards.VAL: [photo for photo, in_val in zip(labelled, rounds, strict=True) if in_val],
        shards.TEST: [Photo(photo.id, photo.jpeg, None) for photo in test],
    }
    for split, ones in splits.items():
        for number in range(config.shards):
            shards.write(folder / split, number, config.size, ones[number :: config.shards])
    canonical.write_text(folder / shards.TEST / tfrecords.SAMPLE, _sample([photo.id for photo in test]))


def _sample(ids: Sequence[str]) -> str:
    """Return the sample submission: every id with class 0."""
    return "id,label\n" + "".join(f"{identity},0\n" for identity in ids)


def _draw(config: Config, index: int) -> Photo:
    jpeg, species, _ = garden.draw(garden.Config(seed=config.seed, size=config.size), index)
    return Photo(f"{index:09x}", jpeg, config.classes.index(species))
