"""`bitbloom sweep`: commands of a hyperparameter search."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bitbloom.core.errors import BitBloomError

if TYPE_CHECKING:
    from bitbloom.experiments.sweep.history import History
    from bitbloom.experiments.sweep.study import Row

app = typer.Typer(no_args_is_help=True, help="Hyperparameter search: docs/sweeps.md.")

LONGEST = 80
"""Characters of a failure in the line of a trial."""
SHOWN = 10
"""Trials in the printed table, the best first."""

Name = Annotated[str, typer.Argument(help="A sweep: the name of its space, as in .bitbloom/sweeps/.")]
Number = Annotated[int | None, typer.Option("--trial", help="Its number; by default the winner.")]


@app.command()
def run(
    space: Annotated[Path, typer.Argument(help="The search space: conf/sweep/NAME.yaml.")],
    target: Annotated[str, typer.Option(help="Another target than the space's.")] = "",
    trials: Annotated[int, typer.Option(help="Another number of trials than the space's.", min=0)] = 0,
    engine: Annotated[str, typer.Option(help="local | ray | hydra | wandb | vertex.")] = "local",
) -> None:
    """Search a space with WORKERS trials at a time; after a kill, resume. Equal spaces give equal histories."""
    from bitbloom.experiments.sweep import engines, page
    from bitbloom.experiments.sweep.run import Sweep

    sweep = Sweep(space, target, trials)
    if engine == "wandb":
        from bitbloom.experiments.sweep import wandb_engine

        print(f"register it: wandb sweep {wandb_engine.write(sweep, space)}")
        return
    if engine == "vertex":
        import yaml

        from bitbloom.experiments.sweep import vertex_engine

        print(yaml.safe_dump({"studySpec": vertex_engine.study(sweep.space)}, sort_keys=False), end="")
        return
    history = sweep.run(engines.executor(engine), lambda rows: _heard(rows, sweep.space.metric))
    _show(history)
    print(f"page: {page.write(history)}")
    print(f"history: {sweep.folder / 'history.jsonl'}\nsha256:{history.digest()}")
    if not history.winner:
        failures = [row.failure for row in history.rows if row.failure]
        raise BitBloomError(f"no trial is complete{': the first failed: ' + failures[0] if failures else ''}")
    print(f"adopt it: make adopt SWEEP={sweep.name} AS=conf/{sweep.space.target}-best.yaml")


@app.command()
def trial(
    space: Annotated[Path, typer.Argument(help="The search space: conf/sweep/NAME.yaml.")],
    values: Annotated[list[str] | None, typer.Argument(help="KEY=VALUE of each searched key.")] = None,
    target: Annotated[str, typer.Option(help="Another target than the space's.")] = "",
    from_wandb: Annotated[bool, typer.Option("--wandb", help="Take the values from wandb.config, and log to that run.")] = False,
) -> None:
    """Run one trial, for an engine that proposes trials itself; print its result as JSON."""
    from dataclasses import asdict

    from bitbloom.core import canonical
    from bitbloom.experiments.sweep import wandb_engine
    from bitbloom.experiments.sweep.run import Sweep

    sweep = Sweep(space, target)
    found = wandb_engine.trial(sweep) if from_wandb else sweep.one(sweep.space.values(values or ()))
    print(canonical.json_line(asdict(found)), end="")
    raise typer.Exit(1 if found.failure else 0)


@app.command()
def adopt(
    name: Name,
    as_: Annotated[Path, typer.Option("--as", help="conf/TARGET.yaml, or conf/GROUP/CHOICE.yaml.")],
    trial: Number = None,
) -> None:
    """Write the winner as a target or as a choice of a config group, for the pipeline to build."""
    from bitbloom.experiments.sweep import history, winner

    following = winner.adopt(history.read(name), trial, as_)
    print(f"{as_}\nbuild it: {following}")


@app.command()
def verify(name: Name, trial: Number = None) -> None:
    """Build a trial again from nothing, and compare it with the history."""
    from bitbloom.experiments.sweep import check, history, records
    from bitbloom.pipeline import composition
    from bitbloom.provenance import rebuild

    found = history.read(name)
    row, rows = check.verify(found, trial)
    target = str(found.head["space"]["target"])
    ours = records.folder(history.folder(name), composition.compose(target, row.overrides)) / "models" / target
    theirs = rebuild.workspace(target, row.overrides) / "models" / target
    rebuild.show(f"trial {row.number} of sweep {name}", rows, ours, theirs)


@app.command()
def page(name: Name) -> None:
    """Write the page of a search: reports/sweeps/NAME.html."""
    from bitbloom.experiments.sweep import history
    from bitbloom.experiments.sweep import page as pages

    print(pages.write(history.read(name)))


def _heard(rows: list[Row], metric: str) -> None:
    """Print a line for each trial of a generation."""
    for row in rows:
        value = row.failure[:LONGEST] if row.value is None else f"{metric} {row.value:.6g}"
        searched = " ".join(row.overrides[-len(row.params) :])
        print(f"trial {row.number}: {row.state} after {len(row.curve)} epochs, {value}; {searched}", flush=True)


def _show(history: History) -> None:
    """Print the best trials."""
    from rich.console import Console
    from rich.table import Table

    space = history.head["space"]
    keys = sorted(space["parameters"])
    sign = -1 if space["direction"] == "maximize" else 1
    order = sorted(history.rows, key=lambda row: (row.state != "complete", sign * (row.value or 0.0), row.number))
    table = Table(
        "trial", "state", "epochs", space["metric"], *keys, title=f"sweep {history.head['sweep']}: {len(history.rows)} trials"
    )
    for row in order[:SHOWN]:
        values = [f"{value:.6g}" if isinstance(value, float) else str(value) for value in (row.params[key] for key in keys)]
        table.add_row(str(row.number), row.state, str(len(row.curve)), "–" if row.value is None else f"{row.value:.6g}", *values)
    Console(width=None if Console().is_terminal else 120).print(table)
