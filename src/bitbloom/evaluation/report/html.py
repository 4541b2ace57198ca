"""The report of a target: one self-contained HTML file, which a browser shows without network or script."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from bitbloom.evaluation.report import content as words
from bitbloom.evaluation.report import style

if TYPE_CHECKING:
    from bitbloom.evaluation.report.content import Content, Picture

CSS_PER_INCH = 96
WIDEST = 1200
"""Largest width in CSS pixels of a chart that is scaled down. A wider chart scrolls, so that its text stays readable."""


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
        css_width=_css_width,
        fits=_fits,
    )
    return environment.get_template("report.html.j2").render(content=content, style=style, listed=words.LISTED)


def _data_address(picture: Picture) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.png).decode("ascii")


def _css_width(picture: Picture) -> int:
    """Width in CSS pixels: charts at their intended size, photos pixel by pixel."""
    scale = CSS_PER_INCH / style.DPI if picture.kind == style.CHART else 1.0
    return round(picture.size[0] * scale)


def _fits(picture: Picture) -> bool:
    """Whether a narrower window scales the picture down."""
    return picture.kind != style.CHART or _css_width(picture) <= WIDEST
