"""Commands for DVC's remote: configure it, push to it, pull from it, and compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitbloom.cli.options import DATA, TargetName, Until, examples

app = typer.Typer()

Account = "an account: user:…, group:…, serviceAccount:…, or its e-mail address"


@app.command(
    rich_help_panel=DATA,
    epilog=examples("bitbloom remote gs://bucket/prefix", "bitbloom remote /mnt/shared/bitbloom --create"),
)
def remote(
    address: Annotated[str, typer.Argument(help="gs://bucket/prefix, or the path of a folder.")],
    create: Annotated[bool, typer.Option("--create", help="Create the bucket or the folder.")] = False,
    project: Annotated[str, typer.Option(help="The id of the Google Cloud project that a new bucket belongs to.")] = "",
    location: Annotated[str, typer.Option(help="Where a new bucket is, for instance europe-west4.")] = "",
    writer: Annotated[str, typer.Option(help=f"Who may push and pull: {Account}.")] = "",
    reader: Annotated[str, typer.Option(help=f"Who may pull: {Account}.")] = "",
    credentials: Annotated[Path | None, typer.Option(help="A service account's key file, for this checkout alone.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the commands and run none.")] = False,
) -> None:
    """Make a bucket or a folder the remote, in a .dvc/config that is ready to commit."""
    from bitbloom.pipeline.remote.configure import configure
    from bitbloom.pipeline.remote.rights import Wanted

    configure(address, Wanted(create, project, location, writer, reader), credentials, dry_run)


@app.command("remote-demo", rich_help_panel=DATA)
def remote_demo(target: TargetName = "petals-tiny") -> None:
    """Push a target to an emulated bucket, and show a second clone that pulls it: gate, files, prediction."""
    from bitbloom.pipeline.remote import demo

    demo.run(target)


@app.command(rich_help_panel=DATA, epilog=examples("bitbloom push petals", "bitbloom push petals --until prepare"))
def push(target: TargetName, until: Until = "all") -> None:
    """Send what DVC tracks of a target, and the records of its runs, to the remote."""
    from bitbloom.pipeline.remote import push as pushing
    from bitbloom.pipeline.remote import settings

    print(pushing.in_words(target, pushing.push(target, until), settings.required().url))


@app.command(rich_help_panel=DATA, epilog=examples("bitbloom pull petals", "bitbloom pull petals --until ingest"))
def pull(target: TargetName, until: Until = "all") -> None:
    """Bring what the remote has of a target; name what was never pushed."""
    from bitbloom.pipeline.remote import pull as pulling

    print(pulling.pull(target, until))


@app.command("data-status", rich_help_panel=DATA)
def data_status(target: TargetName, until: Until = "all") -> None:
    """Show which outputs of a target this checkout and the remote have."""
    from bitbloom.pipeline.remote import status

    url, rows = status.status(target, until)
    status.show(target, url, rows)
