"""Points in space and in the picture, with + - * / only.

`sin` and `cos` of NumPy, of `math` and of the C library can differ in their last bit between CPUs
and C libraries, so `circle` uses its own polynomial. The module has no matrix products either,
because the order of summation in BLAS is not defined.

A flower is modelled upright: x and y span the plane of its petals, and z is its axis, which points
up. A `Pose` rotates the model and projects it without perspective.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Points = NDArray[np.float64]  # (…, 2): x to the right, y down, in a picture of 1 by 1

GOLDEN_TURN = 0.3819660112501051  # the angle between consecutive leaves of a spiral
_TAU = 6.283185307179586
_COS = (1.0, -1 / 2, 1 / 24, -1 / 720, 1 / 40320, -1 / 3628800)
_SIN = (1.0, -1 / 6, 1 / 120, -1 / 5040, 1 / 362880, -1 / 39916800)


@overload
def circle(turns: Array) -> tuple[Array, Array]: ...
@overload
def circle(turns: float) -> tuple[float, float]: ...
def circle(turns: Any) -> tuple[Any, Any]:
    """Return cosine and sine of angles in turns, to about ten digits.

    A quarter of the angle is within 45 degrees, where a short Taylor series is sufficient; doubling
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
    """Return cosine and sine of one angle, as plain floats."""
    cos, sin = circle(turns)
    return float(cos), float(sin)


def smooth(corners: Points, rounds: int = 2) -> Points:
    """Smooth a closed polygon by cutting its corners (Chaikin): each round doubles the points."""
    for _ in range(rounds):
        following = np.roll(corners, -1, axis=0)
        cuts = (0.75 * corners + 0.25 * following, 0.25 * corners + 0.75 * following)
        corners = np.stack(cuts, axis=1).reshape(-1, 2)
    return corners


def even_turns(count: int) -> Array:
    """Return angles that divide the full circle evenly, starting at 0."""
    return np.arange(count, dtype=np.float64) / count


def ring(radius: float, points: int = 20) -> tuple[Array, Array]:
    """Return x and y of a regular polygon around the origin."""
    cos, sin = circle(even_turns(points))
    return radius * cos, radius * sin


def ribbon(path: Points, widths: Array) -> Points:
    """Return the polygon around a path with the width widths[i] at point i."""
    ahead = np.empty_like(path)
    ahead[:-1] = path[1:] - path[:-1]
    ahead[-1] = ahead[-2]
    length = np.sqrt(ahead[:, 0] * ahead[:, 0] + ahead[:, 1] * ahead[:, 1]) + 1e-9
    half = (widths / (2 * length))[:, None]
    side = np.stack((-ahead[:, 1], ahead[:, 0]), axis=1) * half
    return np.concatenate((path + side, (path - side)[::-1]))


def bend(start: tuple[float, float], knee: tuple[float, float], end: tuple[float, float]) -> Points:
    """Return eight points of the quadratic Bézier curve from start to end with the control point knee."""
    t = np.linspace(0.0, 1.0, 8)[:, None]
    a, b, c = np.array(start), np.array(knee), np.array(end)
    curve: Points = (1 - t) * (1 - t) * a + 2 * t * (1 - t) * b + t * t * c
    return curve


@dataclass(frozen=True)
class Pose:
    """Position, size and rotation of a flower in the picture. Angles are in turns."""

    x: float
    y: float
    size: float  # of one unit of the model, as a fraction of the picture
    spin: float = 0.0  # around the flower's own axis
    tilt: float = 0.0  # 0: seen from above, 0.25: seen from the side
    lean: float = 0.0  # around the line of sight, 0: the axis points up

    @cached_property
    def _turned(self) -> tuple[float, ...]:
        return (*direction(self.tilt), *direction(self.lean))

    def project(self, x: Array, y: Array, z: Array | float = 0.0) -> tuple[Points, Array]:
        """Project model coordinates to points of the picture and depths (larger is nearer)."""
        cos_tilt, sin_tilt, cos_lean, sin_lean = self._turned
        down = y * cos_tilt - z * sin_tilt
        depth = y * sin_tilt + z * cos_tilt
        across = x * cos_lean - down * sin_lean
        down = x * sin_lean + down * cos_lean
        return np.stack((self.x + self.size * across, self.y + self.size * down), axis=-1), depth

    def at(self, x: float, y: float, z: float = 0.0) -> tuple[float, float]:
        """Project one model point."""
        points, _ = self.project(np.array([x]), np.array([y]), z)
        return float(points[0, 0]), float(points[0, 1])
