"""Commands after the launch of a service."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bitbloom.cli.options import MONITOR, TargetName, examples
from bitbloom.core.errors import BitBloomError

app = typer.Typer()


@app.command(
    rich_help_panel=MONITOR,
    epilog=examples("bitbloom drift petals --data photos", "bitbloom drift petals --log gs://bucket/petals"),
)
def drift(
    target: TargetName,
    log: Annotated[str, typer.Option(help="Folder or bucket of a prediction log (BITBLOOM_LOG of the service).")] = "",
    data: Annotated[Path | None, typer.Option(help="A folder of photos, or a file of texts.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the page and the JSON; by default reports/TARGET/drift.")] = None,
    rows: Annotated[int, typer.Option(help="Latest rows of the log.", min=1)] = 5000,
) -> None:
    """Compare inputs with the training data. Exit code 0: no drift, 3: drift, 1: error."""
    from bitbloom.monitoring.drift import command

    if bool(log) == bool(data):
        raise BitBloomError("name what to compare: either --log FOLDER or --data FOLDER")
    found = command.run(target, log, data, out or Path("reports") / target / "drift", rows)
    for line in found.lines:
        print(line)
    if found.unread:
        print(f"{found.unread:,} inputs have no prediction and are left out", file=sys.stderr)
    print(f"{found.html}\n{found.json}")
    if found.comparison.drifted:
        sys.exit(command.DRIFTED)


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
