"""Fifteen corruptions of photos in five severities, in the style of ImageNet-C (Hendrycks and Dietterich 2019, arXiv:1903.12261).

    corrupt(images, "fog", 3, seeds)       # uint8 [n, 3, S, S] and uint64 [n] → uint8 [n, 3, S, S]

The strengths are for squares of 64 pixels; lengths grow with the side. Every photo is damaged alone, and its random numbers
depend on its seed, the corruption and the severity. So the damage of a photo does not depend on the other photos of a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bitbloom.core.errors import BitBloomError
from bitbloom.monitoring.robustness.photos import blur, digital, noise, weather

SEVERITIES = (1, 2, 3, 4, 5)
Damage = Callable[[torch.Tensor, int, np.random.Generator], torch.Tensor]
"""A photo float32 [1, 3, S, S] in 0…1, a severity 1…5 and random numbers → the damaged photo, of any range."""


@dataclass(frozen=True)
class Corruption:
    """A corruption: its group, and the function that damages a photo."""

    group: str
    damage: Damage


CORRUPTIONS = {
    "gaussian noise": Corruption("noise", noise.gaussian),
    "shot noise": Corruption("noise", noise.shot),
    "impulse noise": Corruption("noise", noise.impulse),
    "defocus blur": Corruption("blur", blur.defocus),
    "glass blur": Corruption("blur", blur.glass),
    "motion blur": Corruption("blur", blur.motion),
    "zoom blur": Corruption("blur", blur.zoom),
    "snow": Corruption("weather", weather.snow),
    "frost": Corruption("weather", weather.frost),
    "fog": Corruption("weather", weather.fog),
    "brightness": Corruption("weather", weather.brightness),
    "contrast": Corruption("digital", digital.contrast),
    "elastic": Corruption("digital", digital.elastic),
    "pixelate": Corruption("digital", digital.pixelate),
    "jpeg": Corruption("digital", digital.jpeg),
}
"""Name → corruption, in the order of the paper. A new one goes to the end: the position is a part of the seed."""


@torch.no_grad()
def corrupt(images: NDArray[np.uint8], name: str, severity: int, seeds: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Return damaged copies of photos [n, 3, S, S], with a seed [n] each. Severity 0 is the identity.

    Raises:
        BitBloomError: the corruption or the severity is unknown.
    """
    if name not in CORRUPTIONS or severity not in (0, *SEVERITIES):
        raise BitBloomError(f"no corruption '{name}' of severity {severity}: 0 to 5 of {', '.join(CORRUPTIONS)}")
    if severity == 0:
        return images.copy()
    number, damage = list(CORRUPTIONS).index(name), CORRUPTIONS[name].damage
    found = np.empty_like(images)
    for position, (image, seed) in enumerate(zip(images, seeds.tolist(), strict=True)):
        pixels = torch.from_numpy(np.ascontiguousarray(image))[None].float() / 255
        damaged = damage(pixels, severity, np.random.Generator(np.random.PCG64([seed, number, severity])))
        found[position] = (damaged[0].clamp(0, 1) * 255).round().byte().numpy()
    return found
