"""Source `garden_captions`: pictures of the garden, each with sentences that say what is in it.

Species, colour and number of the blooms are a picture's `group`: samples of one group share their split, so that the test split
has combinations that training never saw.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bitbloom.sources import SourceFile, garden
from bitbloom.sources.garden import sentences
from bitbloom.sources.garden.randomness import Dice

WORDS = 1
"""Added to the seed, so that what is said of a picture is drawn apart from the picture."""


@dataclass
class Config(garden.Config):
    """The `source` section; as for the garden, which draws the pictures."""

    kind: str = "garden_captions"


def fetch(config: Config, destination: Path, workers: int = 1) -> list[SourceFile]:
    """Draw the pictures; a picture's sentences are its attribute `captions`."""
    return [_with_sentences(file, config.seed) for file in garden.fetch(config, destination, workers)]


def _with_sentences(file: SourceFile, seed: int) -> SourceFile:
    seen = file.attributes
    dice = Dice(seed + WORDS, int(Path(file.path).stem.rpartition("-")[2]))
    group = f"{seen['count']} {seen['colour']} {seen['species']}"
    return SourceFile(file.path, "", {**seen, "group": group, "captions": sentences.write(seen, dice)})
