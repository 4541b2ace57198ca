"""Parameters of the twelve species of the garden.

A species is defined by its structure: number, outline and arrangement of the petals, and the
centre. Several species have the same colours, so that a model has to learn shapes.

Lengths are in units of the bloom's radius. A petal runs from t = 0 at its base to t = 1 at its tip;
u = -1…1 is across it, between its edges.
"""

from dataclasses import dataclass, field
from functools import cache

import numpy as np

from bitbloom.data.sources.garden.geometry import Points, smooth

# Half an outline: corners (t, u) from the base to the tip. The other half is its mirror image.
_HALF_OUTLINES: dict[str, tuple[tuple[float, float], ...]] = {
    "strap": ((0, 0.35), (0.3, 0.8), (0.7, 1.0), (0.95, 0.9), (1.02, 0.35)),
    "pointed": ((0, 0.4), (0.25, 0.9), (0.5, 1.0), (0.8, 0.55), (1.06, 0.0)),
    "lance": ((0, 0.3), (0.25, 0.75), (0.5, 1.0), (0.75, 0.75), (0.95, 0.2), (1.08, 0.0)),
    "oval": ((0, 0.3), (0.25, 0.85), (0.55, 1.1), (0.85, 0.8), (1.02, 0.15)),
    "round": ((0, 0.2), (0.25, 0.7), (0.55, 1.05), (0.85, 1.0), (1.04, 0.45)),
    "fan": ((0, 0.15), (0.3, 0.55), (0.65, 1.0), (0.9, 1.05), (1.06, 0.55), (1.02, 0.15)),
    "heart": ((0, 0.2), (0.35, 0.7), (0.7, 1.1), (1.02, 0.85), (1.06, 0.4), (0.9, 0.0)),
    "cup": ((0, 0.5), (0.2, 1.0), (0.55, 1.05), (0.8, 0.7), (0.97, 0.25), (1.12, 0.0)),
}


@cache
def outline(name: str) -> Points:
    """Return a petal's outline as a closed polygon of (t, u)."""
    right = np.array(_HALF_OUTLINES[name], dtype=np.float64)
    left = (right * np.array([1.0, -1.0]))[::-1]
    return smooth(np.concatenate((right, left)), rounds=1)


@dataclass(frozen=True)
class Whorl:
    """One ring of petals.

    A point of a petal lies r = start + length (reach t + bulge t (1 - t)) - wrap u u away from
    the axis and z = rise + length (lift t + curl t t) + cup u u above the base.
    """

    petals: tuple[int, int]  # smallest and largest number
    outline: str
    width: float  # from the middle to the edge
    length: float = 1.0
    start: float = 0.0
    reach: float = 1.0
    bulge: float = 0.0
    wrap: float = 0.0
    rise: float = 0.0
    lift: float = 0.0
    curl: float = 0.0
    cup: float = 0.0
    ruffle: float = 0.0  # unevenness of the rim
    offset: float = 0.0  # of the first petal, in steps from petal to petal
    bearings: tuple[float, ...] = ()  # for flowers without symmetry: each petal's angle in turns
    light: float = 1.0  # brightness relative to the other whorls
    blotch: float = 0.0  # dark fraction of the petal's length, from its base
    beard: bool = False  # a yellow stripe along the middle


@dataclass(frozen=True)
class Centre:
    """The centre of a bloom."""

    kind: str  # disc, capsule, stamens, trumpet, heart, eye or none
    radius: float = 0.0
    colours: tuple[str, ...] = ("none",)


@dataclass(frozen=True)
class Species:
    """The structure of a species."""

    name: str
    form: str  # bloom, globe, spike or bells
    colours: tuple[str, ...]  # the first is the most common
    leaf: str  # strap, oval or lobed
    tilt: tuple[float, float]  # range of the view: 0 from above, 0.25 from the side
    whorls: tuple[Whorl, ...] = ()
    centre: Centre = field(default_factory=lambda: Centre("none"))
    upright: bool = False  # has a top and a bottom, so it is not rotated around its axis
    girth: float = 1.0  # width / height


def _rose_whorls() -> tuple[Whorl, ...]:
    rings = ((1.0, 0.10, 6), (0.84, 0.30, 5), (0.66, 0.44, 5), (0.48, 0.54, 4), (0.32, 0.60, 3))
    return tuple(
        Whorl((count, count), "round", width=0.62, length=size, lift=lift * 0.6, cup=0.06,
              ruffle=0.05, offset=0.37 * ring, rise=0.05 * ring, light=1.04 - 0.07 * ring)
        for ring, (size, lift, count) in enumerate(rings)
    )  # fmt: skip


SPECIES: tuple[Species, ...] = (
    Species(
        "bellflower", "bells", ("blue", "purple", "white", "pink"), "oval", (0.2, 0.25),
        upright=True, girth=0.8,
    ),
    Species(
        "daffodil", "bloom", ("yellow", "white", "orange", "pink"), "strap", (0.0, 0.11),
        whorls=(Whorl((6, 6), "oval", width=0.33, lift=-0.05),),
        centre=Centre("trumpet", 0.42, ("yellow", "orange", "white")),
    ),
    Species(
        "daisy", "bloom", ("white", "pink", "yellow", "purple"), "oval", (0.0, 0.15),
        whorls=(Whorl((15, 21), "strap", width=0.105, start=0.12, reach=0.88, lift=0.05),),
        centre=Centre("disc", 0.27, ("yellow", "orange", "green")),
    ),
    Species(
        "hydrangea", "globe", ("blue", "pink", "purple", "white"), "oval", (0.05, 0.2),
    ),
    Species(
        "iris", "bloom", ("purple", "blue", "yellow", "white"), "strap", (0.19, 0.23),
        whorls=(
            Whorl((3, 3), "round", width=0.44, reach=0.75, lift=0.35, curl=-1.05, ruffle=0.05,
                  offset=0.25, beard=True, light=0.92),
            Whorl((3, 3), "oval", width=0.36, reach=0.08, bulge=0.9, lift=1.05, ruffle=0.04,
                  offset=0.75, light=1.06),
        ),
        upright=True, girth=0.75,
    ),
    Species(
        "lily", "bloom", ("orange", "white", "pink", "yellow"), "strap", (0.0, 0.12),
        whorls=(
            Whorl((3, 3), "lance", width=0.21, lift=0.35, curl=-0.5),
            Whorl((3, 3), "lance", width=0.25, lift=0.40, curl=-0.5, offset=0.5, rise=0.02),
        ),
        centre=Centre("stamens", 0.62, ("brown", "orange", "black")),
    ),
    Species(
        "lupin", "spike", ("purple", "pink", "red", "yellow", "blue"), "lobed", (0.2, 0.25),
        upright=True, girth=0.55,
    ),
    Species(
        "pansy", "bloom", ("purple", "yellow", "white", "orange", "blue"), "lobed", (0.0, 0.06),
        whorls=(
            Whorl((2, 2), "round", width=0.56, bearings=(0.665, 0.835), light=0.9, ruffle=0.02),
            Whorl((2, 2), "round", width=0.48, length=0.9, bearings=(0.985, 0.515), rise=0.02,
                  blotch=0.62, ruffle=0.02),
            Whorl((1, 1), "heart", width=0.66, length=0.95, bearings=(0.25,), rise=0.04,
                  blotch=0.62, ruffle=0.02, light=1.05),
        ),
        centre=Centre("eye", 0.11, ("yellow", "orange", "white")),
        upright=True,
    ),
    Species(
        "poppy", "bloom", ("red", "orange", "pink", "white"), "lobed", (0.0, 0.1),
        whorls=(
            Whorl((2, 2), "fan", width=0.86, lift=0.1, curl=0.15, ruffle=0.09, blotch=0.36),
            Whorl((2, 2), "fan", width=0.80, length=0.92, lift=0.15, curl=0.2, ruffle=0.09,
                  offset=0.5, rise=0.05, blotch=0.36),
        ),
        centre=Centre("capsule", 0.17, ("green", "black", "yellow")),
    ),
    Species(
        "rose", "bloom", ("red", "pink", "white", "yellow", "orange"), "oval", (0.0, 0.11),
        whorls=_rose_whorls(), centre=Centre("heart", 0.16),
    ),
    Species(
        "sunflower", "bloom", ("yellow", "orange", "red", "white"), "oval", (0.0, 0.12),
        whorls=(
            Whorl((16, 19), "pointed", width=0.15, start=0.38, reach=0.62, light=0.84),
            Whorl((16, 19), "pointed", width=0.14, start=0.36, reach=0.54, rise=0.03, offset=0.5),
        ),
        centre=Centre("disc", 0.52, ("brown", "black", "green")),
    ),
    Species(
        "tulip", "bloom", ("red", "yellow", "pink", "purple", "white"), "strap", (0.19, 0.235),
        whorls=(
            Whorl((3, 3), "cup", width=0.40, length=1.6, reach=0.24, bulge=0.56, wrap=0.16,
                  lift=1.0, rise=-0.8, offset=0.75),
            Whorl((3, 3), "cup", width=0.40, length=1.6, reach=0.28, bulge=0.44, wrap=0.16,
                  lift=1.0, rise=-0.8, offset=0.25, light=0.84),
        ),
        upright=True, girth=0.75,
    ),
)  # fmt: skip
