"""Arguments and options that several commands have, and the panels of the help."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bitbloom.config.target import Target

BUILD, USE, EXPERIMENT, COMPARE = "Build", "Use a model", "Experiment", "Compare and verify"
DATA, MONITOR, MAINTAIN = "Share data", "Monitor", "Maintain"
"""The panels of the help."""


def examples(*lines: str) -> str:
    """The end of a help text: one example a line."""
    return "\n\n".join(["Examples:", *lines])


def _targets(incomplete: str) -> list[str]:
    """Completion in the shell: the targets of conf/ that start so."""
    from bitbloom.pipeline import composition as configuration

    return [name for name in configuration.targets() if name.startswith(incomplete)]


TargetName = Annotated[str, typer.Argument(help="A target: the name of a file in conf/.", autocompletion=_targets)]
Until = Annotated[str, typer.Option(help="The last stage: ingest … package, or all.")]
Backend = Annotated[str, typer.Option(help="podman or docker.")]
ImageName = Annotated[str, typer.Option(help="Name of the image; by default bitbloom/TARGET, or bitbloom/training.")]
BaseImage = Annotated[str, typer.Option(help="Base image: an image with Python 3.11 and pip.")]
Certificates = Annotated[Path | None, typer.Option(help="Certificates to trust during the installation of packages, PEM.")]
Index = Annotated[str, typer.Option(help="Address of the package index.")]
Overrides = Annotated[list[str] | None, typer.Argument(help="key=value: any key of the configuration.")]


def load_target(name: str) -> Target:
    """A target by its name. Raises BitBloomError for an unknown one."""
    from bitbloom.config.target import Target

    return Target.load(name)
