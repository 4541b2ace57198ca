"""A sheet for boxes, arrows and tables, addressed in pixels from its upper left corner, in the style of the reports' figures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from bitbloom.evaluation.report import style

LINE = 26
"""Height of a row of a table, pixels."""
MONO = ["DejaVu Sans Mono"]
"""Bundled with matplotlib, like the font of the style."""


class Missing(Exception):
    """What a picture shows is not here; the message says what."""


class Sheet:
    """A figure of width × height pixels."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        with style.applied():
            self.figure = style.figure(width / style.DPI, height / style.DPI)

    def text(self, x: float, y: float, text: str, size: float = 15, **options: Any) -> None:
        """Text centred on height y; `size` in pixels."""
        options = {"color": style.INK, "va": "center"} | options
        self.figure.text(x / self.width, 1 - y / self.height, text, fontsize=size * 72 / style.DPI, **options)

    def box(self, left: float, top: float, width: float, height: float, **options: Any) -> None:
        """A rectangle with rounded corners."""
        from matplotlib.patches import FancyBboxPatch

        options = {"facecolor": "#fbeaf1", "edgecolor": style.BLOOM, "linewidth": 1, "mutation_scale": 1} | options
        corner = (left / self.width, 1 - (top + height) / self.height)
        patch = FancyBboxPatch(
            corner,
            width / self.width,
            height / self.height,
            boxstyle="round,pad=0,rounding_size=0.006",
            mutation_aspect=self.width / self.height,
            transform=self.figure.transFigure,
            **{key: value for key, value in options.items() if key != "mutation_scale"},
        )
        self.figure.add_artist(patch)

    def line(self, points: Sequence[tuple[float, float]], arrow: bool = True, colour: str = style.MUTED) -> None:
        """A polyline, with a head at its last point."""
        from matplotlib.lines import Line2D
        from matplotlib.patches import FancyArrowPatch

        placed = [(x / self.width, 1 - y / self.height) for x, y in points]
        xs, ys = zip(*placed, strict=True)
        self.figure.add_artist(Line2D(xs, ys, color=colour, linewidth=1.2, transform=self.figure.transFigure))
        if arrow:
            head = FancyArrowPatch(
                placed[-2], placed[-1], arrowstyle="-|>", mutation_scale=9, color=colour, linewidth=0, shrinkA=0, shrinkB=0
            )
            head.set_transform(self.figure.transFigure)
            self.figure.add_artist(head)

    def png(self) -> bytes:
        """The sheet as PNG."""
        return small(style.png(self.figure))


def small(png: bytes) -> bytes:
    """The same picture with at most 256 colours, as a smaller PNG without metadata."""
    from PIL import Image

    stream = io.BytesIO()
    image = Image.open(io.BytesIO(png)).convert("RGB")
    image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def table(title: str, note: Sequence[str], columns: Sequence[tuple[str, int, str]], rows: Sequence[Sequence[str]]) -> bytes:
    """A table as PNG.

    Args:
        title: the first line.
        note: lines below it.
        columns: heading, width in pixels and alignment ("left", "right") of each.
        rows: their cells; cells are in a font of equal widths.
    """
    margin = 24
    first = 62 + 22 * len(note)
    sheet = Sheet(2 * margin + sum(width for _, width, _ in columns), first + LINE * (len(rows) + 1) + margin)
    sheet.text(margin, 30, title, 20, fontweight="bold")
    for number, line in enumerate(note):
        sheet.text(margin, 60 + 22 * number, line, 14, color=style.MUTED)
    for number, cells in enumerate([[heading for heading, _, _ in columns], *rows]):
        middle = first + LINE * number + LINE / 2
        x = margin
        for cell, (_, width, side) in zip(cells, columns, strict=True):
            at = x + width - 18 if side == "right" else x
            font = {"fontweight": "bold"} if number == 0 else {"family": MONO}
            sheet.text(at, middle, cell, 14, ha=side, **font)
            x += width
        sheet.line([(margin, middle + LINE / 2), (sheet.width - margin, middle + LINE / 2)], arrow=False, colour=style.GRID)
    return sheet.png()
