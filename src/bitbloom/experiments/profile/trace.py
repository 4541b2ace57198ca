"""What a Chrome trace of torch.profiler tells about modules: their time in the backward pass, and memory.

An operation of the backward pass has the sequence number of the forward operation that it differentiates, which lies in the span
of a module (`MODULE`). Memory is counted from the start of the trace.
"""

from __future__ import annotations

import gzip
import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SPAN = "part: "
MODULE = "module: "
"""Beginnings of the names of spans that the instruments add."""
BACKWARD = "autograd::engine::evaluate_function: "
STEP = "ProfilerStep#"
MEMORY = "[memory]"
OUTSIDE = "outside of modules"
"""Loss, and the sum of gradients."""

Event = dict[str, Any]


@dataclass
class Usage:
    """Of one module, over all traced steps.

    Attributes:
        backward: time of its operations' derivatives, µs.
        forward_peak, backward_peak: largest memory in use during its passes, bytes since the start of the trace.
        kept: memory that its forward pass leaves for the backward pass, bytes, the largest of its calls.
    """

    backward: float = 0.0
    forward_peak: int = 0
    backward_peak: int = 0
    kept: int = 0


@dataclass
class Trace:
    """What is read from a trace.

    Attributes:
        modules: name → usage.
        operations: name → (self time in µs, calls) in the traced steps.
        memory: (µs since the first step, bytes) in order.
        spans: (part, first, last) in µs since the first step.
        seconds: length of the traced steps.
        steps: their number.
    """

    modules: dict[str, Usage] = field(default_factory=lambda: defaultdict(Usage))
    operations: dict[str, tuple[float, int]] = field(default_factory=dict)
    memory: list[tuple[float, int]] = field(default_factory=list)
    spans: list[tuple[str, float, float]] = field(default_factory=list)
    seconds: float = 0.0
    steps: int = 0

    @property
    def peak(self) -> int:
        """The largest memory in use, bytes since the start of the trace."""
        return max((total for _, total in self.memory), default=0)


def events(file: Path) -> list[Event]:
    """The events of a compressed trace, by time."""
    with gzip.open(file, "rt", encoding="utf-8") as stream:
        found: list[Event] = json.load(stream)["traceEvents"]
    return sorted((event for event in found if "ts" in event), key=lambda event: (event["ts"], -event.get("dur", 0)))


def read(file: Path) -> Trace:
    """Read a trace."""
    return summarise(events(file))


def summarise(found: list[Event]) -> Trace:
    """What the events of a trace tell, which are sorted by time."""
    steps = [event for event in found if event["name"].startswith(STEP) and event.get("cat") == "user_annotation"]
    if not steps:
        return Trace()
    first, last = min(map(_start, steps)), max(map(_end, steps))
    inside = [event for event in found if first <= event["ts"] <= last]
    trace = Trace(seconds=(last - first) / 1e6, steps=len(steps))
    trace.memory = [(event["ts"] - first, int(event["args"]["Total Allocated"])) for event in inside if _is_memory(event)]
    trace.spans = [
        (event["name"].removeprefix(SPAN), event["ts"] - first, _end(event) - first)
        for event in inside
        if event["name"].startswith(SPAN) and event.get("cat") == "user_annotation"
    ]
    trace.operations = dict(_operations(inside))
    _fill_modules(trace, inside, first)
    return trace


def _fill_modules(trace: Trace, inside: list[Event], first: float) -> None:
    level = _Level(trace.memory)
    of_number: dict[int, str] = {}
    for event, module in _with_modules(inside):
        begin, end = event["ts"] - first, _end(event) - first
        name, number = event["name"], event.get("args", {}).get("Sequence number")
        if name.startswith(MODULE):
            usage = trace.modules[name.removeprefix(MODULE)]
            usage.forward_peak = max(usage.forward_peak, level.peak(begin, end))
            usage.kept = max(usage.kept, level.at(end) - level.at(begin))
        elif name.startswith(BACKWARD):
            usage = trace.modules[of_number.get(number or -1, OUTSIDE)]
            usage.backward += event["dur"]
            usage.backward_peak = max(usage.backward_peak, level.peak(begin, end))
        elif number is not None and not event["args"].get("Fwd thread id"):
            of_number[number] = module  # the last operation with a number is the one that is differentiated


def _with_modules(inside: Iterable[Event]) -> Iterator[tuple[Event, str]]:
    """Operations and spans of modules, each with the innermost module that it runs in."""
    open_spans: dict[Any, list[Event]] = defaultdict(list)
    for event in inside:
        is_module = event["name"].startswith(MODULE) and event.get("cat") == "user_annotation"
        if not is_module and event.get("cat") != "cpu_op":
            continue
        spans = open_spans[event["tid"]]
        while spans and _end(spans[-1]) <= event["ts"]:
            spans.pop()
        yield event, spans[-1]["name"].removeprefix(MODULE) if spans else OUTSIDE
        if is_module:
            spans.append(event)


def _operations(inside: Iterable[Event]) -> Iterator[tuple[str, tuple[float, int]]]:
    """Name → self time and calls, the longest first."""
    own: dict[str, float] = defaultdict(float)
    calls: dict[str, int] = defaultdict(int)
    running: dict[Any, list[Event]] = defaultdict(list)
    for event in inside:
        if event.get("cat") != "cpu_op":
            continue
        stack = running[event["tid"]]
        while stack and _end(stack[-1]) <= event["ts"]:
            stack.pop()
        if stack:
            own[stack[-1]["name"]] -= event["dur"]
        own[event["name"]] += event["dur"]
        calls[event["name"]] += 1
        stack.append(event)
    yield from sorted(((name, (own[name], calls[name])) for name in own), key=lambda pair: -pair[1][0])


class _Level:
    """Memory in use by time."""

    def __init__(self, memory: list[tuple[float, int]]) -> None:
        self.times = [when for when, _ in memory]
        self.totals = [total for _, total in memory]

    def at(self, when: float) -> int:
        """The level at a time."""
        number = bisect_right(self.times, when)
        return self.totals[number - 1] if number else 0

    def peak(self, begin: float, end: float) -> int:
        """The largest level between two times."""
        low, high = bisect_right(self.times, begin), bisect_right(self.times, end)
        return max(self.totals[max(0, low - 1) : high], default=0)


def _is_memory(event: Event) -> bool:
    return bool(event["name"] == MEMORY and event["args"].get("Device Type") == 0)


def _start(event: Event) -> float:
    return float(event["ts"])


def _end(event: Event) -> float:
    return float(event["ts"] + event["dur"])
