"""Makes a profile: reports/<target>/profile/<stage>/, whole or not at all."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.profile import page, service, stage, training, workspace
from bitbloom.experiments.profile.phases import Plan
from bitbloom.pipeline import build as builder
from bitbloom.pipeline import composition, graph
from bitbloom.stages import STAGES

if TYPE_CHECKING:
    from bitbloom.experiments.profile.content import Content

SERVE = "serve"
PAGE = "index.html"


@dataclass(frozen=True)
class Options:
    """The length of a profile: steps with each instrument of a training, clients and seconds of a load."""

    steps: int = 10
    clients: int = 16
    seconds: int = 8


def profile(target: str, name: str, options: Options, build: bool = False) -> Path:
    """Profile `train`, `serve` or another stage of a target, print the tables, and return the page.

    Raises:
        BitBloomError: target or stage is unknown, an input is missing (without `build`), or the stage failed.
    """
    tree = composition.compose(target)
    known = [each.stage for each in graph.stages(target, tree)]
    if name not in (*known, SERVE):
        raise BitBloomError(f"'{target}' has no stage '{name}' to profile; it has: {', '.join(known)}, {SERVE}")
    if build and (until := stage_before(target, name)):
        builder.build(target, until)
    results = Path("reports") / target / "profile" / name
    with builder.reading(), canonical.replacing_folder(results) as folder, tempfile.TemporaryDirectory("-profile") as scratch:
        content = _measure(target, name, options, Path(scratch), folder)
        canonical.write_text(folder / PAGE, page.render(content))
    page.show(content, Console())
    return results / PAGE


def _measure(target: str, name: str, options: Options, scratch: Path, folder: Path) -> Content:
    if name == SERVE:
        return service.profile(target, service.Size(options.clients, options.seconds), scratch, folder)
    if name == "train":
        plan = Plan(plain=options.steps, clocked=options.steps, sampled=options.steps)
        return training.profile(target, plan, scratch, folder)
    return stage.profile(target, name, scratch, folder)


def stage_before(target: str, name: str) -> str:
    """The last stage whose outputs a profile reads; empty for the first stage."""
    if name == SERVE:
        return "package"
    tree = composition.compose(target)
    makers = workspace.makers(workspace.stage_of(target, name, tree), tree).values()
    return max(makers, key=STAGES.index, default="")
