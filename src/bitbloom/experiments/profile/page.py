"""The page of a profile, one self-contained HTML file, and its tables as text for a terminal."""

from __future__ import annotations

import base64
from pathlib import Path

from rich.console import Console
from rich.table import Table as Grid

from bitbloom.evaluation.report import style
from bitbloom.evaluation.report.content import pixels
from bitbloom.evaluation.report.html import CSS_PER_INCH, NARROW_WINDOW
from bitbloom.experiments.profile.content import Content, Picture, Table

FOLDER = Path(__file__).parent
TEMPLATE = "page.html.j2"


def render(content: Content) -> str:
    """The page. Equal contents give equal text; all names are escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(address=_address, size=_size)
    environment.tests["picture"] = lambda section: isinstance(section, Picture)
    return environment.get_template(TEMPLATE).render(content=content, style=style, narrow_window=NARROW_WINDOW)


def show(content: Content, console: Console) -> None:
    """Print the tiles, and the tables that are meant for a terminal."""
    console.print(content.lead, highlight=False)
    for tile in content.tiles:
        console.print(f"  {tile.name}: {tile.text}  [dim]{tile.hint}[/]", highlight=False)
    for section in content.sections:
        if isinstance(section, Table) and section.shown:
            console.print(_grid(section))
    if content.flames.problem:
        console.print(f"no flame graph: {content.flames.problem}", highlight=False)


def _grid(table: Table) -> Grid:
    grid = Grid(title=table.heading, title_justify="left")
    last = len(table.columns) - 1
    for number, name in enumerate(table.columns):
        worded = number == 0 or (table.worded and number == last)
        grid.add_column(name, justify="left" if worded else "right", overflow="fold")
    for row in table.rows:
        grid.add_row(*row.cells)
    return grid


def _address(content: bytes | str, kind: str) -> str:
    data = content.encode() if isinstance(content, str) else content
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _size(png: bytes) -> tuple[int, int]:
    """Width and height of a chart in CSS pixels."""
    width, height = pixels(png)
    return round(width * CSS_PER_INCH / style.DPI), round(height * CSS_PER_INCH / style.DPI)
