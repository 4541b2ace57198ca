"""Points in space and on the picture, by + - * / alone.

`sin` and `cos` of NumPy, of `math` and of the C library may differ in their last bit from one CPU
or libc to the next, so `circle` is a polynomial of our own. Nothing here is a matrix product
either: BLAS sums in an order of its own.

A flower is modelled upright: x and y span the plane of its petals and z is its axis, towards the
bee. A `Pose` turns the model before the camera and projects it without perspective.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Points = NDArray[np.float64]  # (…, 2): x to the right, y down, the picture being 1 by 1

GOLDEN_TURN = 0.3819660112501051  # the angle between one leaf of a spiral and the next
_TAU = 6.283185307179586
_COS = (1.0, -1 / 2, 1 / 24, -1 / 720, 1 / 40320, -1 / 3628800)
_SIN = (1.0, -1 / 6, 1 / 120, -1 / 5040, 1 / 362880, -1 / 39916800)


@overload
def circle(turns: Array) -> tuple[Array, Array]: ...
@overload
def circle(turns: float) -> tuple[float, float]: ...
def circle(turns: Any) -> tuple[Any, Any]:
    """Cosine and sine of angles given in turns, to about ten digits.

    A quarter of the angle lies within 45 degrees, where a short Taylor series is enough; doubling
    it twice (cos 2a = cc - ss, sin 2a = 2sc) gives the angle itself.
    """
    quarter = (turns - np.floor(turns + 0.5)) * (_TAU / 4)
    square = quarter * quarter
    cos, sin = _COS[-1], _SIN[-1]
    for cos_term, sin_term in zip(_COS[-2::-1], _SIN[-2::-1], strict=True):
        cos, sin = cos * square + cos_term, sin * square + sin_term
    sin = sin * quarter
    for _ in range(2):
        cos, sin = cos * cos - sin * sin, 2 * sin * cos
    return cos, sin


def direction(turns: float) -> tuple[float, float]:
    """Cosine and sine of one angle, as plain floats."""
    cos, sin = circle(turns)
    return float(cos), float(sin)


def smooth(corners: Points, rounds: int = 2) -> Points:
    """Round a closed polygon by cutting its corners (Chaikin): each round doubles the points."""
    for _ in range(rounds):
        following = np.roll(corners, -1, axis=0)
        cuts = (0.75 * corners + 0.25 * following, 0.25 * corners + 0.75 * following)
        corners = np.stack(cuts, axis=1).reshape(-1, 2)
    return corners


def even_turns(count: int) -> Array:
    """Angles that divide the full circle evenly, the first being 0."""
    return np.arange(count, dtype=np.float64) / count


def ring(radius: float, points: int = 20) -> tuple[Array, Array]:
    """x and y of a regular polygon around the origin."""
    cos, sin = circle(even_turns(points))
    return radius * cos, radius * sin


def ribbon(path: Points, widths: Array) -> Points:
    """The polygon around a path that is widths[i] wide at point i."""
    ahead = np.empty_like(path)
    ahead[:-1] = path[1:] - path[:-1]
    ahead[-1] = ahead[-2]
    length = np.sqrt(ahead[:, 0] * ahead[:, 0] + ahead[:, 1] * ahead[:, 1]) + 1e-9
    half = (widths / (2 * length))[:, None]
    side = np.stack((-ahead[:, 1], ahead[:, 0]), axis=1) * half
    return np.concatenate((path + side, (path - side)[::-1]))


def bend(start: tuple[float, float], knee: tuple[float, float], end: tuple[float, float]) -> Points:
    """Eight points of the quadratic curve from start to end that is drawn towards knee."""
    t = np.linspace(0.0, 1.0, 8)[:, None]
    a, b, c = np.array(start), np.array(knee), np.array(end)
    curve: Points = (1 - t) * (1 - t) * a + 2 * t * (1 - t) * b + t * t * c
    return curve


@dataclass(frozen=True)
class Pose:
    """Where a flower stands in the picture and how it is turned. Angles are in turns."""

    x: float
    y: float
    size: float  # of one unit of the model, as a share of the picture
    spin: float = 0.0  # around the flower's own axis
    tilt: float = 0.0  # 0: seen from above, 0.25: seen from the side
    lean: float = 0.0  # around the line of sight, 0: the axis points up

    @cached_property
    def _turned(self) -> tuple[float, ...]:
        return (*direction(self.tilt), *direction(self.lean))

    def project(self, x: Array, y: Array, z: Array | float = 0.0) -> tuple[Points, Array]:
        """Model coordinates to points of the picture, and to depths (larger: nearer)."""
        cos_tilt, sin_tilt, cos_lean, sin_lean = self._turned
        down = y * cos_tilt - z * sin_tilt
        depth = y * sin_tilt + z * cos_tilt
        across = x * cos_lean - down * sin_lean
        down = x * sin_lean + down * cos_lean
        return np.stack((self.x + self.size * across, self.y + self.size * down), axis=-1), depth

    def at(self, x: float, y: float, z: float = 0.0) -> tuple[float, float]:
        """One model point, projected."""
        points, _ = self.project(np.array([x]), np.array([y]), z)
        return float(points[0, 0]), float(points[0, 1])
