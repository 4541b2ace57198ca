"""`bitbloom runs` and `bitbloom compare`: the runs of this checkout, and what differs between them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

PANEL = "Experiment"
"""The panel of the help, as in `bitbloom.cli.options`."""
SHOWN = 30
"""Rows of the table, unless `--last` says another number."""
WANDB = Path(".bitbloom/wandb")

Wandb = Annotated[Path, typer.Option(help="A folder with folders of runs of W&B's client.")]


@app.command(
    rich_help_panel=PANEL,
    epilog="Examples:\n\nbitbloom runs petals --sort accuracy\n\nbitbloom runs --tensorboard .bitbloom/tensorboard",
)
def runs(
    target: Annotated[str | None, typer.Argument(help="Only the runs of this target.")] = None,
    sort: Annotated[str | None, typer.Option(help="A metric (the best first), seconds, or when.")] = None,
    last: Annotated[int | None, typer.Option(min=1, help=f"The number of rows; {SHOWN} in the table, else all.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print all that is recorded as a JSON array.")] = False,
    tensorboard: Annotated[Path | None, typer.Option(help="Write curves to this folder, for TensorBoard.")] = None,
    wandb: Wandb = WANDB,
) -> None:
    """List the runs of this checkout, the newest first, from local records and W&B's folders."""
    from bitbloom.experiments.runs import find, listing
    from bitbloom.experiments.runs.tensorboard import export

    found = find.every(wandb)
    _warn(found.messages)
    chosen = listing.ordered(find.of_targets(found.runs, target), sort)
    shown = chosen[: last or (None if json or tensorboard else SHOWN)]
    if tensorboard:
        for path in export(shown, tensorboard):
            print(path)
    elif json:
        sys.stdout.write(listing.json_text(shown))
    elif shown:
        listing.show(shown, sort)
        if len(shown) < len(chosen):
            print(f"{len(chosen) - len(shown)} more: --last {len(chosen)}")
    else:
        print("no run is here yet: make all")


@app.command(
    rich_help_panel=PANEL,
    epilog="Examples:\n\nbitbloom compare petals petals-8ac806894266\n\nbitbloom compare 3f2a .bitbloom/wandb/offline-run-…",
)
def compare(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN RUN …", help="An id or its start, a target, a variant's workspace, or a folder."),
    ] = None,
    page: Annotated[Path | None, typer.Option(help="The page; by default reports/compare/<id>-<id>.html.")] = None,
    wandb: Wandb = WANDB,
) -> None:
    """Compare runs: configuration, code, locks, data, metrics, digests and curves, here and as one HTML page."""
    from bitbloom.experiments.runs import find, terminal
    from bitbloom.experiments.runs import page as pages
    from bitbloom.experiments.runs.compare import compare as compared

    found = find.named(names or [], wandb)
    _warn(found.messages)
    comparison = compared(found.runs)
    print(terminal.text(comparison))
    print(f"\n{pages.write(comparison, page)}")


def _warn(messages: Iterable[str]) -> None:
    for message in messages:
        print(f"warning: {message}", file=sys.stderr)
