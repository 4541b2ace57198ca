"""Charts of profiles. Each exists twice: for wide and for narrow windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bitbloom.evaluation.report import style
from bitbloom.experiments.profile.content import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bitbloom.experiments.profile.trace import Trace

COLOURS = (style.SUN, "#e5bd7a", "#8f6bb3", style.SKY, style.BLOOM, style.LEAF, "#8cc7ab", "#86a9d8", style.MUTED, "#c5c9d1")
"""One for each part, in order."""
WIDE = 11.0
MEMORY_POINTS = 4000
"""Points of a curve, at most: its steps are narrower than a pixel beyond."""


def picture(id: str, heading: str, note: str, draw: Callable[[Axes, bool], None], height: float, tall: float) -> Picture:
    """Draw a chart for wide windows (`height` inches) and for narrow ones (`tall` inches)."""

    def made(narrow: bool) -> bytes:
        with style.applied():
            figure: Figure = style.figure(*((style.NARROW, tall) if narrow else (WIDE, height)), layout="constrained")
            draw(figure.subplots(), narrow)
        return style.png(figure)

    return Picture(id, heading, note, made(False), made(True))


def steps(record: Mapping[str, Any], order: Sequence[str]) -> Picture:
    """One bar of a step, divided into its parts, and the plain steps as dots."""
    plain = [1000 * seconds for seconds in record["plain"]["steps"]]
    values = [1000 * record["parts"].get(part, 0.0) for part in order]

    def draw(axes: Axes, narrow: bool) -> None:
        left = 0.0
        for part, value, colour in zip(order, values, COLOURS, strict=False):
            axes.barh(0, value, left=left, color=colour, height=0.6, label=f"{part} {value:.1f}", edgecolor=style.PAPER)
            left += value
        if plain:
            axes.scatter(plain, [0.55] * len(plain), color=style.INK, s=14, alpha=0.6, label="steps without instruments")
        axes.set_yticks([])
        axes.set_ylim(-0.4, 0.75)
        axes.set_xlim(0, 1.05 * max([left, *plain]))
        axes.set_xlabel("milliseconds")
        axes.figure.legend(loc="outside lower center", ncols=1 if narrow else 4)

    note = "The parts of a step in a row, and above them the lengths of single steps that ran without an instrument."
    return picture("step", "A step", note, draw, 2.6, 5.2)


def memory(trace: Trace) -> Picture:
    """Memory over the traced steps, with the spans of forward and backward passes."""
    every = max(1, len(trace.memory) // MEMORY_POINTS)
    blocks = [trace.memory[number : number + every] for number in range(0, len(trace.memory), every)]
    xs = [block[0][0] / 1000 for block in blocks]
    ys = [max(total for _, total in block) / 1e6 for block in blocks]

    def draw(axes: Axes, narrow: bool) -> None:
        for part, colour in (("forward", style.SKY), ("backward", style.BLOOM), ("optimiser", style.LEAF)):
            label: str | None = part
            for name, begin, end in trace.spans:
                if name == part:
                    axes.axvspan(begin / 1000, end / 1000, color=colour, alpha=0.16, linewidth=0, label=label)
                    label = None
        axes.plot(xs, ys, color=style.INK, linewidth=1.1)
        axes.set_xlabel("milliseconds, with torch.profiler")
        axes.set_ylabel("MB in use")
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, max(xs))
        axes.figure.legend(loc="outside lower center", ncols=3)

    note = "Memory of tensors above that before the traced steps. Each pair of bands is a micro-batch of the first worker."
    return picture("memory-curve", "Memory over time", note, draw, 3.4, 3.2)


def bars(id: str, heading: str, note: str, rows: Sequence[tuple[str, float]], unit: str) -> Picture:
    """One horizontal bar for each (name, value), the first on top."""
    shown = list(reversed(rows))

    def draw(axes: Axes, narrow: bool) -> None:
        names = [style.short(name, 20 if narrow else 60) for name, _ in shown]
        axes.barh(range(len(shown)), [value for _, value in shown], color=style.SKY, height=0.65)
        axes.set_yticks(range(len(shown)), names)
        axes.set_xlabel(unit)
        axes.grid(visible=False, axis="y")

    height = 1.0 + 0.28 * len(shown)
    return picture(id, heading, note, draw, height, height)


def histogram(latencies: Sequence[float], marks: Mapping[str, float]) -> Picture:
    """Latencies in milliseconds, with marks: name → milliseconds."""

    def draw(axes: Axes, narrow: bool) -> None:
        last = max(marks.values())
        axes.hist([each for each in latencies if each <= 1.1 * last], bins=30 if narrow else 60, color=style.SKY)
        for (name, value), colour in zip(marks.items(), (style.LEAF, style.SUN, style.BLOOM), strict=False):
            axes.axvline(value, color=colour, label=f"{name} {value:.1f}")
        axes.set_xlabel("milliseconds from request to response")
        axes.set_ylabel("requests")
        axes.figure.legend(loc="outside lower center", ncols=1 if narrow else 3)

    note = "How long requests take at this load. The few that take longer than the last mark by a tenth are not drawn."
    return picture("latency", "Latency", note, draw, 3.2, 3.4)
