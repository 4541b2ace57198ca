"""Clusters of small florets on one stem: the globe of a hydrangea, the spike of a lupin, a row of bells."""

import numpy as np

from bitbloom.data.sources.garden.bloom import Look
from bitbloom.data.sources.garden.canvas import Canvas, Colour, mix, shade
from bitbloom.data.sources.garden.geometry import (
    GOLDEN_TURN,
    Array,
    Points,
    Pose,
    bend,
    circle,
    direction,
    even_turns,
    ribbon,
    smooth,
)
from bitbloom.data.sources.garden.randomness import Dice

_STEM: Colour = (84, 122, 58)

# A hanging bell between its stalk (0, 0) and its mouth (y = 1), with three scallops below.
_BELL = smooth(
    np.array(
        [
            (-0.10, 0.0), (-0.32, 0.12), (-0.38, 0.5), (-0.60, 0.98), (-0.42, 0.90),
            (-0.22, 1.12), (0.0, 0.92), (0.22, 1.12), (0.42, 0.90), (0.60, 0.98),
            (0.38, 0.5), (0.32, 0.12), (0.10, 0.0),
        ]
    ),
    rounds=1,
)  # fmt: skip


def paint_globe(canvas: Canvas, pose: Pose, look: Look, dice: Dice) -> None:
    """Paint a ball of four-petalled florets, distributed over a hemisphere by the golden angle."""
    count = 40
    cos, sin = circle(np.linspace(0.0, 1.0, 24))
    body = np.stack((pose.x + 0.95 * pose.size * cos, pose.y + 0.95 * pose.size * sin), axis=-1)
    canvas.polygon(body, shade(look.petal, 0.5))
    fraction = np.sqrt((np.arange(count)[::-1] + 0.5) / count)
    cos, sin = circle(np.arange(count, dtype=np.float64) * GOLDEN_TURN + pose.spin)
    height = np.sqrt(1 - 0.94 * fraction * fraction)
    jitter = dice.spread(-0.04, 0.04, (count, 2))
    x, y = 0.88 * fraction * cos + jitter[:, 0], 0.88 * fraction * sin + jitter[:, 1]
    turns = dice.spread(0.0, 0.25, (count,)).tolist()
    light = dice.spread(0.86, 1.1, (count,)).tolist()
    for i, (across, down, facing) in enumerate(zip(x.tolist(), y.tolist(), height.tolist(), strict=True)):
        middle = np.array((pose.x + pose.size * across, pose.y + pose.size * down))
        lit = look.light.on(across, down) * light[i] * (0.78 + 0.26 * facing)
        floret = _floret(turns[i], across, down, facing) * (0.25 * pose.size)
        canvas.polygon(middle + floret * 1.14, shade(look.petal, 0.56 * lit))
        canvas.polygon(middle + floret, shade(look.petal, lit))
        canvas.dots(middle[None], 0.045 * pose.size, shade(look.centre, lit))


def _floret(turn: float, across: float, down: float, facing: float) -> Points:
    """Return the outline of a floret with four round petals, compressed towards the rim of the ball."""
    cos, sin = circle(even_turns(24) + turn)
    radius = np.tile(np.array((0.28, 0.84, 1.02, 1.04, 1.02, 0.84)), 4)
    x, y = radius * cos, radius * sin
    outwards = (x * across + y * down) * (1 - facing) / (across * across + down * down + 0.05)
    return np.stack((x - outwards * across, y - outwards * down), axis=-1)


def paint_spike(canvas: Canvas, pose: Pose, look: Look, dice: Dice) -> None:
    """Paint a tapering spike of two-coloured pea flowers in rings around an upright stem."""
    rings, per_ring = 13, 7
    root, top = pose.at(0.0, 0.0, -1.0), pose.at(0.0, 0.0, 1.05)
    canvas.line(np.array((root, top)), _STEM, 0.06 * pose.size)
    for row in range(rings):
        fraction = row / (rings - 1)
        reach = 0.36 * (1 - fraction) * (1.25 - 0.25 * (1 - fraction)) + 0.05
        size = 0.155 * (1 - 0.6 * fraction)
        bearings = (np.arange(per_ring) + 0.5 * (row % 2)) / per_ring
        cos, sin = circle(bearings + dice.spread(-0.03, 0.03, (per_ring,)))
        positions, depths = pose.project(reach * cos, reach * sin, 1.95 * fraction - 0.95)
        peas = _peas(positions, cos, size * pose.size)
        for i in np.argsort(depths, kind="stable").tolist():
            lit = look.light.on(float(cos[i]), 0.0) * (0.74 if depths[i] < 0.0 else 1.0)
            banner, face, keel = (part[i] for part in peas)
            canvas.polygon(banner, shade(look.petal, 0.66 * lit))
            canvas.polygon(face, mix(shade(look.petal, 1.05 * lit), look.centre, 0.3))
            canvas.polygon(keel, shade(look.petal, 0.86 * lit))


def _peas(positions: Points, sideways: Array, size: float) -> tuple[Points, Points, Points]:
    """Return a ring of florets (floret, point, 2): an upright banner, its pale face, and a keel that points outwards."""
    cos, sin = circle(even_turns(10))
    middles, sideways = positions[:, None], sideways[:, None]
    banners = middles + np.stack((0.9 * size * cos, size * (sin - 0.3)), axis=-1)
    outwards, down = np.broadcast_arrays(0.75 * size * (cos + 0.7 * sideways), size * (0.6 * sin + 0.5))
    return banners, banners * 0.8 + middles * 0.2, middles + np.stack((outwards, down), axis=-1)


def bell_stem(pose: Pose) -> Points:
    """Return the arched stem of the bells, root first; it leans to the side of the plant's spin."""
    side = 1.0 if pose.spin > 0 else -1.0
    arch = bend((-0.62 * side, 1.0), (-0.62 * side, -1.7), (0.92 * side, -0.5))
    leaning = pose.size * _turn(arch, *direction(pose.lean))
    return np.stack((pose.x + leaning[:, 0], pose.y + leaning[:, 1]), axis=-1)


def paint_bells(canvas: Canvas, pose: Pose, look: Look, dice: Dice) -> None:
    """Paint an arched stem with a row of bells below it, the largest first."""
    stem = bell_stem(pose)
    side = 1.0 if stem[-1, 0] > stem[0, 0] else -1.0
    canvas.polygon(ribbon(stem, np.linspace(0.07, 0.035, len(stem)) * pose.size), _STEM)
    count = dice.integer(3, 5)
    for bell in range(count):
        fraction = 0.3 + 0.7 * bell / (count - 1)
        position = fraction * (len(stem) - 1)
        left = min(int(position), len(stem) - 2)
        foot = stem[left] + (position - left) * (stem[left + 1] - stem[left])
        size = pose.size * (0.68 - 0.10 * bell / count)
        swing = direction(0.25 * side * (0.18 - 0.2 * fraction) + dice.between(-0.02, 0.02))
        lit = look.light.on(float(foot[0] - pose.x) / pose.size, -0.3)
        _paint_bell(canvas, foot, size, swing, look, lit)


def _paint_bell(
    canvas: Canvas,
    foot: Points,
    size: float,
    swing: tuple[float, float],
    look: Look,
    lit: float,
) -> None:
    """Paint a bell: its dark inside, its wall in three tones and its clapper."""
    below = foot + np.array((0.0, 0.08 * size))
    cos, sin = circle(even_turns(14))
    mouth = np.stack((0.5 * cos, 1.0 + 0.13 * sin), axis=-1)
    canvas.line(np.stack((foot, below)), _STEM, 0.05 * size)
    canvas.polygon(below + size * _turn(_BELL, *swing), shade(look.petal, 0.66 * lit))
    canvas.polygon(below + size * _turn(_BELL * np.array((0.86, 0.97)), *swing), shade(look.petal, lit))
    glow = _BELL * np.array((0.36, 0.85)) + np.array((-0.08, 0.03))
    canvas.polygon(below + size * _turn(glow, *swing), shade(look.petal, 1.12 * lit))
    canvas.polygon(below + size * _turn(mouth * np.array((0.6, 1.0)), *swing), shade(look.petal, 0.5))
    clapper = below + size * _turn(np.array([(0.0, 1.1)]), *swing)
    canvas.dots(clapper, 0.07 * size, look.centre)
    sepal = np.array([(-0.3, 0.2), (0.0, -0.06), (0.3, 0.2), (0.0, 0.12)])
    canvas.polygon(below + size * _turn(sepal, *swing), _STEM)


def _turn(points: Points, cos: float, sin: float) -> Points:
    x, y = points[:, 0], points[:, 1]
    return np.stack((x * cos - y * sin, x * sin + y * cos), axis=-1)
