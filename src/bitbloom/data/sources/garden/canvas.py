"""Colours, and a canvas with three times the resolution of the picture."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from bitbloom.data.sources.garden.geometry import Array, Points
from bitbloom.data.sources.garden.randomness import Dice

FINENESS = 3  # canvas pixels per picture pixel, for anti-aliasing
Colour = tuple[float, float, float]  # red, green, blue in 0…255, not yet rounded

# Each named colour is a range: a flower has a colour between the two ends. Neighbouring ranges touch.
PETAL_COLOURS: dict[str, tuple[Colour, Colour]] = {
    "white": ((250, 250, 246), (236, 228, 206)),
    "yellow": ((252, 226, 60), (246, 196, 30)),
    "orange": ((250, 158, 40), (238, 110, 34)),
    "red": ((214, 40, 36), (168, 22, 48)),
    "pink": ((250, 176, 200), (226, 92, 150)),
    "purple": ((176, 104, 204), (108, 52, 160)),
    "blue": ((120, 150, 232), (70, 84, 198)),
}
CENTRE_COLOURS: dict[str, Colour] = {
    "yellow": (238, 190, 44),
    "orange": (226, 128, 30),
    "brown": (92, 54, 28),
    "green": (150, 170, 70),
    "black": (40, 28, 38),
    "white": (244, 240, 226),
}
GREENS: tuple[Colour, ...] = ((70, 118, 48), (92, 138, 58), (56, 98, 62), (108, 140, 84))


def mix(first: Colour, second: Colour, fraction: float) -> Colour:
    """Interpolate between two colours: 0 is the first, 1 the second."""
    red, green, blue = (a + (b - a) * fraction for a, b in zip(first, second, strict=True))
    return red, green, blue


def shade(colour: Colour, light: float) -> Colour:
    """Return a colour in more (> 1) or less (< 1) light."""
    red, green, blue = colour
    return red * light, green * light, blue * light


def petal_colour(name: str, dice: Dice) -> Colour:
    """Draw the colour of a flower from the range of a named colour."""
    return mix(*PETAL_COLOURS[name], dice.between(0.0, 1.0))


@dataclass(frozen=True)
class Light:
    """Direction and properties of the light. (x, y) points from the picture to the light."""

    name: str
    x: float
    y: float
    contrast: float
    tint: Colour  # factors for red, green and blue

    def on(self, across: float, down: float) -> float:
        """Return the light on a surface that faces (across, down), around 1."""
        return 1.0 + self.contrast * (across * self.x + down * self.y)


class Canvas:
    """An image with coordinates from 0 to 1 for painting."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self.scale = image.width
        self._draw = ImageDraw.Draw(image, "RGBA")

    def polygon(self, points: Points, colour: Colour, opacity: float = 1.0) -> None:
        """Fill a polygon."""
        self._draw.polygon(self._pixels(points), fill=_ink(colour, opacity))

    def line(self, points: Points, colour: Colour, width: float, opacity: float = 1.0) -> None:
        """Draw a line; `width` is a fraction of the picture."""
        pixels = max(1, int(width * self.scale + 0.5))
        self._draw.line(self._pixels(points), fill=_ink(colour, opacity), width=pixels)

    def dots(self, points: Points, radius: float, colour: Colour, opacity: float = 1.0) -> None:
        """Draw a round dot around each point."""
        ink, reach = _ink(colour, opacity), radius * self.scale
        for x, y in (points * self.scale).tolist():
            box = (int(x - reach), int(y - reach), int(x + reach), int(y + reach))
            self._draw.ellipse(box, fill=ink)

    def _pixels(self, points: Points) -> list[int]:
        pixels: list[int] = np.floor(points * self.scale + 0.5).astype(np.int64).ravel().tolist()
        return pixels


def _ink(colour: Colour, opacity: float) -> tuple[int, int, int, int]:
    red, green, blue = colour
    return _level(red), _level(green), _level(blue), int(255 * opacity + 0.5)


def _level(part: float) -> int:
    return min(255, max(0, int(part + 0.5)))


def upscale(grid: Array, size: int) -> Array:
    """Upscale a small random grid to size by size, smoothly and reproducibly."""
    small = Image.fromarray((255 * grid).astype(np.uint8))
    large = np.asarray(small.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float64)
    return large / 255
