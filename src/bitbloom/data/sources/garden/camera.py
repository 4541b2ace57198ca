"""The camera: light gradient, exposure, focus, sensor noise and the JPEG file."""

import io

import numpy as np
from PIL import Image, ImageFilter

from bitbloom.data.sources.garden.canvas import Light
from bitbloom.data.sources.garden.geometry import Array
from bitbloom.data.sources.garden.randomness import Dice


def expose(image: Image.Image, light: Light, noise: float, dice: Dice) -> Image.Image:
    """Photograph a scene; `noise` scales the sensor noise."""
    size = image.width
    focus = dice.pick((0.0, 0.0, 0.3, 0.5))
    if focus:
        image = image.filter(ImageFilter.BoxBlur(focus * size / 96))
    ramp = np.linspace(-1.0, 1.0, size)
    slope = light.contrast * (light.x * ramp[None, :] + light.y * ramp[:, None])
    gain = dice.between(0.84, 1.14) * (1 + 0.6 * slope)
    tint = np.array(light.tint) * dice.spread(0.95, 1.05, (3,))
    grain = noise * dice.between(0.3, 1.0) * _grain(size, dice)
    pixels = np.asarray(image, dtype=np.float64) * gain[..., None] * tint + grain
    return Image.fromarray(np.clip(pixels + 0.5, 0, 255).astype(np.uint8))


def _grain(size: int, dice: Dice) -> Array:
    """Return approximately normal noise of about unit deviation: the sum of three uniform integers."""
    parts = dice.bytes(64, (3, size, size, 3)).astype(np.float64)
    grain: Array = (parts[0] + parts[1] + parts[2] - 94.5) / 32
    return grain


def develop(image: Image.Image, quality: int) -> bytes:
    """Return the bytes of the JPEG file."""
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=quality, subsampling=2)
    return file.getvalue()
