"""Commands that look after the checkout."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bitbloom.cli.options import MAINTAIN, Backend, BaseImage, Certificates, ImageName, Index, Overrides, TargetName, examples
from bitbloom.core.errors import BitBloomError

app = typer.Typer()


@app.command(rich_help_panel=MAINTAIN)
def graph(check: Annotated[bool, typer.Option("--check", help="Only list the files that are not current.")] = False) -> None:
    """Write pipelines/, params/ and dvc.yaml from conf/ and the imports of the stages."""
    from bitbloom.pipeline import graph as build_graph

    if check:
        stale = build_graph.every_stale()
        if stale:
            raise BitBloomError(f"not current: {', '.join(map(str, stale))}: run `make graph`")
        return
    from bitbloom.pipeline import build as builder

    with builder.build_lock():
        for path in build_graph.write():
            print(path)


@app.command(rich_help_panel=MAINTAIN, epilog=examples("bitbloom merge", "bitbloom merge --side theirs"))
def merge(
    side: Annotated[str | None, typer.Option(help="ours or theirs: the side to take where both changed a part.")] = None,
) -> None:
    """Resolve merge conflicts: generate files anew, join dvc.lock by stage and digests by output, and `git add` them."""
    from bitbloom.pipeline import build as builder
    from bitbloom.pipeline import merging

    with builder.build_lock():
        print("\n".join(merging.resolve(side)) or "no generated file has a merge conflict")


@app.command(rich_help_panel=MAINTAIN, epilog=examples("bitbloom config petals train.epochs=3"))
def config(target: TargetName, overrides: Overrides = None) -> None:
    """Print a target's composed configuration."""
    from bitbloom.pipeline import composition as configuration

    sys.stdout.write(configuration.yaml_text(configuration.compose(target, overrides or ())))


@app.command(rich_help_panel=MAINTAIN)
def weights() -> None:
    """Fetch all locked pretrained weights and check them."""
    from bitbloom.models import weights as pretrained

    for name in pretrained.names():
        entry = pretrained.locked(name)
        print(f"{name}: {entry.package} {entry.version}, {pretrained.ensure(name)} ({entry.terms})")


@app.command("training-image", rich_help_panel=MAINTAIN)
def training_image(
    backend: Backend = "podman",
    image: ImageName = "",
    base_image: BaseImage = "",
    ca: Certificates = None,
    index: Index = "",
    wheels: Annotated[Path | None, typer.Option(help="A folder with the locked CPU build of torch.")] = None,
) -> None:
    """Build a training image with this commit and its packages, and print its name and its id."""
    from bitbloom.serving import container

    options = container.Options(backend, image or "bitbloom/training", base_image, ca, index)
    name, digest = container.training(options, wheels)
    print(f"{name} sha256:{digest}")


@app.command(rich_help_panel=MAINTAIN)
def track(target: TargetName, workspace: Annotated[Path, typer.Option(help="The workspace of the build.")] = Path()) -> None:
    """Log a finished build to Weights & Biases, where its own settings say: WANDB_PROJECT, WANDB_MODE, `wandb login`, …"""
    from bitbloom.pipeline.tracking import process

    process.log(target, workspace)


@app.command(rich_help_panel=MAINTAIN)
def targets() -> None:
    """List the targets."""
    from bitbloom.pipeline import composition as configuration

    for name in configuration.targets():
        tree = configuration.compose(name)
        print(f"{name:16} {tree.task:10} {tree.title}")
