"""What the pages of experiments share: the reader of their templates, their style sheet, and embedded files."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

from bitbloom.evaluation.report import html, style

if TYPE_CHECKING:
    from jinja2 import Environment


def environment(templates: Path) -> Environment:
    """The reader of the templates of a folder, which may include `page.css.j2`. It escapes all names.

    Its filters are `address` and `size`; `style` and `narrow_window` are known to each template.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader([templates, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(address=address, size=size)
    made.globals.update(style=style, narrow_window=html.NARROW_WINDOW)
    return made


def address(content: bytes | str, kind: str) -> str:
    """A file as a `data:` address, by its media type."""
    data = content.encode() if isinstance(content, str) else content
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def size(png: bytes) -> tuple[int, int]:
    """Width and height of a chart in CSS pixels."""
    return html.css_size(png, style.CHART)
