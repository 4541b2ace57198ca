"""Charts of a training and of a model's predictions. Every function returns a new figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitbloom.evaluation.report import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW, FEW_NARROW = 24, 15
"""Largest number of classes for which a cell has room for a number, also in a narrow window."""
MANY, WORST = 30, 24
"""Largest number of classes that are all shown, and the number of bars for the worst of more classes."""


def curves_caption(history: Mapping[str, Any]) -> str:
    """The caption of `curves`."""
    if marked_epoch(history) is not None:
        return "Training, epoch by epoch. The dotted line marks the epoch with the best validation score, whose weights are kept."
    return "Training, epoch by epoch." + (" The weights of the last epoch are kept." if history.get("kept") == "last" else "")


def marked_epoch(history: Mapping[str, Any]) -> int | None:
    """The epoch to mark: the best one, if its weights are kept."""
    return history.get("best_epoch") if history.get("kept") == "best" else None


@style.applied()
def curves(history: Mapping[str, Any], narrow: bool = False) -> Figure:
    """Loss, validation scores and learning rate by epoch, from `training.json`, with a mark at the epoch that is kept."""
    epochs = history["epochs"]
    xs = [row["epoch"] for row in epochs]
    scores = [key for key in sorted(epochs[0]) if key.startswith("val_") and key != "val_loss"]
    made = _panels(3, 3.4, 2.3, narrow)
    losses, score, rate = made.axes
    for key, name, colour in (("train_loss", "training", style.SKY), ("val_loss", "validation", style.BLOOM)):
        _line(losses, xs, [row.get(key) for row in epochs], name, colour)
    for key, colour in zip(scores, (style.LEAF, style.SUN, style.SKY, style.BLOOM), strict=False):
        _line(score, xs, [row.get(key) for row in epochs], key.removeprefix("val_").replace("_", " "), colour)
    _line(rate, xs, [row.get("learning_rate") for row in epochs], "learning rate", style.SUN)
    for axes, title in ((losses, "Loss"), (score, "Validation"), (rate, "Learning rate")):
        _epoch_axis(axes, xs, title, marked_epoch(history))
    losses.legend()
    score.legend(loc="lower right")
    rate.set_ylim(bottom=0)
    rate.yaxis.set_major_formatter("{x:g}")
    return made


def _panels(count: int, height: float, narrow_height: float, narrow: bool, **options: Any) -> Figure:
    """A figure with panels side by side; of `narrow_height` inches each, and below each other, for narrow windows."""
    if narrow:
        made = style.figure(style.NARROW, count * narrow_height, layout="constrained")
        made.subplots(count, 1, squeeze=False, **options)
    else:
        made = style.figure(11, height, layout="constrained")
        made.subplots(1, count, squeeze=False, **options)
    return made


def _line(axes: Axes, xs: Sequence[int], ys: Sequence[float | None], name: str, colour: str) -> None:
    values = [float("nan") if y is None else y for y in ys]
    axes.plot(xs, values, label=name, color=colour, marker="o" if len(xs) <= 40 else "", markersize=3.5)


def _epoch_axis(axes: Axes, xs: Sequence[int], title: str, marked: int | None) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
    axes.set_xlim(xs[0] - 0.5, xs[-1] + 0.5)
    if marked is not None:
        axes.axvline(marked, color=style.MUTED, linewidth=1, linestyle=(0, (2, 3)), zorder=0)


@style.applied()
def confusion(counts: NDArray[np.int64], classes: Sequence[str], narrow: bool = False) -> Figure:
    """The confusion matrix [K, K] as a heat map of row fractions: correct predictions in one colour, mistakes in another.

    Its size grows with the square of K; `confusions` is for many classes.
    """
    size = len(classes)
    if narrow:
        labels = 1.35  # inches
        cell = max(0.13, (style.NARROW - labels) / size)
        letters, numbers, longest = min(9.0, cell * 58), min(11.0, cell * 36), 14
        made = style.figure(cell * size + labels, cell * size + labels, layout="constrained")
    else:
        cell = min(0.85, max(0.145, 7.4 / size))
        letters, numbers, longest = min(9.5, max(6.0, cell * 15)), min(11.0, cell * 20), 22
        made = style.figure(cell * size + 2.6, cell * size + 2.4, layout="constrained")
    axes = made.subplots()
    axes.imshow(_confusion_colours(counts), interpolation="nearest", aspect="equal")
    style.bare(axes)
    _cell_lines(axes, size)
    names = [style.short(name, longest) for name in classes]
    upright = narrow or size > 6
    axes.set_xticks(range(size), names, rotation=90 if upright else 35, ha="center" if upright else "right", fontsize=letters)
    axes.set_yticks(range(size), names, fontsize=letters)
    axes.tick_params(length=0, pad=4, labelcolor=style.INK)
    axes.set_xlabel("predicted", labelpad=8)
    axes.set_ylabel("actual", labelpad=8)
    if size <= (FEW_NARROW if narrow else FEW):
        _cell_numbers(axes, counts, numbers)
    return made


def _confusion_colours(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """[K, K, 4] Colours by the fraction of a row. A single mistake among many samples stays visible."""
    fraction = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    right, wrong = style.shades(style.LEAF), style.shades(style.BLOOM)
    visible = np.where(counts > 0, np.minimum(1.0, 0.18 + 1.6 * fraction), 0.0)
    return np.where(np.eye(len(counts), dtype=bool)[:, :, None], right(0.08 + 0.92 * fraction), wrong(visible))


def _cell_lines(axes: Axes, size: int) -> None:
    """White lines between the cells."""
    edges = np.arange(size + 1) - 0.5
    width = 1.6 if size <= FEW else 0.4
    axes.hlines(edges, -0.5, size - 0.5, color=style.PAPER, linewidth=width)
    axes.vlines(edges, -0.5, size - 0.5, color=style.PAPER, linewidth=width)


def _cell_numbers(axes: Axes, counts: NDArray[np.int64], letters: float) -> None:
    totals = np.maximum(counts.sum(axis=1), 1)
    for i, j in np.argwhere(counts > 0).tolist():
        fraction = counts[i, j] / totals[i]
        light = fraction > (0.55 if i == j else 0.3)
        colour = style.PAPER if light else style.INK
        axes.text(j, i, str(counts[i, j]), ha="center", va="center", color=colour, fontsize=letters)


@style.applied()
def confusions(pairs: Sequence[Mapping[str, Any]], narrow: bool = False) -> Figure:
    """The most frequent mistakes as bars, of up to WORST pairs `actual`, `predicted`, `count`, in the given order."""
    from matplotlib.ticker import MaxNLocator

    if not pairs:
        made = style.figure(style.NARROW if narrow else 6.4, 1.2, layout="constrained")
        style.bare(axes := made.subplots())
        axes.text(0.5, 0.5, "No mistakes on the test split", ha="center", va="center", fontsize=13, color=style.LEAF)
        return made
    shown = pairs[:WORST]
    made = style.figure(style.NARROW if narrow else 5.2, 0.3 * len(shown) + 1.2, layout="constrained")
    longest, letters = (10, 8) if narrow else (18, 10)
    axes = made.subplots()
    counts = [pair["count"] for pair in shown]
    axes.barh(range(len(shown)), counts, height=0.66, color=style.BLOOM)
    for place, count in enumerate(counts):
        axes.text(count + max(counts) * 0.02, place, f"{count:,}", va="center", color=style.MUTED)
    names = [f"{style.short(pair['actual'], longest)} → {style.short(pair['predicted'], longest)}" for pair in shown]
    axes.set_yticks(range(len(shown)), names, fontsize=letters)
    axes.tick_params(axis="y", length=0, labelcolor=style.INK)
    axes.grid(visible=False, axis="y")
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, max(counts) * 1.15)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=3 if narrow else 6))
    axes.set_xlabel("test samples")
    return made


@style.applied()
def reliability(rows: Sequence[Mapping[str, Any]], error: float, narrow: bool = False) -> Figure:
    """Accuracy by confidence against the diagonal, over a histogram of the confidences. Rows as of `metrics.calibration`."""
    made = style.figure(style.NARROW if narrow else 6.4, 5.4 if narrow else 6.2, layout="constrained")
    upper, lower = made.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    width = 1 / len(rows)
    middles = [(row["low"] + row["high"]) / 2 for row in rows]
    for middle, row in zip(middles, rows, strict=True):
        if row["count"]:
            low, high = sorted((row["accuracy"], row["confidence"]))
            gap = style.BLOOM if row["confidence"] > row["accuracy"] else style.SUN
            upper.bar(middle, low, width * 0.92, color=style.LEAF)
            upper.bar(middle, high - low, width * 0.92, bottom=low, color=gap, alpha=0.35)
    upper.plot([0, 1], [0, 1], color=style.MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
    upper.set_title(f"{'C' if narrow else 'Expected c'}alibration error {error:.3f}")
    upper.set_ylabel("accuracy")
    upper.set_ylim(0, 1.02)
    lower.bar(middles, [row["count"] for row in rows], width * 0.92, color=style.SKY)
    lower.set_ylabel("samples")
    lower.set_xlabel("confidence")
    lower.set_xlim(0, 1)
    if narrow:
        made.legend(handles=_reliability_keys(), loc="outside lower left")
    else:
        upper.legend(handles=_reliability_keys(), loc="upper left")
    return made


def _reliability_keys() -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        Line2D([], [], color=style.MUTED, linewidth=1.2, linestyle=(0, (4, 3)), label="confidence equals accuracy"),
        Patch(facecolor=style.LEAF, label="confident and right"),
        Patch(facecolor=style.BLOOM, alpha=0.35, label="more confident than right"),
        Patch(facecolor=style.SUN, alpha=0.35, label="more right than confident"),
    ]


@style.applied()
def recall(rows: Sequence[Mapping[str, Any]], narrow: bool = False) -> Figure:
    """Recall of each class as a bar, worst first, with its precision as a dot. Rows as of `metrics.per_class`.

    Of more than MANY classes it shows the worst ones that have test samples, of equals the one with the most samples first.
    """
    ordered = sorted(rows, key=lambda row: (row["recall"], row["class"]))
    if len(rows) > MANY:
        tested = [row for row in ordered if row["support"]]
        ordered = sorted(tested, key=lambda row: (row["recall"], -row["support"]))[:WORST]
    names, values, counts = ([row[key] for row in ordered] for key in ("class", "recall", "support"))
    made, axes = _bars(names, values, counts, "recall (bar) and precision (dot)", narrow)
    size = 27 if len(ordered) <= FEW else 21
    dots = [row["precision"] for row in ordered]
    axes.scatter(dots, range(len(dots)), s=size, color=style.SUN, edgecolor=style.PAPER, zorder=3)
    return made


@style.applied()
def slices(rows: Sequence[Mapping[str, Any]], narrow: bool = False) -> Figure:
    """F1 of slices of the test split, in the given order. Rows have `slice`, `value`, `samples` and `f1`."""
    names = [f"{row['slice']}: {row['value']}" for row in rows]
    return _bars(names, [row["f1"] for row in rows], [row["samples"] for row in rows], "F1", narrow)[0]


@style.applied()
def retrieval(ways: Mapping[str, tuple[Sequence[float], Sequence[float]]], narrow: bool = False) -> Figure:
    """For each direction the recall among the first 1, 2, 3, … results, and the same by chance."""
    made = _panels(len(ways), 3.9, 2.9, narrow, sharey=True)
    for axes, (name, (ours, chance)) in zip(made.axes, ways.items(), strict=True):
        ks = range(1, len(ours) + 1)
        axes.plot(ks, ours, color=style.LEAF, label="this model", marker="o", markersize=3.5)
        axes.plot(ks, chance, color=style.MUTED, label="chance", linewidth=1.4, linestyle=(0, (4, 3)))
        for k in (k for k in (1, 5, 10) if k <= len(ours)):
            axes.annotate(f"{ours[k - 1]:.2f}", (k, ours[k - 1]), (-3, 6), textcoords="offset points", ha="right", fontsize=9)
        axes.set_title(name)
        axes.set_xlabel("number of results")
        axes.set_xticks([1, *range(5, len(ours) + 1, 5)])
        axes.set_xlim(-0.8, len(ours) + 0.5)
        axes.set_ylim(0, 1.08)
    for axes in made.axes if narrow else made.axes[:1]:
        axes.set_ylabel("recall")
    made.legend(*made.axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return made


def _bars(names: Sequence[str], values: Sequence[float], counts: Sequence[int], label: str, narrow: bool) -> tuple[Figure, Axes]:
    """A bar from 0 to 1 for each name, the first on top, with its value and number of samples beside it."""
    few = narrow or len(names) <= FEW
    letters = 8 if narrow else 9 if few else 7
    made = style.figure(style.NARROW if narrow else 8.4, (0.32 if few else 0.185) * len(names) + 1.3, layout="constrained")
    axes = made.subplots()
    places = range(len(names))
    axes.barh(places, values, height=0.66, color=style.LEAF)
    for place, value, count in zip(places, values, counts, strict=True):
        beside = f"{value:.2f} ({count})" if narrow else f"{value:.2f}   n = {count}"
        axes.text(1.06 if narrow else 1.02, place, beside, va="center", fontsize=letters, color=style.MUTED)
    axes.set_yticks(list(places), [style.short(name, 18 if narrow else 22) for name in names], fontsize=letters)
    axes.tick_params(axis="y", length=0, labelcolor=style.INK)
    axes.grid(visible=False, axis="y")
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 1 if narrow else 1.16)
    axes.set_xticks([0, 0.5, 1.0] if narrow else [0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.set_xlabel(label + (", value (samples)" if narrow else ""))
    return made, axes
