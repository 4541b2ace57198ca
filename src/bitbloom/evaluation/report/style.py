"""The style of all figures, and the function that writes a figure.

Figures are made and written inside `applied()`, which starts from matplotlib's own defaults: neither a `matplotlibrc` nor
a system font nor a clock changes a pixel.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

INK, MUTED, GRID, PAPER = "#22262e", "#6b7280", "#e6e8ec", "#ffffff"
BLOOM, LEAF, SKY, SUN = "#c2367a", "#2b8a62", "#3a6fb7", "#d18a1b"
"""Accents: BLOOM for mistakes and emphasis, LEAF for correct results, SKY and SUN for further lines."""
DPI = 144
NARROW = 3.5
"""Width in inches of a chart for narrow windows: with 96 CSS pixels an inch, it fits a window of 400 without a smaller text."""

CHART, PHOTOS = "chart", "photos"
"""Kinds of figures. On a dark page the report inverts charts only."""

_SETTINGS: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],  # bundled with matplotlib, and searched before the system's fonts
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,  # a `$` in a class name is a dollar
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "axes.edgecolor": "#c5c9d1",
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": "#c5c9d1",
    "ytick.color": "#c5c9d1",
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "lines.linewidth": 2.0,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 9,
}


@contextlib.contextmanager
def applied() -> Iterator[None]:
    """Apply this style, without the user's settings, while the block runs. Also a decorator."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def figure(width: float, height: float, kind: str = CHART, **options: Any) -> Figure:
    """An empty figure of this size in inches, drawn by Agg, without global state. `kind` is CHART or PHOTOS."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), **options)
    FigureCanvasAgg(made)
    made.set_label(kind)
    return made


def png(made: Figure) -> bytes:
    """The figure as a PNG without metadata of software or time."""
    stream = io.BytesIO()
    with applied():
        made.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def shades(colour: str) -> LinearSegmentedColormap:
    """A colour map from nearly white to a colour."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("shades", ["#f7f8fa", colour])


def bare(axes: Axes) -> None:
    """Remove ticks, spines and grid."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def short(text: str, longest: int = 22) -> str:
    """A name for a label; a longer one is truncated with an ellipsis."""
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"
