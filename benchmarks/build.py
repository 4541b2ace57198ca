"""Compare the time of a build, cold and after a change: `make all`, plain `dvc repro`, and Snakemake with the same steps.

    python benchmarks/build.py [--runs 3] [--json results.json]

Each run of each tool has a fresh clone of this checkout's commit, with this venv and empty caches. The target has imported photos
at the size of `petals-tiny` (its 192 photos), so that a photo can change. All tools run the stages of its `dvc.yaml`: plain
`dvc repro` reads it, and the Snakefile is generated from it. Snakemake lists every photo as an input, as its users do; it
compares times, and the content of small files. Our time includes more: `make all` installs the Bento, writes the digests and
prints a summary. Needs `make all TARGET=petals-tiny` and a network for Snakemake's venv.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from PIL import Image, ImageEnhance
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bitbloom.core import canonical, checkout
from bitbloom.pipeline import build, graph

ROOT = Path(__file__).resolve().parents[1]
SNAKEMAKE = Path(".bitbloom/snakemake-venv")
DRAWN, TARGET = "data/raw/petals-tiny", "bench"
OWN = f"data/external/{TARGET}"
CONFIG = f"""\
defaults: [base, {{source: folder}}, {{model: vit-conv}}, {{augment: garden}}, {{train: scratch}}, {{numerics: portable}}, _self_]
task: petals
title: Photos of a benchmark
source: {{path: {OWN}}}
gate: {{imbalance: 20.0, class_rows: 10}}
prepare: {{image_size: 96}}
model: {{hidden_size: 96, layers: 2}}
train: {{epochs: 12, batch_size: 64, max_steps: 24, checkpoint_every: 1}}
evaluate: {{bootstrap: 100}}
export: {{calibration_samples: 32}}
service: {{title: Photos of a benchmark}}
"""


@dataclass(frozen=True)
class Tool:
    """A build tool.

    Attributes:
        name: its name in the table.
        commands: the commands that bring the target up to date.
        config: the file in which its user changes a key.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    config: str


PARAMS = f"params/{TARGET}.yaml"
ENDS = tuple(graph.stage_name(stage, TARGET) for stage in graph.ENDS)
TOOLS = (
    Tool("make all", (("make", "all", f"TARGET={TARGET}"),), f"conf/{TARGET}.yaml"),
    Tool("dvc repro", (("dvc", "add", "--quiet", OWN), ("dvc", "repro", *ENDS)), PARAMS),
    Tool("Snakemake", ((str(ROOT / SNAKEMAKE / "bin/snakemake"), "--cores", "all", "--quiet", "all"),), PARAMS),
)


def source_line(place: Path, _tool: Tool) -> None:
    """Add a comment to a module that only the report imports."""
    with (place / "src/bitbloom/evaluation/report/style.py").open("a", encoding="utf-8") as stream:
        stream.write("# a comment\n")


def config_key(place: Path, tool: Tool) -> None:
    """Change the number of photos that calibrate int8; only export reads it."""
    file = place / tool.config
    file.write_text(
        file.read_text(encoding="utf-8").replace("calibration_samples: 32", "calibration_samples: 24"), encoding="utf-8"
    )


def one_photo(place: Path, _tool: Tool) -> None:
    """Make the first photo brighter."""
    file = min((place / OWN).glob("*/*.jpg"))
    brighter = ImageEnhance.Brightness(Image.open(file)).enhance(1.2)
    brighter.save(file, quality=95)


def nothing(_place: Path, _tool: Tool) -> None:
    """Change nothing."""


STEPS: dict[str, Callable[[Path, Tool], None]] = {
    "cold": nothing,
    "one source line (report)": source_line,
    "one config key (export)": config_key,
    "one photo": one_photo,
    "nothing changed": nothing,
}


def clone(place: Path) -> None:
    """Clone this checkout's commit, and add the benchmark's target, its photos and this venv."""
    subprocess.run(["git", "clone", "--quiet", ROOT.as_uri(), str(place)], check=True)
    (place / ".venv").symlink_to(ROOT / ".venv")
    (place / ".bitbloom").mkdir()
    for stamp in ("venv-cpu", "venv-dev"):
        (place / ".bitbloom" / stamp).touch()
    (place / f"conf/{TARGET}.yaml").write_text(CONFIG, encoding="utf-8")
    for folder in (path for path in (ROOT / DRAWN).iterdir() if path.is_dir()):
        shutil.copytree(folder, place / OWN / folder.name)
    run(place, ("bitbloom", "graph"))
    run(place, ("dvc", "add", "--quiet", OWN))
    (place / "Snakefile").write_text(snakefile(place), encoding="utf-8")


def run(place: Path, command: tuple[str, ...]) -> None:
    """Run a command of a tool; on failure, show its output and exit."""
    paths = {"PYTHONPATH": str(place / "src"), "PATH": f"{ROOT / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"}
    own = {"BITBLOOM_TRACK": "0", "DVC_SITE_CACHE_DIR": str(place / ".bitbloom/dvc"), "BENTOML_HOME": str(place / "dist/bentoml")}
    environment = {key: value for key, value in build.environ("portable").items() if not key.startswith("MAKE")}
    done = subprocess.run(command, cwd=place, env=environment | paths | own, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: {' '.join(command)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")


def snakefile(place: Path) -> str:
    """The stages of the target's `dvc.yaml` as rules: the same commands, inputs, outputs and configuration keys."""
    pipeline = place / graph.pipeline(TARGET) / "dvc.yaml"
    stages: dict[str, Any] = yaml.safe_load(pipeline.read_text(encoding="utf-8"))["stages"]
    last = [path for name in graph.ENDS for path in outputs(stages[name])]
    rules = [rule(name, stage) for name, stage in stages.items()]
    head = f"import yaml\nfrom pathlib import Path\nP = yaml.safe_load(open({PARAMS!r}))\n"
    return "\n".join([head, f"rule all:\n    input: {last}\n", *rules])


def outputs(stage: dict[str, Any]) -> list[str]:
    """Paths of a stage's outputs; an entry with options is a mapping of one key."""
    entries = [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def rule(name: str, stage: dict[str, Any]) -> str:
    """One rule of the Snakefile."""
    photos = f"sorted(map(str, Path({OWN!r}).glob('*/*.jpg')))" if OWN in stage["deps"] else "[]"
    # The manifest is in a folder that is one output.
    deps = sorted({path if not path.startswith("data/raw/") else f"data/raw/{TARGET}" for path in stage["deps"] if path != OWN})
    made = ", ".join(f"directory({path!r})" if not Path(path).suffix else repr(path) for path in outputs(stage))
    keys = [key for entry in stage.get("params", []) for key in next(iter(entry.values()))]
    read = ", ".join(f"P.get({key!r})" for key in keys)
    parts = {"input": f"{deps} + {photos}", "output": made, "params": f"str([{read}])", "shell": repr(stage["cmd"])}
    return f"rule {name}:\n" + "".join(f"    {part}: {value}\n" for part, value in parts.items())


def measured(tool: Tool) -> dict[str, float]:
    """Seconds of each step; the steps run one after another in one clone."""
    seconds = {}
    with tempfile.TemporaryDirectory(prefix="bitbloom-bench-") as folder:
        place = Path(folder) / "clone"
        clone(place)
        for step, change in STEPS.items():
            change(place, tool)
            began = time.perf_counter()
            for command in tool.commands:
                run(place, command)
            seconds[step] = time.perf_counter() - began
    return seconds


def main() -> None:
    """Measure in turn and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the seconds there")
    options = parser.parse_args()
    if not (ROOT / DRAWN).is_dir():
        sys.exit(f"error: {DRAWN} is missing: make all TARGET=petals-tiny")
    lock = "benchmarks/rivals/snakemake/requirements.lock"
    subprocess.run(["sh", "deploy/venv.sh", lock, str(SNAKEMAKE)], cwd=ROOT, check=True)
    turns = [tool for _ in range(options.runs) for tool in TOOLS]
    found = [(tool.name, measured(tool)) for tool in track(turns, "building", console=Console(stderr=True))]
    table = Table("after", *(tool.name for tool in TOOLS), title=f"seconds, median of {options.runs} (smallest to largest)")
    for step in STEPS:
        rows = [[seconds[step] for name, seconds in found if name == tool.name] for tool in TOOLS]
        ours = statistics.median(rows[0])
        cells = [f"{statistics.median(row):.1f} ({min(row):.1f} to {max(row):.1f})" for row in rows]
        cells[1:] = [f"{cell}, {statistics.median(row) / ours:.2f} ×" for cell, row in zip(cells[1:], rows[1:], strict=True)]
        table.add_row(step, *cells)
    Console(width=120).print(table)
    if options.json:
        canonical.write_json(options.json, [{"tool": name, **seconds} for name, seconds in found])


if __name__ == "__main__":
    checkout.require()
    main()
