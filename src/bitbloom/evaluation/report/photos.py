"""Sheets of photos. A figure shows photos pixel by pixel, without resampling by matplotlib, so they stay sharp.

A sheet for narrow windows has fewer photos side by side, and is at most 344 pixels wide, so its text is not scaled down.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitbloom.evaluation.report import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Photo = NDArray[np.uint8]
"""[3, H, W], RGB."""

MARGIN, GAP = 12, 6  # pixels
ACROSS, NARROW_ACROSS = 12, 4
"""Photos side by side on the contact sheet, for any number of classes."""
MOST_CLASSES, MOST_MISTAKES = 120, 64
"""Largest numbers of strips on the contact sheet, and of mistakes on their sheet: a sheet stays below 3,000 pixels."""
THUMB, NARROW_THUMB, LARGE = 96, 70, 144
"""Side of a photo on the contact sheet and among the mistakes, pixels."""
CAPTIONED, CAPTIONED_ACROSS = 232, 5
"""Side of a photo with its sentences, and the number of photos side by side."""
NARROW_CAPTIONED, NARROW_CAPTIONED_ACROSS = 148, 2
SEARCHED, NARROW_SEARCHED, FRAME = 156, 100, 7
"""Side of a found photo with its frame, and the width of the frame."""
LETTER = 0.54
"""Mean width of a letter of the running text, as a fraction of its size."""


@dataclass(frozen=True)
class Mistake:
    """A sample with a wrong prediction. `confidence` is the probability of the predicted class."""

    photo: Photo
    actual: str
    predicted: str
    confidence: float


@dataclass(frozen=True)
class Captioned:
    """A photo, its generated sentence, a true sentence, and the CIDEr-D of the generated sentence against all true ones."""

    photo: Photo
    written: str
    truth: str
    cider_d: float


@dataclass(frozen=True)
class Search:
    """A sentence, the first photos found [k, 3, H, W], which of them are right [k], and the rank of the first right one."""

    sentence: str
    photos: NDArray[np.uint8]
    right: NDArray[np.bool_]
    place: int


def per_class(classes: int) -> int:
    """Number of photos of each class on the contact sheet: the more classes, the fewer photos."""
    return 12 if classes <= 6 else 6 if classes <= 24 else 4 if classes <= 48 else 3 if classes <= 72 else 2


@style.applied()
def contact_sheet(photos: Mapping[str, Sequence[Photo]], support: Mapping[str, int], narrow: bool = False) -> Figure:
    """For each of up to MOST_CLASSES classes a strip of up to `per_class` photos under its name and its number of samples."""
    across, thumb, strip = ACROSS, THUMB, per_class(len(photos))
    if narrow:
        across, thumb, strip = NARROW_ACROSS, NARROW_THUMB, NARROW_ACROSS if strip >= NARROW_ACROSS else NARROW_ACROSS // 2
    columns = min(len(photos), across // strip)
    rows = -(-len(photos) // columns)
    header, between = 30, 20
    width = across * (thumb + GAP) - GAP + (across // strip - 1) * (between - GAP)
    sheet = _Sheet(width + 2 * MARGIN, rows * (header + thumb + 12) + 2 * MARGIN - 12)
    strip_width = strip * (thumb + GAP) - GAP + between
    letters = (15 if strip > 2 else 13) if narrow else 21 if strip > 2 else 15
    for place, (name, own) in enumerate(photos.items()):
        left = MARGIN + place % columns * strip_width
        top = MARGIN + place // columns * (header + thumb + 12)
        room = int((strip_width - between) / (letters * 0.66)) - 4
        sheet.text(left, top + 14, style.short(name, room), letters, weight="bold")
        sheet.text(left + strip_width - between, top + 14, str(support[name]), letters * 0.8, color=style.MUTED, ha="right")
        for number, photo in enumerate(own[:strip]):
            sheet.photo(left + number * (thumb + GAP), top + header, square(photo, thumb))
    return sheet.figure


@style.applied()
def mistakes(found: Sequence[Mistake], narrow: bool = False) -> Figure:
    """Up to MOST_MISTAKES photos with their true class, the predicted one, and a bar of the confidence.

    Without mistakes, the figure says so.
    """
    found = found[:MOST_MISTAKES]
    if not found:
        sheet = _Sheet(330, 100) if narrow else _Sheet(900, 160)
        size = 18 if narrow else 26
        middle = (sheet.width / 2, sheet.height / 2)
        sheet.text(*middle, "No mistakes on the test split", size, color=style.LEAF, weight="bold", ha="center")
        return sheet.figure
    columns = min(len(found), 2 if narrow else 8)
    rows = -(-len(found) // columns)
    below, between = 84, 18
    height = LARGE + below
    sheet = _Sheet(max(columns, 2 if narrow else 6) * (LARGE + between) - between + 2 * MARGIN, rows * height + 2 * MARGIN - 16)
    for place, mistake in enumerate(found):
        left = MARGIN + place % columns * (LARGE + between)
        top = MARGIN + place // columns * height
        sheet.photo(left, top, square(mistake.photo, LARGE))
        sheet.bar(left, top + LARGE + 5, LARGE, mistake.confidence)
        sheet.text(left, top + LARGE + 27, style.short(mistake.actual, 11), 15, weight="bold")
        sheet.text(left + LARGE, top + LARGE + 27, f"{100 * mistake.confidence:.0f} %", 14, color=style.MUTED, ha="right")
        sheet.text(left, top + LARGE + 50, "→ " + style.short(mistake.predicted, 14), 15, color=style.BLOOM)
    return sheet.figure


@style.applied()
def captioned(rows: Mapping[str, Sequence[Captioned]], narrow: bool = False) -> Figure:
    """Under each name up to CAPTIONED_ACROSS photos, with the generated and a true sentence below each.

    In a narrow window they are an even number, in rows of NARROW_CAPTIONED_ACROSS.
    """
    side, across, most, lines = CAPTIONED, CAPTIONED_ACROSS, CAPTIONED_ACROSS, 3
    if narrow:
        side, across, most, lines = NARROW_CAPTIONED, NARROW_CAPTIONED_ACROSS, 2 * NARROW_CAPTIONED_ACROSS, 4
    header, between, below = 40, 22, 34 + lines * 20 + 6 + lines * 18 + 14
    step, height = side + between, header + -(-most // across) * (side + below)
    sheet = _Sheet(across * step - between + 2 * MARGIN, len(rows) * height + 2 * MARGIN - 14)
    for row, (name, own) in enumerate(rows.items()):
        top = MARGIN + row * height
        sheet.text(MARGIN, top + 16, name, 21, weight="bold")
        for place, shown in enumerate(own[:most]):
            _captioned(sheet, shown, MARGIN + place % across * step, top + header + place // across * (side + below), side, lines)
    return sheet.figure


def _captioned(sheet: _Sheet, shown: Captioned, left: int, top: int, side: int, lines: int) -> None:
    """A photo with its sentences below, each in at most `lines` lines."""
    below = top + side
    sheet.photo(left, top, square(shown.photo, side))
    sheet.text(left, below + 16, f"CIDEr-D {shown.cider_d:.2f}", 12, color=style.MUTED)
    used = sheet.paragraph(left, below + 38, shown.written or "(no word)", 15, side, lines)
    sheet.paragraph(left, below + 44 + used, shown.truth, 13, side, lines, color=style.MUTED)


@style.applied()
def searches(found: Sequence[Search], narrow: bool = False) -> Figure:
    """For each sentence the photos found for it beside it, the correct ones in a frame; in a narrow window below it."""
    if narrow:
        return _narrow_searches(found)
    words, between, lines = 330, 16, 5
    most = max(len(search.photos) for search in found)
    height = SEARCHED + between
    sheet = _Sheet(words + most * (SEARCHED + GAP) - GAP + 2 * MARGIN, len(found) * height - between + 2 * MARGIN)
    for row, search in enumerate(found):
        top = MARGIN + row * height
        used = sheet.paragraph(MARGIN, top + 20, search.sentence, 17, words - 30, lines)
        _first_correct(sheet, MARGIN, top + 26 + used, search, most)
        for column, (photo, right) in enumerate(zip(search.photos, search.right, strict=True)):
            left = MARGIN + words + column * (SEARCHED + GAP)
            sheet.photo(left, top, _framed(photo, SEARCHED, style.LEAF if right else style.PAPER))
    return sheet.figure


def _narrow_searches(found: Sequence[Search]) -> Figure:
    across, lines, line = 3, 3, 21
    most, step = max(len(search.photos) for search in found), NARROW_SEARCHED + GAP
    words = lines * line + 34
    height = words + -(-most // across) * step + 16
    sheet = _Sheet(across * step - GAP + 2 * MARGIN, len(found) * height + 2 * MARGIN)
    for row, search in enumerate(found):
        top = MARGIN + row * height
        used = sheet.paragraph(MARGIN, top + 12, search.sentence, 15, across * step, lines)
        _first_correct(sheet, MARGIN, top + 16 + used, search, most)
        for place, (photo, right) in enumerate(zip(search.photos, search.right, strict=True)):
            framed = _framed(photo, NARROW_SEARCHED, style.LEAF if right else style.PAPER)
            sheet.photo(MARGIN + place % across * step, top + words + place // across * step, framed)
    return sheet.figure


def _first_correct(sheet: _Sheet, x: int, y: float, search: Search, most: int) -> None:
    colour = style.LEAF if search.place <= most else style.BLOOM
    sheet.text(x, y, f"first correct photo: number {search.place}", 13, color=colour)


def _framed(photo: Photo, side: int, colour: str) -> NDArray[np.uint8]:
    """[side, side, 3] The photo in a frame."""
    framed = np.full((side, side, 3), tuple(bytes.fromhex(colour[1:])), dtype=np.uint8)
    framed[FRAME:-FRAME, FRAME:-FRAME] = square(photo, side - 2 * FRAME)
    return framed


def square(photo: Photo, side: int) -> NDArray[np.uint8]:
    """[side, side, 3] of a photo [3, H, W]. Pillow resizes in fixed point: the same pixels on every machine."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(photo.transpose(1, 2, 0)))
    if image.size == (side, side):
        return np.asarray(image)
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))


class _Sheet:
    """A figure addressed in pixels from its upper left corner."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.figure = style.figure(width / style.DPI, height / style.DPI, style.PHOTOS)

    def photo(self, left: int, top: int, pixels: NDArray[np.uint8]) -> None:
        self.figure.figimage(pixels, left, self.height - top - len(pixels), origin="upper")

    def text(self, x: float, y: float, text: str, size: float, **options: Any) -> None:
        """Text centred on height y; `size` in pixels."""
        points = size * 72 / style.DPI
        self.figure.text(x / self.width, 1 - y / self.height, text, fontsize=points, va="center", **options)

    def paragraph(self, x: float, y: float, text: str, size: float, width: int, lines: int, **options: Any) -> float:
        """Text in at most `lines` lines, the first centred on height y; returns the height of all."""
        line = round(size * 1.35)
        letters = int(width / (size * LETTER))
        wrapped = textwrap.wrap(text, letters, max_lines=lines, placeholder=" …")
        for number, part in enumerate(wrapped):
            self.text(x, y + number * line, part, size, **options)
        return len(wrapped) * line

    def bar(self, left: int, top: int, width: int, fraction: float) -> None:
        """A bar of `width` pixels, filled to `fraction` of it."""
        from matplotlib.patches import Rectangle

        for length, colour in ((width, style.GRID), (fraction * width, style.BLOOM)):
            corner = (left / self.width, 1 - (top + 5) / self.height)
            patch = Rectangle(
                corner, length / self.width, 5 / self.height, color=colour, linewidth=0, transform=self.figure.transFigure
            )
            self.figure.add_artist(patch)
