"""The page of a difference: one self-contained HTML file, with equal bytes for equal inputs. At most SHOWN samples a category."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from bitbloom.core import progress
from bitbloom.core.errors import BitBloomError
from bitbloom.data import imaging
from bitbloom.experiments.page import address, environment
from bitbloom.versions import words
from bitbloom.versions.diff import CATEGORIES, EDITED, UNCHANGED

if TYPE_CHECKING:
    from bitbloom.versions.data import Version
    from bitbloom.versions.diff import Difference, Pair, Sample

SHOWN, SIDE, LABELS = 24, 128, 40
"""Samples of each category, the side of a picture in pixels, and rows of the table of labels."""
LONGEST = 400
"""Characters of a text that the page shows."""
UNREADABLE = "cannot be shown"


@dataclass(frozen=True)
class Words:
    """A piece of a text, and whether only one version has it."""

    text: str
    changed: bool


@dataclass(frozen=True)
class Side:
    """A sample of one version: a picture as an address, or none, and lines of text in pieces."""

    picture: str
    lines: list[list[Words]]


@dataclass(frozen=True)
class Shown:
    """A pair on the page: its sides, one where both look the same, and what changed."""

    sides: list[Side]
    details: list[str]


@dataclass(frozen=True)
class Group:
    """A category with some of its pairs, and the number of the others."""

    category: str
    meaning: str
    count: int
    shown: list[Shown]

    @property
    def hidden(self) -> int:
        return self.count - len(self.shown)


def render(target: str, before: Version, after: Version, found: Difference) -> str:
    """Return the page. All names and texts are escaped."""
    template = environment(Path(__file__).parent / "templates").get_template("data-diff.html.j2")
    labels = words.by_label(found)
    return template.render(
        target=target,
        before=before,
        after=after,
        verdict=words.verdict(found),
        moved=words.moved(found),
        counts_of=[(category, words.MEANINGS[category], count) for category, count in found.counts.items()],
        groups=[_group(category, found, before, after) for category in CATEGORIES if category != UNCHANGED],
        splits=words.by_split(found),
        labels=labels[:LABELS],
        more_labels=len(labels[LABELS:]),
        notes=[*before.notes, *after.notes],
    )


def _group(category: str, found: Difference, before: Version, after: Version) -> Group:
    pairs = found.of(category)
    chosen = spread(pairs)
    shown = [_shown(pair, before, after) for pair in progress.track(chosen, f"show {category}", len(chosen))] if chosen else []
    return Group(category, words.MEANINGS[category], len(pairs), shown)


def spread(pairs: list[Pair]) -> list[Pair]:
    """Return at most SHOWN pairs, spread evenly, so that a folder whose name comes first does not fill the page."""
    places = np.linspace(0, len(pairs) - 1, min(SHOWN, len(pairs))).astype(int)
    return [pairs[place] for place in places]


def _shown(pair: Pair, before: Version, after: Version) -> Shown:
    sides = [_side(one, other, version) for one, other, version in _sides(pair, before, after) if one is not None]
    same_picture = len(sides) == 2 and pair.category != EDITED and sides[0].lines == sides[1].lines
    return Shown(sides[1:] if same_picture else sides, words.details(pair))


def _sides(pair: Pair, before: Version, after: Version) -> list[tuple[Sample | None, Sample | None, Version]]:
    """Return the sample of each version, and the one it is compared with."""
    return [(pair.before, pair.after, before), (pair.after, pair.before, after)]


def _side(one: Sample, other: Sample | None, version: Version) -> Side:
    texts = _texts(one)
    compared = _texts(other) if other else texts
    if len(compared) != len(texts):
        compared = [*compared, *[""] * len(texts)]
    picture = _picture(version.read, one.path) if version.photos else ""
    return Side(picture, [marked(text, known) for text, known in zip(texts, compared, strict=False)])


def _texts(one: Sample) -> list[str]:
    return [text[:LONGEST] + ("…" if len(text) > LONGEST else "") for text in ((one.text,) if one.text else one.sentences)]


def marked(text: str, other: str) -> list[Words]:
    """Return the words of a text in pieces; those that the other text lacks are marked."""
    mine, theirs = text.split(), other.split()
    blocks = SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes()
    return [Words(" ".join(mine[start:end]), kind != "equal") for kind, start, end, _, _ in blocks if end > start]


def _picture(read: Callable[[str], bytes], path: str) -> str:
    """Return a photo as the address of a small JPEG; empty if it cannot be read."""
    try:
        square = imaging.square(read(path), SIDE)
    except (BitBloomError, OSError):
        return ""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(square.transpose(1, 2, 0))).save(stream, "JPEG", quality=80)
    return address(stream.getvalue(), "image/jpeg")
