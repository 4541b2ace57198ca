"""Source `garden_captions`: pictures of the garden, each with sentences that say what is in it.

The attributes in `combination` are a picture's `group`: samples of one group share their split, so that the test split has
combinations that training never saw.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bitbloom.core.errors import BitBloomError
from bitbloom.data.sources import SourceFile, garden
from bitbloom.data.sources.garden import sentences
from bitbloom.data.sources.garden.randomness import Dice

WORDS = 1
"""Added to the seed, so that what is said of a picture is drawn apart from the picture."""


@dataclass
class Config(garden.Config):
    """The `source` section; as for the garden, which draws the pictures."""

    kind: str = "garden_captions"
    combination: list[str] = field(default_factory=lambda: ["count", "colour", "species", "background", "view"])
    """Attributes of which training sees only some combinations, and the test split others; by default all that are named."""


def fetch(config: Config, destination: Path, workers: int = 1) -> list[SourceFile]:
    """Draw the pictures; a picture's sentences are its attribute `captions`.

    Raises:
        BitBloomError: `combination` names what is no attribute of a picture, or nothing.
    """
    known = garden.draw(config, 0)[2]
    if not config.combination or not set(config.combination) <= set(known):
        raise BitBloomError(f"source.combination is {config.combination}: it has to name some of {', '.join(sorted(known))}")
    return [_with_sentences(file, config) for file in garden.fetch(config, destination, workers)]


def _with_sentences(file: SourceFile, config: Config) -> SourceFile:
    seen = file.attributes
    dice = Dice(config.seed + WORDS, int(Path(file.path).stem.rpartition("-")[2]))
    group = " ".join(str(seen[name]) for name in config.combination)
    return SourceFile(file.path, "", {**seen, "group": group, "captions": sentences.write(seen, dice)})
