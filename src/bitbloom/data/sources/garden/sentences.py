"""Captions of the garden's pictures: several phrasings of the same attributes.

A caption has the number, colour and species of the blooms, and in some phrasings the background or the view. The phrasing is
drawn at random.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bitbloom.data.sources.garden.randomness import Dice

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
GROUNDS = {
    "grass": ("in the grass", "on a meadow", "above green grass"),
    "foliage": ("among leaves", "in front of foliage", "between green leaves"),
    "soil": ("on bare soil", "over brown earth"),
    "stone": ("in front of a wall", "beside grey stone"),
    "sky": ("against the sky", "under a bright sky"),
    "evening": ("in the evening", "at dusk"),
}
SINGULAR = (
    "{number} {colour} {species} {ground}",
    "a photo of {number} {colour} {species} {ground}",
    "{number} {colour} {species} seen {view}",
    "{ground} there is {number} {colour} {species}",
    "there is {number} {colour} {species} {ground}, seen {view}",
    "a {species} in {colour} {ground}, just {number}",
    "a {colour} {species} seen {view}, just {number}",
)
PLURAL = (
    "{number} {colour} {species} {ground}",
    "a photo of {number} {colour} {species} {ground}",
    "{number} {colour} {species} seen {view}",
    "{ground} there are {number} {colour} {species}",
    "there are {number} {colour} {species} {ground}, seen {view}",
    "{species} in {colour} {ground}, {number} of them",
    "{colour} {species} seen {view}, {number} of them",
)
PER_PICTURE = 3


def write(attributes: Mapping[str, object], dice: Dice) -> list[str]:
    """Return PER_PICTURE different captions of a picture."""
    count = int(str(attributes["count"]))
    forms = list(SINGULAR if count == 1 else PLURAL)
    sentences = []
    for _ in range(PER_PICTURE):
        form = forms.pop(dice.integer(0, len(forms) - 1))
        ground = dice.pick(GROUNDS[str(attributes["background"])])
        parts = {
            "number": NUMBERS[count],
            "colour": str(attributes["colour"]),
            "species": plural(str(attributes["species"])) if count != 1 else str(attributes["species"]),
            "ground": ground,
            "view": str(attributes["view"]),
        }
        sentences.append(form.format(**parts))
    return sentences


def plural(species: str) -> str:
    """Return the plural: daisy → daisies, iris → irises, tulip → tulips."""
    if species.endswith("y"):
        return f"{species[:-1]}ies"
    return f"{species}es" if species.endswith(("s", "x", "ch", "sh")) else f"{species}s"


def read(sentence: str, species: Mapping[str, str], colours: tuple[str, ...]) -> tuple[int | None, str | None, str | None]:
    """Return number, colour and species in a sentence, each None if it is absent, for `attribute_accuracy`.

    Args:
        sentence: any sentence.
        species: singular or plural → species.
        colours: all colours.
    """
    words = re.findall(r"[a-z]+", sentence.lower())
    number = next((NUMBERS.index(word) for word in words if word in NUMBERS), None)
    colour = next((word for word in words if word in colours), None)
    return number, colour, next((species[word] for word in words if word in species), None)
