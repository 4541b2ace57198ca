"""Commands for wrong labels: their ranking, and their correction."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitbloom.cli.options import COMPARE, TargetName, examples

app = typer.Typer()


@app.command("audit-labels", rich_help_panel=COMPARE, epilog=examples("bitbloom audit-labels petals"))
def audit_labels(
    target: TargetName,
    percentage: Annotated[
        float | None, typer.Option(help="List at least this percentage of all samples, in files of their own.", min=0, max=100)
    ] = None,
) -> None:
    """Bring the audit of labels up to date: reports/TARGET/label-errors.html and .csv."""
    from bitbloom.audit import command, stage
    from bitbloom.cli.build import build
    from bitbloom.config.target import Target
    from bitbloom.numerics import pins
    from bitbloom.pipeline import composition, graph

    if percentage is not None:
        pins.require(composition.compose(target).numerics.profile)  # this restarts the process
    build(target, until=graph.AUDIT)
    if percentage is not None:
        print(command.summary(command.run(Target.load(target, stage.READS), percentage)))


@app.command(rich_help_panel=COMPARE, epilog=examples("bitbloom relabel petals reports/petals/label-errors.csv"))
def relabel(
    target: TargetName,
    file: Annotated[Path, typer.Argument(help="The CSV of `audit-labels`, with the right labels in its column `verdict`.")],
) -> None:
    """Correct labels by an edited CSV, which makes a new version of the data: conf/relabel/TARGET.csv."""
    from bitbloom.audit import relabel as labels

    done = labels.run(target, file)
    print(f"{done.file}: corrected labels: {done.new:,} new, {done.labels:,} in all")
    if done.new:
        print(f"  next      make all TARGET={target}, and commit {done.file} with pipelines/{target}/")
