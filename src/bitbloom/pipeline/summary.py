"""What a build ends with: how good the model is, which bytes it is, and what to do next."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bitbloom import tasks
from bitbloom.core import canonical
from bitbloom.core.digests import digest
from bitbloom.pipeline import composition

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
    suffix = f" TARGET={target}"
    if until == "all" and workspace == Path():
        for command in (f"make serve{suffix}", f".venv/bin/bitbloom predict {target} {example(target)}"):
            console.print(f"  {'next':9} {command}")
    elif until in NEXT:
        console.print(f"  {'next':9} {NEXT[until]}{suffix}")


def example(target: str) -> str:
    """A file that the target's model could be asked about."""
    return tasks.samples(composition.compose(target).task).EXAMPLE


def rows(target: str, workspace: Path) -> list[tuple[str, str]]:
    """Name and value of what is there."""
    found: list[tuple[str, str]] = []
    metrics = workspace / "reports" / target / "metrics.json"
    if metrics.exists():
        numbers = canonical.read_json(metrics)
        found += [(name.replace("_", " "), f"{numbers[name]:.4f}") for name in SCORES if name in numbers]
    for name, path in (
        ("data", workspace / "data/processed" / target),
        ("model", workspace / "models" / target / "model.safetensors"),
        ("Bento", workspace / "dist" / f"{target}.bento"),
    ):
        if path.exists():
            found.append((name, f"sha256:{digest(path)}"))
    report = workspace / "reports" / target / "index.html"
    if report.exists():
        found.append(("report", str(report)))
    if workspace != Path():
        found.append(("workspace", str(workspace)))
    return found
