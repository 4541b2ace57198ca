"""Sheets of photos. A figure shows photos pixel by pixel, without resampling by matplotlib, so they stay sharp."""

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
ACROSS = 12
"""Photos side by side on the contact sheet, for any number of classes."""
MOST_CLASSES, MOST_MISTAKES = 120, 64
"""Largest numbers of strips on the contact sheet, and of mistakes on their sheet: a sheet stays below 3,000 pixels."""
THUMB, LARGE = 96, 144
"""Side of a photo on the contact sheet and among the mistakes, pixels."""
CAPTIONED, CAPTIONED_ACROSS = 232, 5
"""Side of a photo with its sentences, and the number of photos side by side."""
SEARCHED, FRAME = 156, 7
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
def contact_sheet(photos: Mapping[str, Sequence[Photo]], support: Mapping[str, int]) -> Figure:
    """For each of up to MOST_CLASSES classes a strip of up to `per_class` photos under its name and its number of samples."""
    strip = per_class(len(photos))
    columns = min(len(photos), ACROSS // strip)
    rows = -(-len(photos) // columns)
    header, between = 30, 20
    width = ACROSS * (THUMB + GAP) - GAP + (ACROSS // strip - 1) * (between - GAP)
    sheet = _Sheet(width + 2 * MARGIN, rows * (header + THUMB + 12) + 2 * MARGIN - 12)
    strip_width = strip * (THUMB + GAP) - GAP + between
    for place, (name, own) in enumerate(photos.items()):
        left = MARGIN + place % columns * strip_width
        top = MARGIN + place // columns * (header + THUMB + 12)
        letters = 21 if strip > 2 else 15
        room = int((strip_width - between) / (letters * 0.66)) - 4
        sheet.text(left, top + 14, style.short(name, room), letters, weight="bold")
        sheet.text(left + strip_width - between, top + 14, str(support[name]), letters * 0.8, color=style.MUTED, ha="right")
        for number, photo in enumerate(own[:strip]):
            sheet.photo(left + number * (THUMB + GAP), top + header, square(photo, THUMB))
    return sheet.figure


@style.applied()
def mistakes(found: Sequence[Mistake]) -> Figure:
    """Up to MOST_MISTAKES photos with their true class, the predicted one, and a bar of the confidence.

    Without mistakes, the figure says so.
    """
    found = found[:MOST_MISTAKES]
    if not found:
        sheet = _Sheet(900, 160)
        sheet.text(450, 80, "No mistakes on the test split", 26, color=style.LEAF, weight="bold", ha="center")
        return sheet.figure
    columns = min(len(found), 8)
    rows = -(-len(found) // columns)
    below, between = 84, 18
    height = LARGE + below
    sheet = _Sheet(max(columns, 6) * (LARGE + between) - between + 2 * MARGIN, rows * height + 2 * MARGIN - 16)
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
def captioned(rows: Mapping[str, Sequence[Captioned]]) -> Figure:
    """Under each name a row of up to CAPTIONED_ACROSS photos, with the generated and a true sentence below each."""
    header, between, lines = 40, 22, (3, 3)
    written, true = 15, 13
    height = header + CAPTIONED + 34 + lines[0] * 20 + 6 + lines[1] * 18 + 14
    step = CAPTIONED + between
    sheet = _Sheet(CAPTIONED_ACROSS * step - between + 2 * MARGIN, len(rows) * height + 2 * MARGIN - 14)
    for row, (name, own) in enumerate(rows.items()):
        top = MARGIN + row * height
        sheet.text(MARGIN, top + 16, name, 21, weight="bold")
        for column, shown in enumerate(own[:CAPTIONED_ACROSS]):
            left, below = MARGIN + column * step, top + header + CAPTIONED
            sheet.photo(left, top + header, square(shown.photo, CAPTIONED))
            sheet.text(left, below + 16, f"CIDEr-D {shown.cider_d:.2f}", 12, color=style.MUTED)
            used = sheet.paragraph(left, below + 38, shown.written or "(no word)", written, CAPTIONED, lines[0])
            sheet.paragraph(left, below + 44 + used, shown.truth, true, CAPTIONED, lines[1], color=style.MUTED)
    return sheet.figure


@style.applied()
def searches(found: Sequence[Search]) -> Figure:
    """For each sentence a row of the photos found for it, the right ones in a frame."""
    words, between, lines = 330, 16, 5
    most = max(len(search.photos) for search in found)
    height = SEARCHED + between
    sheet = _Sheet(words + most * (SEARCHED + GAP) - GAP + 2 * MARGIN, len(found) * height - between + 2 * MARGIN)
    for row, search in enumerate(found):
        top = MARGIN + row * height
        used = sheet.paragraph(MARGIN, top + 20, search.sentence, 17, words - 30, lines)
        told = f"first right photo: number {search.place}"
        sheet.text(MARGIN, top + 26 + used, told, 13, color=style.LEAF if search.place <= most else style.BLOOM)
        for column, (photo, right) in enumerate(zip(search.photos, search.right, strict=True)):
            left = MARGIN + words + column * (SEARCHED + GAP)
            sheet.photo(left, top, _framed(photo, style.LEAF if right else style.PAPER))
    return sheet.figure


def _framed(photo: Photo, colour: str) -> NDArray[np.uint8]:
    """[SEARCHED, SEARCHED, 3] The photo in a frame."""
    framed = np.full((SEARCHED, SEARCHED, 3), tuple(bytes.fromhex(colour[1:])), dtype=np.uint8)
    framed[FRAME:-FRAME, FRAME:-FRAME] = square(photo, SEARCHED - 2 * FRAME)
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
