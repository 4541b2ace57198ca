"""The page of a training's profile, from the numbers of profile.json and from the trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitbloom.experiments.profile import charts
from bitbloom.experiments.profile.content import Content, Flames, Row, Table, Tile, megabytes, milliseconds, percent
from bitbloom.experiments.profile.parts import ABOUT, BETWEEN, OTHER, PARTS
from bitbloom.experiments.profile.phases import TRACE
from bitbloom.experiments.profile.trace import OUTSIDE, Trace

OPERATIONS = 15
"""Rows of the table of operations, besides the sum of all others."""
IN_ORDER = (*(part for part in PARTS if part not in BETWEEN), OTHER)


def content(target: str, record: Mapping[str, Any], trace: Trace, svg: str, problem: str) -> Content:
    """The whole page."""
    return Content(
        target=target,
        stage="train",
        lead=f"Some steps of the training of {target}, by the code, the pins and the data of the train stage.",
        tiles=_tiles(record),
        sections=[
            _parts(record),
            charts.steps(record, IN_ORDER),
            _modules(record),
            _memory(record),
            *([charts.memory(trace)] if trace.memory else []),
            _operations(trace),
            *([_waiting(record)] if record["workers"] > 1 else []),
        ],
        flames=Flames(
            "Samples of all workers while they train. A frame is as wide as the time in it and in what it calls.", svg, problem
        ),
        footer=f"{TRACE} beside this page opens in ui.perfetto.dev, and in TensorBoard with torch-tb-profiler as log folder.",
    )


def _tiles(record: Mapping[str, Any]) -> list[Tile]:
    median, step = record["plain"]["median"], record["step"]
    overhead = "" if median is None else f"{100 * (step / median - 1):+.0f} % against steps without it"
    alone = [] if median is None else [Tile("a step", f"{milliseconds(median)} ms", "median, without instruments")]
    rate = record["batch"] / (median or step)
    return [
        *alone,
        Tile("samples per second", f"{rate:,.0f}", f"batches of {record['batch']}, {record['workers']} workers"),
        Tile("a step with the clock", f"{milliseconds(step)} ms", overhead),
        Tile("CPU time of a step", f"{milliseconds(sum(record['cpu'].values()))} ms", "of the first worker, with the clock"),
        Tile("memory in a step", f"{megabytes(record['memory']['peak'])} MB", "largest, above that before the step"),
        Tile("memory of the process", f"{megabytes(record['memory']['largest'])} MB", "largest, of the first worker"),
    ]


def _parts(record: Mapping[str, Any]) -> Table:
    rows = []
    for part in IN_ORDER:
        seconds, cpu = record["parts"].get(part, 0.0), record["cpu"].get(part, 0.0)
        fraction = seconds / record["step"]
        rows.append(Row((part, milliseconds(seconds), milliseconds(cpu), percent(fraction), ABOUT[part]), fraction))
    between = ", ".join(f"{part} {milliseconds(seconds)} ms" for part, seconds in record["between"].items())
    note = (
        "Time of the first worker in each part of a step, from the calls of named functions; "
        "each moment belongs to the innermost of them. CPU time is less where the worker waits, or where other programs use the "
        f"cores. Between all these steps, and not in the table: {between}."
    )
    return Table("parts", "Where a step goes", note, ("part", "ms", "CPU ms", "of the step", ""), rows, worded=True, shown=True)


def _modules(record: Mapping[str, Any]) -> Table:
    """Forward and backward time by module. The trace divides the backward time that the clock measured."""
    forward, backward = record["parts"].get("forward", 0.0), record["parts"].get("backward", 0.0)
    own = dict(record["modules"])
    own[OUTSIDE] = max(0.0, forward - sum(own.values()))
    derived = record["backward"]
    scale = backward / total if (total := sum(derived.values())) else 0.0
    names = sorted({*own, *derived}, key=lambda name: -(own.get(name, 0.0) + scale * derived.get(name, 0.0)))
    whole = sum(own.values()) + scale * total or 1.0
    rows = []
    for name in names:
        ahead, back = own.get(name, 0.0), scale * derived.get(name, 0.0)
        usage = record["usage"].get(name, {})
        cells = (
            name,
            milliseconds(ahead),
            milliseconds(back),
            percent((ahead + back) / whole),
            f"{record['parameters'].get(name, 0):,}",
            megabytes(usage.get("forward_peak", 0)),
            megabytes(usage.get("backward_peak", 0)),
            megabytes(usage.get("kept", 0)),
        )
        rows.append(Row(cells, (ahead + back) / whole))
    columns = ("module", "forward ms", "backward ms", "of both", "parameters", "peak forward MB", "peak backward MB", "kept MB")
    note = (
        "Time in the module itself, without the modules inside it; equal layers are one row. The backward time is that of the "
        "clock, divided as in the trace. Peaks count all memory in use while the module runs, from the start of the trace; "
        "kept is what a forward pass leaves for the backward pass, with the modules inside it."
    )
    return Table("modules", "Forward and backward by module", note, columns, rows)


def _memory(record: Mapping[str, Any]) -> Table:
    memory = record["memory"]
    named = {
        "weights": ("weights", "float32, one flat buffer"),
        "gradients": ("gradients", "one flat buffer of each micro-batch that the tree still holds has this size"),
        "optimiser": ("optimiser state", "two moments of each weight"),
        "peak": ("largest in a step", "activations, gradients and temporary tensors, above the memory before the step"),
        "largest": ("largest of the process", "resident, with libraries"),
    }
    rows = [Row((name, megabytes(memory[key]), about)) for key, (name, about) in named.items()]
    return Table("memory", "Memory", "Of the first worker.", ("", "MB", ""), rows, worded=True, shown=True)


def _operations(trace: Trace) -> Table:
    whole = sum(own for own, _ in trace.operations.values()) or 1.0
    steps = max(1, trace.steps)
    first = list(trace.operations.items())[:OPERATIONS]
    rest = list(trace.operations.values())[OPERATIONS:]
    if rest:
        first.append((f"{len(rest)} others", (sum(own for own, _ in rest), sum(calls for _, calls in rest))))
    rows = [
        Row((name, milliseconds(own / 1e6 / steps), percent(own / whole), f"{calls / steps:,.0f}"), own / whole)
        for name, (own, calls) in first
    ]
    note = "Time in the operation itself, in steps with torch.profiler, whose own work is in them."
    return Table("operations", "Operations of PyTorch", note, ("operation", "ms a step", "of all", "calls a step"), rows)


def _waiting(record: Mapping[str, Any]) -> Table:
    rows: Sequence[Row] = [
        Row((f"worker {rank}", milliseconds(seconds), megabytes(record["memory"]["workers"][rank])))
        for rank, seconds in enumerate(record["waiting"])
    ]
    columns = ("", "waiting, ms a step", "largest, MB")
    return Table("workers", "Workers", "How long each waits for the others, and the memory of its process.", columns, rows)
