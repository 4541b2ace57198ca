"""Source `garden_captions`: synthetic flower photos of the garden, each with captions.

The attributes in `combination` are a photo's `group`: samples of one group are in the same split, so that the test split has
combinations that do not occur in training.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bitbloom.core.errors import BitBloomError
from bitbloom.data.sources import SourceFile, garden
from bitbloom.data.sources.garden import sentences
from bitbloom.data.sources.garden.randomness import Dice

WORDS = 1
"""Added to the seed, so that captions are drawn independently of the photo."""


@dataclass
class Config(garden.Config):
    """The `source` section: the keys of the garden, and `combination`."""

    kind: str = "garden_captions"
    combination: list[str] = field(default_factory=lambda: ["count", "colour", "species", "background", "view"])
    """Attributes whose combinations differ between training and test split; by default all attributes in captions."""


def fetch(config: Config, destination: Path, workers: int = 1) -> list[SourceFile]:
    """Draw the photos; the attribute `captions` has their captions.

    Raises:
        BitBloomError: `combination` is empty or has an unknown attribute.
    """
    known = garden.draw(config, 0)[2]
    if not config.combination or not set(config.combination) <= set(known):
        raise BitBloomError(f"source.combination is {config.combination}: it has to be some of {', '.join(sorted(known))}")
    return [_with_sentences(file, config) for file in garden.fetch(config, destination, workers)]


def _with_sentences(file: SourceFile, config: Config) -> SourceFile:
    attributes = file.attributes
    dice = Dice(config.seed + WORDS, int(Path(file.path).stem.rpartition("-")[2]))
    group = " ".join(str(attributes[name]) for name in config.combination)
    return SourceFile(file.path, "", {**attributes, "group": group, "captions": sentences.write(attributes, dice)})
