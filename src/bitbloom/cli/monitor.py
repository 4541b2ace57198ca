"""Commands for a service after its launch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitbloom.cli.options import MONITOR, TargetName, examples

app = typer.Typer()


@app.command(
    rich_help_panel=MONITOR,
    epilog=examples(
        "bitbloom robustness petals",
        "bitbloom robustness petals --beside model=cnn --beside petals-photos",
        "bitbloom robustness petals --unknown photos/ --samples 100",
    ),
)
def robustness(
    target: TargetName = "petals",
    beside: Annotated[
        list[str] | None,
        typer.Option(help="Another target, or overrides of this one such as model=cnn; the first is the mCE's reference."),
    ] = None,
    unknown: Annotated[
        Path | None,
        typer.Option(help="Photos (a folder) or texts (a file of lines) of no known class; by default synthetic ones."),
    ] = None,
    behaviour: Annotated[bool, typer.Option(help="Run the tests of behaviour.")] = True,
    samples: Annotated[int, typer.Option(help="The largest number of test samples; 0 for all.", min=0)] = 500,
) -> None:
    """Measure a model on damaged, changed and unknown inputs; write reports/TARGET/robustness.html and .json."""
    from bitbloom.monitoring.robustness import command
    from bitbloom.numerics import pins
    from bitbloom.pipeline import composition

    pins.require(composition.compose(target).numerics.profile)
    report = command.run(command.Request(target, beside or (), unknown, behaviour, samples))
    print(command.summary(report))
