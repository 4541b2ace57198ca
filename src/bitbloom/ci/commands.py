"""`bitbloom ci`: what the Make targets of the workflows call. Each writes Markdown to a folder, and exit code 1 says no."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Reports on a change, for the workflows of .github/.")

Folder = Annotated[Path, typer.Argument(help="Where the report is written.")]


@app.command()
def data(
    folder: Folder, changed: Annotated[list[str] | None, typer.Argument(help="Files that a change touches.")] = None
) -> None:
    """Hold the data of every target that a change concerns against its expectations."""
    from bitbloom.ci import data as reports

    _end(reports.report(changed or [], folder))


@app.command("changed-targets")
def changed_targets(
    base: Annotated[Path, typer.Argument(help="dvc.lock of the main branch.")],
    head: Annotated[Path, typer.Argument(help="dvc.lock of this one.")] = Path("dvc.lock"),
) -> None:
    """Print which targets' records in dvc.lock differ, as one line of JSON."""
    from bitbloom.ci import model

    print(json.dumps(model.changed_targets(base, head)))


@app.command()
def collect(target: str, folder: Folder) -> None:
    """Copy what `ci model` compares of a built target."""
    from bitbloom.ci import model

    model.collect(target, folder)


@app.command()
def model(
    base: Annotated[Path, typer.Argument(help="What was collected of the main branch.")],
    head: Annotated[Path, typer.Argument(help="What was collected of this one.")],
    folder: Folder,
) -> None:
    """Compare metrics, curves and digests with the main branch's."""
    from bitbloom.ci import model as reports

    reports.report(base, head, folder)


@app.command()
def record(target: str, folder: Folder) -> None:
    """Write down the digests of what `make verify` built, and on which CPU."""
    from bitbloom.ci import records

    records.record_rebuilt(target, folder)


@app.command()
def compare(records: Annotated[Path, typer.Argument(help="A folder with a folder a machine.")], folder: Folder) -> None:
    """Compare the records of machines; with the first differing step where two differ."""
    from bitbloom.ci import markdown
    from bitbloom.ci import records as machines

    text, agree = machines.compare(machines.read(records))
    markdown.write(folder, text)
    print(text)
    _end(agree)


@app.command()
def audit(folder: Folder) -> None:
    """Known vulnerabilities and licences of what the lock names."""
    from bitbloom.ci import audit as reports

    sound = reports.report(folder)
    print((folder / "comment.md").read_text(encoding="utf-8"))
    _end(sound)


@app.command()
def update(folder: Folder) -> None:
    """Write the working tree's changes of locks and claims as a patch, and what they are."""
    from bitbloom.ci import update as reports

    reports.write(folder)


def _end(good: bool) -> None:
    if not good:
        sys.exit(1)
