"""The garden: synthetic flower photos of twelve species.

    python -c "from bitbloom.data.sources import garden; print(garden.draw(garden.Config(), 0)[1])"

It is the embedded data set of the `petals` target. It needs no network and no account, and gives
the same bytes on every x86-64 machine, for any number of workers. Picture i is a pure function of
the config and i: `scene.plan` draws the content, `scene.paint` paints it in float64 with + - * / and
square roots only, `camera.expose` quantises once, and the locked Pillow writes the JPEG.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bitbloom.core import processes
from bitbloom.core.progress import track
from bitbloom.data.sources import SourceFile
from bitbloom.data.sources.garden import camera, scene
from bitbloom.data.sources.garden.randomness import Dice
from bitbloom.data.sources.garden.species import SPECIES

__all__ = ["Config", "draw", "fetch"]

_CHUNK = 50


@dataclass
class Config:
    """The `source` section."""

    kind: str = "garden"
    seed: int = 2026
    images: int = 2400
    size: int = 96  # pixels
    jpeg_quality: int = 90
    favourite: float = 0.1  # probability that a flower has the most common colour of its species
    occlusion: float = 0.15  # probability that a blade of grass crosses the bloom
    noise: float = 5.0  # deviation of the strongest sensor noise, in grey levels


def draw(config: Config, index: int) -> tuple[bytes, str, dict[str, object]]:
    """Draw picture number `index`: its JPEG bytes, its species and its attributes."""
    species = SPECIES[index % len(SPECIES)]
    dice = Dice(config.seed, index)
    planned = scene.plan(species, config.favourite, config.occlusion, dice)
    image = scene.paint(planned, config.size, dice)
    photo = camera.expose(image, planned.light, config.noise, dice)
    return camera.develop(photo, config.jpeg_quality), species.name, planned.attributes()


def fetch(config: Config, destination: Path, workers: int = 1) -> list[SourceFile]:
    """Draw config.images pictures below destination as <species>/<species>-00012.jpg."""
    for species in SPECIES:
        (destination / species.name).mkdir(parents=True, exist_ok=True)
    write = partial(_write, config, destination)
    written = processes.spread(write, range(config.images), workers, _CHUNK)
    return sorted(track(written, "draw", config.images), key=lambda file: file.path)


def _write(config: Config, destination: Path, index: int) -> SourceFile:
    jpeg, label, attributes = draw(config, index)
    path = f"{label}/{label}-{index:05d}.jpg"
    (destination / path).write_bytes(jpeg)
    return SourceFile(path, label, attributes)
