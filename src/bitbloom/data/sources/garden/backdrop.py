"""Backgrounds of the flowers: six out-of-focus surroundings, independent of the species."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from bitbloom.data.sources.garden.canvas import FINENESS, Canvas, Colour, mix, upscale
from bitbloom.data.sources.garden.geometry import Array, bend, ribbon
from bitbloom.data.sources.garden.randomness import Dice

Decorate = Callable[[Canvas, Colour, Colour, Dice], None]


@dataclass(frozen=True)
class Backdrop:
    """A background: two colours, and a function that adds details."""

    name: str
    dark: Colour
    bright: Colour
    decorate: Decorate
    blur: float  # radius, in pixels of a picture of 96 pixels
    nearness: float  # strength of a flower's shadow on it


def _blades(canvas: Canvas, dark: Colour, bright: Colour, dice: Dice) -> None:
    for _ in range(26):
        foot, height = dice.between(-0.1, 1.1), dice.between(0.5, 1.1)
        tip = foot + dice.between(-0.3, 0.3)
        blade = bend((foot, 1.05), (foot, 1.05 - 0.6 * height), (tip, 1.05 - height))
        colour = mix(dark, bright, dice.between(0.0, 1.3))
        canvas.polygon(ribbon(blade, np.linspace(0.05, 0.0, len(blade))), colour)


def _blobs(canvas: Canvas, dark: Colour, bright: Colour, dice: Dice) -> None:
    for _ in range(14):
        colour = mix(dark, bright, dice.between(-0.2, 1.5))
        canvas.dots(dice.spread(0.0, 1.0, (1, 2)), dice.between(0.04, 0.13), colour, 0.6)


def _pebbles(canvas: Canvas, dark: Colour, bright: Colour, dice: Dice) -> None:
    for _ in range(50):
        place, radius = dice.spread(0.0, 1.0, (1, 2)), dice.between(0.01, 0.035)
        canvas.dots(place + 0.008, radius, mix(dark, bright, -0.4))
        canvas.dots(place, radius, mix(dark, bright, dice.between(0.1, 1.1)))


def _lights(canvas: Canvas, dark: Colour, bright: Colour, dice: Dice) -> None:
    for _ in range(11):
        place, radius = dice.spread(0.0, 1.0, (1, 2)), dice.between(0.03, 0.08)
        colour = mix(bright, (255, 240, 200), dice.between(0.1, 0.7))
        canvas.dots(place, radius, colour, 0.35)
        canvas.dots(place, 0.8 * radius, mix(colour, dark, 0.2), 0.3)


def _clouds(canvas: Canvas, dark: Colour, bright: Colour, dice: Dice) -> None:
    for _ in range(3):
        x, y = dice.between(0.0, 1.0), dice.between(0.05, 0.7)
        puffs = dice.spread(-1.0, 1.0, (7, 2)) * np.array((0.2, 0.05)) + np.array((x, y))
        canvas.dots(puffs, 0.06, mix(bright, (255, 255, 255), 0.6), 0.5)


BACKDROPS: tuple[Backdrop, ...] = (
    Backdrop("grass", (38, 72, 26), (110, 150, 62), _blades, 1.6, 0.8),
    Backdrop("foliage", (22, 48, 30), (86, 126, 70), _blobs, 3.0, 0.4),
    Backdrop("soil", (66, 46, 32), (126, 96, 70), _pebbles, 0.9, 1.2),
    Backdrop("sky", (104, 152, 214), (184, 212, 240), _clouds, 3.0, 0.0),
    Backdrop("stone", (104, 102, 98), (166, 160, 150), _pebbles, 1.4, 1.2),
    Backdrop("evening", (40, 34, 58), (150, 98, 92), _lights, 1.4, 0.3),
)


def paint_backdrop(backdrop: Backdrop, shadow: Image.Image, dice: Dice) -> Image.Image:
    """Paint the background at the size of the canvas, darkened where the shadow mask is bright."""
    size = shadow.width
    mist = _mist(size, dice)[..., None]
    dark, bright = np.array(backdrop.dark), np.array(backdrop.bright)
    pixels = dark + (bright - dark) * mist
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    backdrop.decorate(Canvas(image), backdrop.dark, backdrop.bright, dice)
    image = image.filter(ImageFilter.BoxBlur(backdrop.blur * size / 96))
    image.paste((16, 20, 18), mask=shadow)
    large = FINENESS * size
    return image.resize((large, large), Image.Resampling.BICUBIC)


def _mist(size: int, dice: Dice) -> Array:
    """Return smooth noise around 0.5: random grids of three resolutions, and a vertical slope."""
    layers = ((3, 0.5), (7, 0.3), (16, 0.2))
    noise = sum(
        (weight * upscale(dice.spread(0.0, 1.0, (grid, grid)), size) for grid, weight in layers),
        start=np.zeros((size, size)),
    )
    slope = dice.between(-0.35, 0.35) * np.linspace(-1.0, 1.0, size)[:, None]
    return noise + slope
