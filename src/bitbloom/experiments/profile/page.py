"""The page of a profile, one self-contained HTML file, and its tables as text for a terminal."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table as Grid

from bitbloom.experiments import page
from bitbloom.experiments.profile.content import Content, Picture, Table

FOLDER = Path(__file__).parent
TEMPLATE = "page.html.j2"


def render(content: Content) -> str:
    """The page. Equal contents give equal text; all names are escaped."""
    environment = page.environment(FOLDER)
    environment.tests["picture"] = lambda section: isinstance(section, Picture)
    return environment.get_template(TEMPLATE).render(content=content)


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
