"""Charts of a search. Every function returns a new figure; `narrow` is for windows of a telephone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bitbloom.evaluation.report import style
from bitbloom.experiments.sweep.parameter import text_of
from bitbloom.experiments.sweep.study import COMPLETE, PRUNED, Row, best

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {COMPLETE: style.SKY, PRUNED: style.SUN}
WORST = "#d3d6dc"
"""The colour of the worst trial, which a dark page inverts to a dark one; the best is LEAF."""


@style.applied()
def history(rows: Sequence[Row], space: dict[str, Any], narrow: bool = False) -> Figure:
    """The value of each trial in order, and the best complete one so far."""
    made = style.figure(style.NARROW if narrow else 11, 2.9 if narrow else 3.6, layout="constrained")
    axes = made.subplots()
    for state, colour in COLOURS.items():
        found = [row for row in rows if row.state == state]
        axes.scatter([row.number for row in found], values_of(found), color=colour, label=state, s=28, zorder=3)
    for row in rows:
        if row.value is None:
            axes.axvline(row.number, color=style.BLOOM, linewidth=1, linestyle=(0, (2, 3)), zorder=0)
    steps = best_so_far(rows, space["direction"])
    axes.step([number for number, _ in steps], [value for _, value in steps], where="post", color=style.LEAF, label="best so far")
    _whole_numbers(axes)
    axes.set_xlabel("trial")
    axes.set_ylabel(_name(space["metric"]))
    axes.legend(loc="best")
    return made


def values_of(rows: Sequence[Row]) -> list[float]:
    """The values of trials that have one."""
    return [row.value for row in rows if row.value is not None]


def best_so_far(rows: Sequence[Row], direction: str) -> list[tuple[int, float]]:
    """The best value of the complete trials up to each one."""
    better, found = (max if direction == "maximize" else min), list[tuple[int, float]]()
    for row in rows:
        if row.state == COMPLETE and row.value is not None:
            found.append((row.number, better(row.value, found[-1][1]) if found else row.value))
    return [*found, (len(rows) - 1, found[-1][1])] if found else []


@style.applied()
def curves(rows: Sequence[Row], space: dict[str, Any], narrow: bool = False) -> Figure:
    """The metric of each trial by epoch; a dot marks the rung that pruned it, the winner has the strongest line."""
    made = style.figure(style.NARROW if narrow else 11, 2.9 if narrow else 3.6, layout="constrained")
    axes = made.subplots()
    winner = best(rows, space["direction"])
    for row in rows:
        epochs = range(1, len(row.curve) + 1)
        chosen = row is winner
        colour = style.LEAF if chosen else COLOURS.get(row.state, style.BLOOM)
        axes.plot(
            epochs, row.curve, color=colour, linewidth=2.4 if chosen else 1, alpha=1 if chosen else 0.6, zorder=3 if chosen else 2
        )
        if row.state == PRUNED:
            axes.scatter(len(row.curve), row.curve[-1], color=colour, s=22, zorder=2)
    _whole_numbers(axes)
    axes.set_xlabel("epoch")
    axes.set_ylabel(_name(space["metric"]))
    return made


@style.applied()
def importance(found: dict[str, float], narrow: bool = False) -> Figure:
    """The fraction of the differences between trials that each parameter explains."""
    made = style.figure(style.NARROW if narrow else 8, 0.7 + 0.36 * len(found), layout="constrained")
    axes = made.subplots()
    keys = sorted(found, key=lambda key: (found[key], key))
    bars = axes.barh([style.short(key, 18 if narrow else 32) for key in keys], [found[key] for key in keys], color=style.SKY)
    axes.bar_label(bars, fmt="{:.2f}", padding=4, fontsize=9, color=style.MUTED)
    axes.set_xlim(0, max(found.values()) * 1.15)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.set_xticks([])
    return made


@style.applied()
def parallel(rows: Sequence[Row], space: dict[str, Any], narrow: bool = False) -> Figure:
    """A line for each trial through its values of all parameters, coloured by its own value; pruned trials are thin."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    keys = sorted(space["parameters"])
    shown = [row for row in rows if row.value is not None]
    values = values_of(shown)
    made = style.figure(max(style.NARROW, 1.15 * len(keys)) if narrow else 11, 3.3 if narrow else 4, layout="constrained")
    axes = made.subplots()
    ends = [WORST, style.LEAF] if space["direction"] == "maximize" else [style.LEAF, WORST]
    colours = ScalarMappable(Normalize(min(values), max(values)), LinearSegmentedColormap.from_list("value", ends))
    scales = [Scale([row.params[key] for row in rows], space["parameters"][key]) for key in keys]
    for row in sorted(shown, key=lambda each: each.state == COMPLETE):
        heights = [scale.place(row.params[key]) for key, scale in zip(keys, scales, strict=True)]
        wide = 1.8 if row.state == COMPLETE else 0.7
        (colour,) = colours.to_rgba(np.asarray(values_of([row])))
        axes.plot(range(len(keys)), heights, color=colour, linewidth=wide, alpha=0.9)
    for number, scale in enumerate(scales):
        axes.axvline(number, color=style.MUTED, linewidth=0.8, zorder=1)
        for height, text in scale.ticks():
            axes.text(number + 0.03, height, text, fontsize=8, color=style.INK, va="center", zorder=4, bbox=_HALO)
    axes.set_xticks(range(len(keys)), [key.replace(".", ".\n", 1) for key in keys], fontsize=8 if narrow else 9)
    axes.tick_params(length=0, labelcolor=style.INK)
    axes.set_yticks([])
    axes.set_ylim(-0.06, 1.06)
    axes.set_xlim(-0.15, len(keys) - 1 + (0.45 if narrow else 0.3))
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.grid(visible=False)
    made.colorbar(colours, ax=axes, label=_name(space["metric"]), pad=0.01, aspect=30)
    return made


_HALO = {"facecolor": style.PAPER, "edgecolor": "none", "pad": 0.6, "alpha": 0.85}


class Scale:
    """The vertical axis of a parameter: values to 0 … 1."""

    def __init__(self, values: Sequence[Any], given: dict[str, Any]) -> None:
        self.choices = [text_of(choice) for choice in given["choice"]] if "choice" in given else []
        self.log = "log" in given
        self.low, self.high = (0.0, 0.0) if self.choices else self._ends(given)

    def _ends(self, given: dict[str, Any]) -> tuple[float, float]:
        low, high = next(given[kind] for kind in ("float", "log", "int") if kind in given)
        return low, high

    def place(self, value: Any) -> float:
        """The height of a value."""
        if self.choices:
            return self.choices.index(text_of(value)) / max(len(self.choices) - 1, 1)
        import math

        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return float((value - self.low) / (self.high - self.low))

    def ticks(self) -> list[tuple[float, str]]:
        """Heights with their texts."""
        if self.choices:
            return [(self.place(choice), style.short(choice, 12)) for choice in self.choices]
        return [(0.0, f"{self.low:g}"), (1.0, f"{self.high:g}")]


@style.applied()
def slices(rows: Sequence[Row], space: dict[str, Any], narrow: bool = False) -> Figure:
    """The value of the trials by each parameter alone."""
    keys = sorted(space["parameters"])
    across = 1 if narrow else min(3, len(keys))
    down = -(-len(keys) // across)
    made = style.figure(style.NARROW if narrow else 11, down * (2.1 if narrow else 2.7), layout="constrained")
    panels = made.subplots(down, across, squeeze=False, sharey=not narrow)
    for number, axes in enumerate(panels.flat):
        if number < len(keys):
            _slice(axes, rows, keys[number], Scale([], space["parameters"][keys[number]]))
            if number % across == 0:
                axes.set_ylabel(_name(space["metric"]))
        else:
            axes.set_visible(False)
    return made


def _slice(axes: Axes, rows: Sequence[Row], key: str, scale: Scale) -> None:
    for state, colour in sorted(COLOURS.items(), reverse=True):
        found = [row for row in rows if row.state == state]
        xs = [scale.choices.index(text_of(row.params[key])) if scale.choices else row.params[key] for row in found]
        axes.scatter(xs, values_of(found), color=colour, s=20, alpha=0.85)
    if scale.choices:
        axes.set_xticks(range(len(scale.choices)), [style.short(choice, 14) for choice in scale.choices])
        axes.set_xlim(-0.5, len(scale.choices) - 0.5)
    elif scale.log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
    axes.set_title(key, fontsize=10)


def _whole_numbers(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10))


def _name(metric: str) -> str:
    return metric.removeprefix("val_").replace("_", " ") + ", validation"
