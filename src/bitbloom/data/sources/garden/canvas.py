"""Paint: named colours, and a canvas three times as fine as the picture."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from bitbloom.data.sources.garden.geometry import Array, Points
from bitbloom.data.sources.garden.randomness import Dice

FINENESS = 3  # pixels of the canvas to one of the picture: the anti-aliasing
Colour = tuple[float, float, float]  # red, green, blue in 0…255, not yet rounded

# Each named colour is a range: a flower takes a point between the two ends. Neighbours touch.
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


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The colour that lies share of the way from first to second."""
    red, green, blue = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return red, green, blue


def shade(colour: Colour, light: float) -> Colour:
    """A colour under more (> 1) or less (< 1) light."""
    red, green, blue = colour
    return red * light, green * light, blue * light


def petal_colour(name: str, dice: Dice) -> Colour:
    """One flower's own variety of a named colour."""
    return mix(*PETAL_COLOURS[name], dice.between(0.0, 1.0))


@dataclass(frozen=True)
class Light:
    """Where the light comes from and what it is like. (x, y) points from the picture to it."""

    name: str
    x: float
    y: float
    contrast: float
    tint: Colour  # factors for red, green and blue

    def on(self, across: float, down: float) -> float:
        """The light on a surface that faces (across, down), around 1."""
        return 1.0 + self.contrast * (across * self.x + down * self.y)


class Canvas:
    """An image that is painted on in coordinates from 0 to 1."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self.scale = image.width
        self._draw = ImageDraw.Draw(image, "RGBA")

    def polygon(self, points: Points, colour: Colour, opacity: float = 1.0) -> None:
        """Fill a polygon."""
        self._draw.polygon(self._pixels(points), fill=_ink(colour, opacity))

    def line(self, points: Points, colour: Colour, width: float, opacity: float = 1.0) -> None:
        """Draw a line, width being a share of the picture."""
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
    """Blow a small random grid up to size by size: smooth, and the same everywhere."""
    small = Image.fromarray((255 * grid).astype(np.uint8))
    large = np.asarray(small.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float64)
    return large / 255
