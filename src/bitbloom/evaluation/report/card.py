"""The model card (Mitchell et al. 2019, arXiv:1810.03993) in Markdown, with the metadata of the hub as YAML in front."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bitbloom.evaluation.report import content as words
from bitbloom.evaluation.report import metadata

if TYPE_CHECKING:
    from jinja2 import Environment

    from bitbloom.evaluation.report.content import Content

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|$~&])")


def render(content: Content) -> str:
    """The card. Equal contents give equal text. Names from the data are escaped."""
    text = environment().get_template("model_card.md.j2").render(content=content, listed=words.LISTED, gap=words.GAP)
    return f"{metadata.block(content)}\n{text}"


def environment() -> Environment:
    """The reader of the cards' templates. The filter `md` escapes names from the data."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(  # noqa: S701 - Markdown: `_escaped` escapes instead of autoescape
        loader=FileSystemLoader(words.TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(percent=words.percent, grouped=words.grouped, sentence=words.sentence, md=_escaped)
    return made


def _escaped(text: object) -> str:
    """Text on one line, with Markdown, HTML and the separators of table cells escaped."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(text).split()))
