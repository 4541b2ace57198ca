"""Scenes: flowers, light and background are first planned, then painted."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from bitbloom.data.sources.garden.backdrop import BACKDROPS, Backdrop, paint_backdrop
from bitbloom.data.sources.garden.bloom import Look, paint_bloom
from bitbloom.data.sources.garden.canvas import CENTRE_COLOURS, FINENESS, GREENS, Canvas, Colour, Light, petal_colour, shade
from bitbloom.data.sources.garden.cluster import bell_stem, paint_bells, paint_globe, paint_spike
from bitbloom.data.sources.garden.geometry import Points, Pose, bend, circle, direction, even_turns, ribbon
from bitbloom.data.sources.garden.randomness import Dice
from bitbloom.data.sources.garden.species import Species

# name: contrast and tint. The direction of the light is drawn for each picture.
_LIGHTS: dict[str, tuple[float, Colour]] = {
    "soft": (0.10, (1.0, 1.0, 1.0)),
    "sunny": (0.24, (1.08, 1.05, 0.97)),
    "golden": (0.22, (1.10, 0.96, 0.76)),
    "shade": (0.08, (0.80, 0.86, 0.96)),
}
_PETITE, _GRAND = 0.285, 0.35  # bloom radii between small, medium and large


@dataclass(frozen=True)
class Scene:
    """The plan of a picture."""

    species: Species
    colour: str
    centre: str
    poses: tuple[Pose, ...]  # from the back to the front; the last is the main bloom
    backdrop: Backdrop
    light: Light
    occluded: bool

    def attributes(self) -> dict[str, object]:
        """Return the attributes of the picture, for captions and evaluation slices."""
        main = self.poses[-1]
        return {
            "background": self.backdrop.name,
            "centre": self.centre,
            "colour": self.colour,
            "count": len(self.poses),
            "light": self.light.name,
            "occluded": self.occluded,
            "size": _size(main.size),
            "species": self.species.name,
            "view": _view(main.tilt),
        }


def _size(radius: float) -> str:
    if radius < _PETITE:
        return "small"
    return "medium" if radius < _GRAND else "large"


def _view(tilt: float) -> str:
    if tilt < 0.055:
        return "from above"
    return "at an angle" if tilt < 0.16 else "from the side"


def plan(species: Species, favourite: float, occlusion: float, dice: Dice) -> Scene:
    """Draw a scene. With the probability `favourite`, the flower has its most common colour."""
    commonest = dice.chance(favourite)
    colour = species.colours[0] if commonest else dice.pick(species.colours)
    name = dice.pick(tuple(_LIGHTS))
    contrast, tint = _LIGHTS[name]
    x, y = direction(dice.between(0.55, 0.95))  # from above, from the left or the right
    return Scene(
        species=species,
        colour=colour,
        centre=dice.pick([kind for kind in species.centre.colours if kind != colour] or ["none"]),
        poses=_poses(species, dice),
        backdrop=dice.pick(BACKDROPS),
        light=Light(name, x, y, contrast, tint),
        occluded=dice.chance(occlusion),
    )


def _poses(species: Species, dice: Dice) -> tuple[Pose, ...]:
    """Draw one to four blooms that do not cover each other, the main one last."""
    wanted = dice.pick((1, 1, 1, 1, 2, 2, 2, 3, 3, 4))
    radius = dice.between(0.27, 0.42) if wanted == 1 else dice.between(0.24, 0.31)
    roam = 0.5 - 0.85 * radius
    poses = [_pose(species, radius, roam if wanted == 1 else roam + 0.04, dice)]
    for _ in range(40):
        if len(poses) == wanted:
            break
        other = _pose(species, radius * dice.between(0.62, 0.85), 0.36, dice)
        if all(_apart(other, pose, species.girth) for pose in poses):
            poses.append(other)
    return tuple(reversed(poses))


def _pose(species: Species, radius: float, roam: float, dice: Dice) -> Pose:
    return Pose(
        x=0.5 + dice.between(-roam, roam),
        y=0.5 + dice.between(-roam, roam),
        size=radius,
        spin=dice.between(-0.03, 0.03) if species.upright else dice.between(0.0, 1.0),
        tilt=dice.between(*species.tilt),
        lean=dice.between(-0.05, 0.05),
    )


def _apart(first: Pose, second: Pose, girth: float) -> bool:
    across, down = (first.x - second.x) / girth, first.y - second.y
    reach = 0.88 * (first.size + second.size)
    return across * across + down * down > reach * reach


def paint(scene: Scene, size: int, dice: Dice) -> Image.Image:
    """Paint a scene from back to front, and downscale it to size by size pixels."""
    canvas = Canvas(paint_backdrop(scene.backdrop, _shadow(scene, size), dice))
    green = dice.pick(GREENS)
    petal = petal_colour(scene.colour, dice)
    look = Look(petal, CENTRE_COLOURS.get(scene.centre, CENTRE_COLOURS["yellow"]), scene.light)
    for pose in scene.poses:
        _paint_greenery(canvas, scene, pose, green, dice)
    for pose in scene.poses:
        _paint_flower(canvas, scene.species, pose, look, dice)
    if scene.occluded:
        _paint_obstacle(canvas, scene.poses[-1], green, dice)
    return canvas.image.reduce(FINENESS)


def _paint_flower(canvas: Canvas, species: Species, pose: Pose, look: Look, dice: Dice) -> None:
    match species.form:
        case "bloom":
            paint_bloom(canvas, species, pose, look, dice)
        case "globe":
            paint_globe(canvas, pose, look, dice)
        case "spike":
            paint_spike(canvas, pose, look, dice)
        case "bells":
            paint_bells(canvas, pose, look, dice)


def _shadow(scene: Scene, size: int) -> Image.Image:
    """Return the shadow of the blooms on the background, as a soft mask."""
    mask = Image.new("L", (size, size))
    canvas = Canvas(mask.convert("RGB"))
    depth = int(255 * 1.6 * scene.light.contrast * scene.backdrop.nearness)
    airy = scene.species.form == "bells"  # too loose for one round shadow
    for pose in () if airy else scene.poses:
        cos, sin = circle(even_turns(16))
        x = pose.x - 0.3 * pose.size * scene.light.x + 0.9 * scene.species.girth * pose.size * cos
        y = pose.y - 0.3 * pose.size * scene.light.y + 0.9 * pose.size * sin
        canvas.polygon(np.stack((x, y), axis=-1), (depth, depth, depth))
    return canvas.image.convert("L").filter(ImageFilter.BoxBlur(size / 24))


def _paint_greenery(canvas: Canvas, scene: Scene, pose: Pose, green: Colour, dice: Dice) -> None:
    """Paint the stem of a bloom down to the ground, and its leaves."""
    foot = (pose.x + dice.between(-0.12, 0.12), 1.08)
    if scene.species.form == "bells":
        x, y = bell_stem(pose)[0].tolist()
    else:
        x, y = pose.at(0.0, 0.0, -0.6)
    stem = bend((x, y), (x, 0.6 * y + 0.4), foot)
    width = 0.018 + 0.03 * pose.size
    for part, light in ((1.0, 0.7), (0.5, 1.0)):
        canvas.polygon(ribbon(stem, np.full(len(stem), part * width)), shade(green, light))
    for _ in range(dice.integer(2, 3)):
        root = stem[dice.integer(3, 7)]
        _paint_leaf(canvas, scene, root, pose.size, green, dice)


def _paint_leaf(canvas: Canvas, scene: Scene, root: Points, size: float, green: Colour, dice: Dice) -> None:
    """Paint a leaf of the species, with one half lighter than the other."""
    side = dice.pick((-1.0, 1.0))
    length = size * dice.between(0.9, 1.4)
    x, y = float(root[0]), float(root[1])
    slender = scene.species.leaf == "strap"
    out = 0.35 if slender else 0.8
    tip = (x + side * out * length, y - length * (1.1 if slender else 0.35))
    path = bend((x, y), (x + side * 0.3 * length, y - 0.5 * length), tip)
    width = length * (0.16 if slender else 0.42)
    profile = np.array((0.1, 0.6, 0.9, 1.0, 0.9, 0.65, 0.35, 0.0))
    if scene.species.leaf == "lobed":
        profile = np.array((0.1, 0.8, 0.4, 1.0, 0.45, 0.8, 0.3, 0.0))
    light = scene.light.on(side * 0.8, -0.3)
    canvas.polygon(ribbon(path, width * profile), shade(green, 0.78 * light))
    canvas.polygon(ribbon(path, 0.78 * width * profile), shade(green, 1.04 * light))
    canvas.line(path, shade(green, 1.3), 0.006, 0.6)


def _paint_obstacle(canvas: Canvas, pose: Pose, green: Colour, dice: Dice) -> None:
    """Paint a blade of grass across the main bloom, away from its centre."""
    side = dice.pick((-1.0, 1.0))
    x = pose.x + side * pose.size * dice.between(0.35, 0.7)
    top = pose.y - pose.size * dice.between(0.1, 0.9)
    blade = bend((x + dice.between(-0.2, 0.2), 1.05), (x, 0.5 * top + 0.5), (x, top))
    widths = np.linspace(0.05, 0.0, len(blade))
    canvas.polygon(ribbon(blade, widths), shade(green, 0.85))
    canvas.polygon(ribbon(blade, 0.5 * widths), shade(green, 1.15))
