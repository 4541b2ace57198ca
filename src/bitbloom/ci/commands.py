"""`bitbloom ci`: commands for the Make targets of the workflows. Each writes Markdown to a folder; exit code 1 is a failure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Reports for the workflows of .github/.")

Folder = Annotated[Path, typer.Argument(help="Folder of the report.")]


@app.command()
def data(
    folder: Folder,
    changed: Annotated[list[str] | None, typer.Argument(help="Files that a change touches.")] = None,
    base: Annotated[str, typer.Option(help="The revision before the change; without it, no data are compared.")] = "",
) -> None:
    """Check the data of every affected target against its expectations, and list the samples that differ."""
    from bitbloom.ci import data as reports

    raise typer.Exit(0 if reports.report(changed or [], folder, base) else 1)


@app.command()
def record(target: str, folder: Folder) -> None:
    """Record the digests of the outputs of `make verify`, and the CPU."""
    from bitbloom.ci import records

    records.record_rebuilt(target, folder)


@app.command()
def compare(records: Annotated[Path, typer.Argument(help="A folder with one folder for each machine.")], folder: Folder) -> None:
    """Compare the records of machines. For different ones, show the first different step."""
    from bitbloom.ci import markdown
    from bitbloom.ci import records as machines

    text, agree = machines.compare(machines.read(records))
    markdown.write(folder, text)
    print(text)
    raise typer.Exit(0 if agree else 1)
