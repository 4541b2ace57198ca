"""The report of a target: one self-contained HTML file, which a browser shows without network or script."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from bitbloom.evaluation.report import content as words
from bitbloom.evaluation.report import dataset_card, style

if TYPE_CHECKING:
    from bitbloom.evaluation.report.content import Content, Picture

CSS_PER_INCH = 96
WIDEST = 1200
"""Largest width in CSS pixels of a chart that is scaled down. A wider chart scrolls, so that its text stays readable."""
NARROW_WINDOW = 800
"""Widest window in CSS pixels that shows the pictures for narrow windows. It would scale a wide one by a quarter or more."""
NARROWEST = 360
"""Largest width in CSS pixels of a picture for narrow windows that is scaled down. A wider one scrolls."""


def render(content: Content) -> str:
    """The page. Equal contents give equal text. All names are escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(words.TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        percent=words.percent,
        grouped=words.grouped,
        sentence=words.sentence,
        data_address=_data_address,
        css_size=css_size,
        fits=_fits,
    )
    return environment.get_template("report.html.j2").render(
        content=content,
        style=style,
        listed=words.LISTED,
        narrow_window=NARROW_WINDOW,
        narrowest=NARROWEST,
        problems=dataset_card.problems(content.gate),
    )


def _data_address(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def css_size(png: bytes, kind: str) -> tuple[int, int]:
    """Width and height in CSS pixels: charts at their intended size, photos pixel by pixel."""
    scale = CSS_PER_INCH / style.DPI if kind == style.CHART else 1.0
    width, height = words.pixels(png)
    return round(width * scale), round(height * scale)


def _fits(picture: Picture) -> bool:
    """Whether a narrower window scales the picture down."""
    return picture.kind != style.CHART or css_size(picture.png, picture.kind)[0] <= WIDEST
