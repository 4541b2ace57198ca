"""The profile of any stage but train: the stage alone, under cProfile, and under py-spy, in a scratch workspace."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.profile import charts, functions, processes, spy, workspace
from bitbloom.experiments.profile.content import Content, Flames, Row, Table, Tile, milliseconds, percent
from bitbloom.experiments.profile.phases import FLAMES
from bitbloom.pipeline import composition

STATISTICS = "cprofile.pstats"
MODULES, FUNCTIONS = 14, 25
"""Rows of the tables: those with most time."""
STARTING = "start and end of the interpreter"
OTHERS = "other modules"


def profile(target: str, name: str, scratch: Path, results: Path) -> Content:
    """Run a stage three times; write statistics, flame graph and numbers to `results`, and return the page.

    Raises:
        BitBloomError: there is no such stage, its inputs are missing, or it failed.
    """
    tree = composition.compose(target)
    stage = workspace.stage_of(target, name, tree)
    workspace.require_built(stage, tree)
    environment = workspace.environment(tree.numerics.profile)
    program, what = ["-m", f"bitbloom.stages.{name}", target], f"{name} of '{target}'"

    def cell(kind: str) -> Path:
        return workspace.make(scratch / kind, stage, tree)

    alone = processes.run([sys.executable, *program], cell("alone"), environment, what)
    # One worker: cProfile sees one process, and a pool could not import what it runs as the main program.
    command = [sys.executable, "-m", "cProfile", "-o", STATISTICS, *program]
    profiled = processes.run(command, cell("cprofile"), {**environment, "WORKERS": "1"}, what).wall
    shutil.move(scratch / "cprofile" / STATISTICS, results / STATISTICS)
    svg = cell("py-spy") / FLAMES
    code, problem = spy.recorded([sys.executable, *program], svg.parent, environment, svg)
    if code:
        raise BitBloomError(f"{what} failed under py-spy (exit code {code})")
    flames = "" if problem else svg.read_text(encoding="utf-8")
    if flames:
        canonical.write_text(results / FLAMES, flames)
    record = summary(functions.read(results / STATISTICS), alone, profiled)
    canonical.write_json(results / "profile.json", record)
    return content(target, name, record, flames, problem)


def summary(found: dict[functions.Key, Any], alone: processes.Taken, profiled: float) -> dict[str, Any]:
    """The numbers of profile.json, in seconds. The modules add up to the whole process under cProfile."""
    modules = functions.by_module(found)
    named = dict(list(modules.items())[:MODULES])
    rest = sum(modules.values()) - sum(named.values())
    return {
        "alone": alone.wall,
        "cpu": alone.cpu,
        "profiled": profiled,
        "imports": functions.imports(found),
        "modules": named | {OTHERS: rest, STARTING: max(0.0, profiled - sum(modules.values()))},
        "functions": [vars(row) for row in functions.by_function(found)[:FUNCTIONS]],
    }


def content(target: str, name: str, record: dict[str, Any], flames: str, problem: str) -> Content:
    """The whole page."""
    whole = sum(record["modules"].values())
    rows = [
        Row((module, milliseconds(seconds), percent(seconds / whole)), seconds / whole)
        for module, seconds in record["modules"].items()
    ]
    modules = Table(
        "modules",
        "Where the stage goes",
        "Own time of each module under cProfile, with one worker; functions in C count for the module that calls them. "
        "Imports are the finding, reading and running of modules.",
        ("module", "ms", "of the stage"),
        rows,
        shown=True,
        listed=MODULES + 2,
    )
    called = [
        Row((row["name"], milliseconds(row["own"]), milliseconds(row["total"]), f"{row['calls']:,}"))
        for row in record["functions"]
    ]
    columns = ("function", "own ms", "ms with calls", "calls")
    note = "Those with most time of their own. cProfile makes short functions look longer than they are."
    return Content(
        target=target,
        stage=name,
        lead=f"The stage {name} of {target}, in a folder with its declared inputs.",
        tiles=[
            Tile("the stage alone", f"{record['alone']:.2f} s", "with its worker processes, without instruments"),
            Tile("CPU time", f"{record['cpu']:.2f} s", "of all its processes"),
            Tile("under cProfile", f"{record['profiled']:.2f} s", "one process"),
            Tile("imports", f"{record['imports']:.2f} s", f"{percent(record['imports'] / record['profiled'])} of it"),
        ],
        sections=[
            modules,
            charts.bars("chart", "By module", "The same numbers.", list(record["modules"].items()), "seconds under cProfile"),
            Table("functions", "Functions", note, columns, called),
        ],
        flames=Flames("Samples of the whole process and its workers, from start to end.", flames, problem),
        footer=f"{STATISTICS} beside this page is for pstats, snakeviz and the like.",
    )
