"""The table of variants: reports/<target>/optimise.json, .md and .png, from the measured rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitbloom.core import canonical
from bitbloom.evaluation.report import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEM = "optimise"
Rows = Sequence[Mapping[str, Any]]
"""As `measure.Row`, in the order of the table."""
COLUMNS = (
    "variant",
    "accuracy",
    "difference",
    "95 %",
    "same predictions",
    "MB",
    "ms, median",
    "ms, p90",
    "speed",
    "a second, 32 at a time",
    "batch",
    "ready, s",
)


def write(folder: Path, target: str, rows: Rows, conditions: Mapping[str, Any]) -> None:
    """Write the three files, each whole or not at all, and print the table."""
    canonical.write_json(folder / f"{STEM}.json", {"target": target, "conditions": conditions, "rows": rows})
    canonical.write_bytes(folder / f"{STEM}.png", style.png(chart(rows)))
    text = markdown(target, rows, conditions)
    canonical.write_text(folder / f"{STEM}.md", text)
    print(f"{text}\n{folder / STEM}.md")


def markdown(target: str, rows: Rows, conditions: Mapping[str, Any]) -> str:
    """The table and the conditions of the measurement."""
    aligned = ["---", *["---:"] * (len(COLUMNS) - 1)]
    lines = [f"# Variants of `{target}`", "", f"![Accuracy and latency]({STEM}.png)", "", _line(COLUMNS), _line(aligned)]
    lines += [_line(cells(row)) for row in rows]
    return "\n".join([*lines, "", *_below(conditions), ""])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def cells(row: Mapping[str, Any]) -> list[str]:
    """The cells of a row: numbers, or in the first cell the reason why there are none."""
    name = f"{row['title']} (`{row['name']}`)"
    if row["failure"]:
        failure = row["failure"].replace("|", "/")
        return [f"{name}: not measured: {failure}", *["–"] * (len(COLUMNS) - 1)]
    low_high = row["interval"]
    return [
        name,
        _number(row["accuracy"], ".4f"),
        _number(row["difference"], "+.4f"),
        f"{low_high[0]:+.4f} to {low_high[1]:+.4f}" if low_high else "–",
        _number(row["agreement"], ".4f"),
        _number(row["bytes"] / 1e6, ".2f"),
        _number(row["median"] * 1e3, ".2f"),
        _number(row["p90"] * 1e3, ".2f"),
        "–" if row["speed"] is None else f"{row['speed']:.2f}×",
        _number(row["throughput"], ".1f"),
        _number(row["batch_difference"], ".0e"),
        _number(row["ready"], ".1f"),
    ]


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _below(conditions: Mapping[str, Any]) -> list[str]:
    timed, versions = conditions["timed"], ", ".join(f"{name} {number}" for name, number in conditions["versions"].items())
    return [
        f"{conditions['cpu']} ({', '.join(conditions['instruction_sets'])}), {conditions['threads']} thread of "
        f"{conditions['cores']} cores; {versions}; PyTorch's code for {conditions['torch_code']}, without the pins of training.",
        f"Accuracy on {conditions['test_samples']} test samples, one at a time. Times of {timed['predictions']} predictions and "
        f"{timed['batches']} batches in {timed['turns']} turns, from decoded inputs to probabilities. Another CPU gives other "
        "numbers. docs/optimise.md explains the columns.",
    ]


@style.applied()
def chart(rows: Rows) -> Figure:
    """Accuracy and latency, with a numbered dot for each variant. Variants without numbers are only listed."""
    made = style.figure(11, 5.2, layout="constrained")
    axes, names = made.subplots(1, 2, width_ratios=(1.9, 1))
    for number, row in enumerate(rows, 1):
        if not row["failure"]:
            _dot(axes, number, row)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.set_title("Accuracy and latency")
    axes.set_xlabel("milliseconds per prediction, median and 90th percentile")
    axes.set_ylabel("test accuracy")
    axes.margins(0.08, 0.12)
    style.bare(names)
    for number, row in enumerate(rows, 1):
        place = 1 - number / (len(rows) + 1)
        names.scatter(0.05, place, s=150, color=_colour(row), alpha=0.25 if row["failure"] else 0.9)
        names.text(0.05, place, str(number), ha="center", va="center", fontsize=8, color=style.PAPER)
        text = f"{row['title']}: not measured" if row["failure"] else f"{row['title']}   {row['bytes'] / 1e6:.1f} MB"
        names.text(0.13, place, text, va="center", fontsize=9, color=style.MUTED if row["failure"] else style.INK)
    names.set_xlim(0, 1)
    names.set_ylim(0, 1)
    return made


def _dot(axes: Axes, number: int, row: Mapping[str, Any]) -> None:
    x, y, colour = row["median"] * 1e3, row["accuracy"], _colour(row)
    axes.plot([x, row["p90"] * 1e3], [y, y], color=colour, linewidth=1.2, alpha=0.5)
    axes.scatter(x, y, s=150, color=colour, alpha=0.9, zorder=3)
    axes.text(x, y, str(number), ha="center", va="center", fontsize=8, color=style.PAPER, zorder=4)


def _colour(row: Mapping[str, Any]) -> str:
    """The colour of a variant, by its runtime and number format."""
    if row["name"].startswith("torch"):
        return style.SKY
    return style.SUN if "int8" in row["name"] else style.LEAF
