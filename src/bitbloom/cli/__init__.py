"""`bitbloom`, or `python -m bitbloom`: the command line. `bitbloom --help` shows the commands in panels, with examples."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bitbloom import __version__
from bitbloom.ci import commands as ci_commands
from bitbloom.cli import audit, build, compare, data, hub, maintain, monitor, use
from bitbloom.cli.options import EXPERIMENT, MAINTAIN, MONITOR, USE, examples
from bitbloom.core import checkout
from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.profile import commands as profile_commands
from bitbloom.experiments.runs import commands as runs_commands
from bitbloom.experiments.sweep import commands as sweep_commands

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


def main() -> None:
    """Entry point: a BitBloomError, or a package that is not installed, becomes one line on stderr and exit code 1."""
    try:
        checkout.require()
        app(prog_name="bitbloom")
    except BitBloomError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except ModuleNotFoundError as error:
        if (error.name or "bitbloom").split(".")[0] == "bitbloom":
            raise
        print(f"error: {error}: `make setup` installs all packages, `pip install '.[build]'` those of a build", file=sys.stderr)
        sys.exit(1)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"bitbloom {__version__}")
        raise typer.Exit


@app.callback(
    epilog=examples(
        "bitbloom build petals",
        "bitbloom train petals train.epochs=3",
        "bitbloom predict petals photo.jpg",
        "bitbloom ask http://127.0.0.1:3000 photo.jpg",
        "bitbloom --install-completion",
    )
)
def root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """One commit, one set of bytes."""


for commands in (build, data, use, runs_commands, monitor, compare, audit, maintain):
    app.add_typer(commands.app)
app.add_typer(sweep_commands.app, name="sweep", rich_help_panel=EXPERIMENT)
app.add_typer(profile_commands.app)
app.add_typer(hub.app, name="hub", rich_help_panel=USE)
app.add_typer(monitor.stack, name="monitor", rich_help_panel=MONITOR)
app.add_typer(ci_commands.app, name="ci", rich_help_panel=MAINTAIN)
