"""`bitbloom profile`: called by `make profile`."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer()
PANEL = "Experiment"
EXAMPLES = "Examples:\n\nbitbloom profile petals\n\nbitbloom profile petals --stage serve"


@app.command(rich_help_panel=PANEL, epilog=EXAMPLES)
def profile(
    target: Annotated[str, typer.Argument(help="A target: the name of a file in conf/.")],
    stage: Annotated[str, typer.Option(help="train, serve, or any other stage: ingest … package.")] = "train",
    build: Annotated[bool, typer.Option(help="First build what the stage reads.")] = False,
    steps: Annotated[int, typer.Option(help="train: number of steps with each instrument.", min=1)] = 10,
    clients: Annotated[int, typer.Option(help="serve: number of clients.", min=1)] = 16,
    seconds: Annotated[int, typer.Option(help="serve: duration of the load.", min=1)] = 8,
) -> None:
    """Measure where the time and the memory of a stage or of the service go: a page, a trace, a flame graph."""
    from bitbloom.experiments.profile import make

    print(make.profile(target, stage, make.Options(steps, clients, seconds), build))
