"""What a page of a profile shows: tiles, tables, pictures and a flame graph. Tables are printed on the terminal, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Tile:
    """A number at the top of the page."""

    name: str
    text: str
    hint: str = ""


@dataclass(frozen=True)
class Row:
    """A row of a table: its cells, and the fraction of the whole that its bar shows, or None."""

    cells: Sequence[str]
    fraction: float | None = None


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        id, heading, note: its anchor, title, and what it says.
        columns: names of the columns; the first is text, the last is text when `worded`, all others are numbers.
        rows: in order. Where they have fractions, these add up to 1.
        shown: whether it is printed on the terminal.
        listed: number of rows that are visible at once on the page.
    """

    id: str
    heading: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Row]
    worded: bool = False
    shown: bool = False
    listed: int = 14

    @property
    def total(self) -> float | None:
        """The sum of the fractions, or None for a table without."""
        fractions = [row.fraction for row in self.rows if row.fraction is not None]
        return sum(fractions) if fractions else None


@dataclass(frozen=True)
class Picture:
    """A chart as PNG, and another for narrow windows."""

    id: str
    heading: str
    note: str
    png: bytes = field(repr=False)
    narrow: bytes = field(repr=False)


@dataclass(frozen=True)
class Flames:
    """A flame graph as SVG text, or why there is none."""

    note: str
    svg: str = field(repr=False)
    problem: str = ""


@dataclass(frozen=True)
class Content:
    """A whole page."""

    target: str
    stage: str
    lead: str
    tiles: Sequence[Tile]
    sections: Sequence[Table | Picture]
    flames: Flames
    footer: str


def percent(fraction: float) -> str:
    """0.1234 → 12.3 %."""
    return f"{100 * fraction:.1f} %"


def milliseconds(seconds: float) -> str:
    """0.0123 → 12.3."""
    return f"{1000 * seconds:.1f}" if seconds < 1 else f"{1000 * seconds:,.0f}"


def megabytes(count: float) -> str:
    """1,234,567 → 1.2."""
    return f"{count / 1e6:,.1f}"
