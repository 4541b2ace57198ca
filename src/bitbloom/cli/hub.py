"""Commands of Hugging Face's hub: `bitbloom hub push`, `bitbloom hub check`."""

from __future__ import annotations

from typing import Annotated

import typer

from bitbloom.cli.options import TargetName, examples

app = typer.Typer(
    help="Publish a model on Hugging Face's hub, and compare a published one with the digests.", no_args_is_help=True
)


@app.command(epilog=examples("bitbloom hub push petals org/name --dry-run"))
def push(
    target: TargetName,
    repository: Annotated[str, typer.Argument(help="org/name on the hub; created if it does not exist.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List every file with size and SHA-256, and call no hub.")] = False,
    private: Annotated[bool, typer.Option("--private", help="Create the repository as a private one.")] = False,
) -> None:
    """Commit model, graphs, card and digests to a repository. HF_TOKEN or `hf auth login` says who you are."""
    from bitbloom.hub import push as publication
    from bitbloom.pipeline.build import reading

    with reading():
        found = publication.plan(target, repository)
        publication.show(found)
        if not dry_run:
            revision = publication.push(found, private)
            print(f"compare it: bitbloom hub check {repository}@{revision}")


@app.command(epilog=examples("bitbloom hub check org/name@COMMIT"))
def check(
    name: Annotated[str, typer.Argument(help="org/name@commit, with the 40 digits of a commit of the repository.")],
    target: Annotated[str | None, typer.Option(help="A target; by default the one whose digests the repository has.")] = None,
) -> None:
    """Download every file and compare it with digests/ of this checkout; exit code 1 if one differs."""
    from bitbloom.hub import check as comparison

    comparison.show(name, comparison.check(name, target))
