"""A single bloom: whorls of petals around a centre, painted from the back to the front."""

from dataclasses import dataclass

import numpy as np

from bitbloom.data.sources.garden.canvas import Canvas, Colour, Light, shade
from bitbloom.data.sources.garden.geometry import GOLDEN_TURN, Array, Points, Pose, circle, direction, even_turns, ring
from bitbloom.data.sources.garden.randomness import Dice
from bitbloom.data.sources.garden.species import Centre, Species, Whorl, outline

# A petal is painted as nested outlines: (fraction of its length, fraction of its width, light).
_SHADES = ((1.0, 1.0, 0.74), (0.965, 0.88, 0.97), (0.86, 0.62, 1.05), (0.64, 0.36, 0.94))
_DARK: Colour = (48, 20, 44)
_BEARD: Colour = (250, 206, 60)


@dataclass(frozen=True)
class Look:
    """The colours of a plant, and its light."""

    petal: Colour
    centre: Colour
    light: Light


@dataclass(frozen=True)
class _Petal:
    """One petal, projected."""

    depth: float
    shades: Points  # (shade, point, 2)
    rib: Points  # (point, 2), from the base to the tip
    blotch: Points  # (point, 2)
    light: float
    whorl: Whorl


def paint_bloom(canvas: Canvas, species: Species, pose: Pose, look: Look, dice: Dice) -> None:
    """Paint all petals of a bloom, then its centre."""
    petals = [petal for whorl in species.whorls for petal in _petals(whorl, pose, look.light, dice)]
    for petal in sorted(petals, key=lambda petal: petal.depth):
        _paint_petal(canvas, petal, look.petal)
    _paint_centre(canvas, species.centre, pose, look, dice)


def _petals(whorl: Whorl, pose: Pose, light: Light, dice: Dice) -> list[_Petal]:
    """Model a ring of petals with small variations, and project it."""
    bearings = _bearings(whorl, pose, dice)
    edge = outline(whorl.outline)
    scales = np.array([scale[:2] for scale in _SHADES])
    wobble = 1 + whorl.ruffle * dice.spread(-1.0, 1.0, (len(bearings), 1, len(edge)))
    shades, depths = _place(whorl, pose, bearings, wobble * scales[:, :1] * edge[:, 0], scales[:, 1:] * edge[:, 1])
    ribs, _ = _place(whorl, pose, bearings, np.linspace(0.1, 0.85, 6)[None], np.zeros((1, 6)))
    blotches, _ = _place(whorl, pose, bearings, whorl.blotch * wobble * edge[:, 0], 0.62 * edge[None, :, 1])
    middles = ribs[:, 0, 3] - np.array((pose.x, pose.y))
    facing = (middles / pose.size).tolist()
    varied = dice.spread(0.95, 1.05, (len(bearings),)).tolist()
    return [
        _Petal(
            depth=float(depths[i, 0].max() + depths[i, 0].min()) / 2,
            shades=shades[i],
            rib=ribs[i, 0],
            blotch=blotches[i, 0],
            light=whorl.light * light.on(*facing[i]) * varied[i],
            whorl=whorl,
        )
        for i in range(len(bearings))
    ]


def _bearings(whorl: Whorl, pose: Pose, dice: Dice) -> Array:
    """Return the direction of each petal, in turns, including the spin of the bloom."""
    if whorl.bearings:
        return np.array(whorl.bearings) + pose.spin
    count = dice.integer(*whorl.petals)
    uneven = dice.spread(-0.08, 0.08, (count,))
    return (np.arange(count) + whorl.offset + uneven) / count + pose.spin


def _place(whorl: Whorl, pose: Pose, bearings: Array, t: Array, u: Array) -> tuple[Points, Array]:
    """Return points (t, u) of each petal in the picture, and their depths: (petal, shade, point, …)."""
    cos, sin = (part[:, None, None] for part in circle(bearings))
    along = t * (whorl.reach + whorl.bulge * (1 - t))
    away = whorl.start + whorl.length * along - whorl.wrap * u * u
    across = whorl.length * whorl.width * u
    height = whorl.rise + whorl.length * t * (whorl.lift + whorl.curl * t) + whorl.cup * u * u
    return pose.project(cos * away - sin * across, sin * away + cos * across, height)


def _paint_petal(canvas: Canvas, petal: _Petal, colour: Colour) -> None:
    for points, (_, _, light) in zip(petal.shades, _SHADES, strict=True):
        canvas.polygon(points, shade(colour, light * petal.light))
    if petal.whorl.blotch:
        canvas.polygon(petal.blotch, _DARK, 0.85)
    if petal.whorl.beard:
        canvas.line(petal.rib[:4], _BEARD, 0.022)
    else:
        canvas.line(petal.rib, shade(colour, 0.7 * petal.light), 0.005, 0.5)


def _paint_centre(canvas: Canvas, centre: Centre, pose: Pose, look: Look, dice: Dice) -> None:
    match centre.kind:
        case "disc":
            _paint_disc(canvas, centre, pose, look)
        case "capsule":
            _paint_capsule(canvas, centre, pose, look, dice)
        case "stamens":
            _paint_stamens(canvas, centre, pose, look, dice)
        case "trumpet":
            _paint_trumpet(canvas, centre, pose, look, dice)
        case "heart":
            _paint_heart(canvas, centre, pose, look)
        case "eye":
            points, _ = pose.project(*ring(centre.radius), 0.06)
            canvas.polygon(points, look.centre)


def _paint_disc(canvas: Canvas, centre: Centre, pose: Pose, look: Look) -> None:
    """Paint a dome of florets, in the spiral of a sunflower."""
    for scale, light in ((1.0, 0.62), (0.93, 0.9), (0.62, 1.06), (0.3, 0.84)):
        points, _ = pose.project(*ring(scale * centre.radius), 0.10 * (1 - scale) + 0.04)
        canvas.polygon(points, shade(look.centre, light))
    count = 110 if centre.radius > 0.4 else 40
    place = np.arange(count, dtype=np.float64) + 0.5
    distance = np.sqrt(place / count) * 0.95
    cos, sin = circle(place * GOLDEN_TURN)
    height = 0.10 * (1 - distance) + 0.05
    radius = centre.radius * distance
    points, _ = pose.project(radius * cos, radius * sin, height)
    facing = cos * look.light.x + sin * look.light.y
    for least, most, light in ((-1.1, -0.4, 0.58), (-0.4, 0.4, 0.72), (0.4, 1.1, 1.3)):
        band = points[(facing > least) & (facing <= most)]
        canvas.dots(band, 0.028 * pose.size, shade(look.centre, light), 0.85)


def _paint_capsule(canvas: Canvas, centre: Centre, pose: Pose, look: Look, dice: Dice) -> None:
    """Paint a poppy's seed head, surrounded by dark stamens."""
    count = 44
    cos, sin = circle(np.arange(count, dtype=np.float64) * GOLDEN_TURN)
    radius = dice.spread(1.1, 2.0, (count,)) * centre.radius
    points, _ = pose.project(radius * cos, radius * sin, 0.16)
    canvas.dots(points, 0.032 * pose.size, _DARK)
    for scale, light in ((1.0, 0.7), (0.82, 1.1)):
        points, _ = pose.project(*ring(scale * centre.radius, 12), 0.2)
        canvas.polygon(points, shade(look.centre, light))
    for turns in (0.0, 0.125, 0.25, 0.375):
        x, y = (0.8 * centre.radius * part for part in direction(turns + pose.spin))
        points, _ = pose.project(np.array((-x, x)), np.array((-y, y)), 0.2)
        canvas.line(points, shade(look.centre, 0.5), 0.006)


def _paint_stamens(canvas: Canvas, centre: Centre, pose: Pose, look: Look, dice: Dice) -> None:
    """Paint freckles, and six long filaments with dark anthers."""
    freckles = dice.spread(0.0, 1.0, (26, 2))
    cos, sin = circle(pose.spin + np.floor(freckles[:, 0] * 6) / 6 + 0.03 * (freckles[:, 0] - 0.5))
    radius = 0.2 + 0.32 * freckles[:, 1]
    points, _ = pose.project(radius * cos, radius * sin, 0.12)
    canvas.dots(points, 0.014 * pose.size, shade(look.petal, 0.45), 0.8)
    points, _ = pose.project(*ring(0.12, 8), 0.05)
    canvas.polygon(points, (140, 164, 70))
    cos, sin = circle((np.arange(6) + dice.spread(0.2, 0.8, (6,))) / 6 + pose.spin)
    reach = centre.radius * dice.spread(0.8, 1.0, (6,))
    roots, _ = pose.project(0.05 * cos, 0.05 * sin, 0.1)
    tips, _ = pose.project(reach * cos, reach * sin, 0.5)
    ends, _ = pose.project(0.92 * reach * cos - 0.1 * sin, 0.92 * reach * sin + 0.1 * cos, 0.5)
    others, _ = pose.project(0.92 * reach * cos + 0.1 * sin, 0.92 * reach * sin - 0.1 * cos, 0.5)
    for root, tip, end, other in zip(roots, tips, ends, others, strict=True):
        canvas.line(np.stack((root, tip)), (206, 214, 140), 0.03 * pose.size)
        canvas.line(np.stack((end, other)), look.centre, 0.075 * pose.size)


def _paint_trumpet(canvas: Canvas, centre: Centre, pose: Pose, look: Look, dice: Dice) -> None:
    """Paint a daffodil's frilled cup: its wall, its rim and the dark inside."""
    points, frills = 36, np.tile(np.array((1.06, 0.92)), 18)
    cos, sin = circle(even_turns(points) + pose.spin)
    rim = centre.radius * frills * dice.spread(0.95, 1.05, (points,))
    for step in range(5):
        scale = step / 4
        radius = centre.radius * (0.7 + 0.25 * scale)
        wall, _ = pose.project(radius * cos, radius * sin, 0.5 * scale)
        canvas.polygon(wall, shade(look.centre, 0.62 + 0.2 * scale))
    for scale, height, light in ((1.0, 0.56, 1.06), (0.8, 0.54, 0.86), (0.6, 0.4, 0.68)):
        inside, _ = pose.project(scale * rim * cos, scale * rim * sin, height)
        canvas.polygon(inside, shade(look.centre, light))
    inside, _ = pose.project(*ring(0.36 * centre.radius, 12), 0.3)
    canvas.polygon(inside, shade(look.centre, 0.46))
    cos, sin = circle(even_turns(6))
    anthers, _ = pose.project(0.1 * cos, 0.1 * sin, 0.4)
    canvas.dots(anthers, 0.04 * pose.size, (236, 214, 110))


def _paint_heart(canvas: Canvas, centre: Centre, pose: Pose, look: Look) -> None:
    """Paint the tight spiral of a closed rose."""
    height = 0.5
    for scale, light in ((1.35, 0.72), (1.1, 0.92), (0.8, 0.66), (0.6, 0.95), (0.32, 0.6)):
        cos, sin = direction(scale * 1.7 + pose.spin)
        x, y = ring(scale * centre.radius, 14)
        shift = 0.05 * (1.35 - scale)
        points, _ = pose.project(x + shift * cos, y + shift * sin, height)
        canvas.polygon(points, shade(look.petal, light))
