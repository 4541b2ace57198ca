"""The summary that a build prints at its end: metrics, digests, and the next command."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from bitbloom import tasks
from bitbloom.config.target import Target
from bitbloom.core import canonical
from bitbloom.core.digests import digest
from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import composition, graph
from bitbloom.serving import model_files
from bitbloom.stages import package

SCORES = ("accuracy", "macro_f1", "f1", "cider_d", "t2i_recall_at_1")
NEXT = {
    "ingest": "make validate",
    "validate": "make train",
    "prepare": "make train",
    "features": "make train",
    "train": "make evaluate",
    "evaluate": "make package",
    "export": "make package",
}


def show(target: str, workspace: Path, until: str) -> None:
    """Print the summary of a target's build."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"\n[bold]{target}[/bold]: built" + ("" if until == "all" else f" up to {until}"))
    for name, value in rows(target, workspace):
        console.print(f"  {name:9} {value}")
    if until == graph.AUDIT:
        for path in graph.WRITES[until]:
            console.print(f"  {'audit':9} {workspace / path.format(target=target)}")
    suffix = f" TARGET={target}"
    if until == "all" and workspace == Path():
        for command in (f"make serve{suffix}", f".venv/bin/bitbloom predict {target} {example(target)}"):
            console.print(f"  {'next':9} {command}")
    elif until in NEXT:
        console.print(f"  {'next':9} {NEXT[until]}{suffix}")


def example(target: str) -> str:
    """The name of an example input file of the target's task."""
    return tasks.samples(composition.compose(target).task).EXAMPLE


def rows(target: str, workspace: Path) -> list[tuple[str, str]]:
    """Name and value of each metric and output that exists."""
    found: list[tuple[str, str]] = []
    metrics = workspace / "reports" / target / "metrics.json"
    if metrics.exists():
        numbers = canonical.read_json(metrics)
        found += [(name.replace("_", " "), f"{numbers[name]:.4f}") for name in SCORES if name in numbers]
    found += [(name, f"sha256:{value}") for name, value in digests(target, workspace)]
    report = workspace / "reports" / target / "index.html"
    if report.exists():
        found.append(("report", str(report)))
    if workspace != Path():
        found.append(("workspace", str(workspace)))
    return found


def digests(target: str, workspace: Path) -> Iterator[tuple[str, str]]:
    """Name and SHA-256 of each output that exists.

    `weights` is `model.safetensors`. `model` is the exported model that a service runs, and `Bento` the files of the Bento: a
    service shows both under the same names.
    """
    data, weights = workspace / "data/processed" / target, workspace / "models" / target / "model.safetensors"
    if data.exists():
        yield "data", digest(data)
    if weights.exists():
        yield "weights", digest(weights)
    model = model_digest(target, workspace)
    if model:
        yield "model", model
    bento = workspace / "reports" / target / "bento.json"
    if bento.exists():
        yield "Bento", canonical.read_json(bento)["digest"]


def model_digest(target: str, workspace: Path) -> str:
    """The digest of the exported model that the service of a target runs; empty before the export stage."""
    with contextlib.suppress(BitBloomError, FileNotFoundError), contextlib.chdir(workspace):
        return model_files.digest(package.served(Target.load(target, ["service"])))
    return ""
