"""Measure ingest, validate and prepare on a folder of many photos: how time and memory grow with their number.

    python benchmarks/scale.py                       # 2,000 and 20,000 photos; writes the table into docs/gate.md
    python benchmarks/scale.py --photos 2000 20000 200000

Photos of 64 × 64 pixels in ten folders, each different. Memory is the largest sum of a stage and its worker processes, without
the pages of mapped files, which the system takes back when it needs them (`RssAnon`). The additional bytes of each additional
photo are the growth of that memory since the size before, divided by the growth of the number of photos.
"""

from __future__ import annotations

import argparse
import io
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from bitbloom.core import canonical
from bitbloom.core.progress import track
from bitbloom.pipeline import composition
from gate import load, write

STAGES = ("ingest", "validate", "prepare")
CLASSES, SIDE = 10, 64
INTERVAL = 0.02
"""Seconds between two looks at the memory."""
LOOKS = 25
"""Looks at the memory between two searches for worker processes, which read the state of every process of the machine."""
REPOSITORY = Path(__file__).resolve().parents[1]


def draw(folder: Path, count: int) -> None:
    """Write the photos."""
    random = np.random.default_rng(count)
    for number in range(CLASSES):
        (folder / f"class-{number}").mkdir(parents=True)
    for number in track(range(count), f"draw {count:,} photos"):
        coarse = Image.fromarray(random.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        stream = io.BytesIO()
        coarse.resize((SIDE, SIDE), Image.Resampling.BILINEAR).save(stream, "JPEG", quality=75)
        (folder / f"class-{number % CLASSES}" / f"{number:07}.jpg").write_bytes(stream.getvalue())


def workspace(folder: Path, count: int) -> None:
    """Write a target `photos` whose source is the folder of the photos."""
    shutil.copytree(REPOSITORY / "expectations", folder / "expectations")
    tree = composition.typed(
        {
            "task": "petals",
            "source": {"kind": "folder", "path": "photos"},
            "gate": {"rows": [50, 10 * count]},
            "prepare": {"image_size": SIDE},
            "model": {"kind": "image"},
        },
        "benchmark",
    )
    canonical.write_text(folder / "params/photos.yaml", composition.yaml_text(tree))
    draw(folder / "photos", count)


@dataclass(frozen=True)
class Cost:
    """What a stage takes: seconds of time and of the processors, and bytes of memory."""

    wall: float
    cpu: float
    memory: int

    def row(self, count: int, stage: str, before: tuple[int, Cost] | None) -> str:
        """Return the row of the table; `before` is the cost of a smaller number of photos."""
        shown = f"| {count:,} | {stage} | {self.wall:.1f} s | {self.cpu:.1f} s | {self.memory / 1e6:,.0f} MB"
        if before is None:
            return f"{shown} | – | – | – |"
        fewer, less = before
        growth = (self.memory - less.memory) / (count - fewer)
        return f"{shown} | {self.wall / less.wall:.1f} | {self.cpu / less.cpu:.1f} | {growth:,.0f} |"


def own_memory(process: int) -> int:
    """Bytes of a process that no file backs; 0 when it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(found[0]) * 1024 if found else 0


def family(process: int) -> list[int]:
    """A process and those that it started."""
    try:
        return [process, *(child.pid for child in psutil.Process(process).children(recursive=True))]
    except psutil.NoSuchProcess:
        return [process]


def measured(stage: str, folder: Path) -> Cost:
    """Run a stage."""
    start, most, processes = time.perf_counter(), 0, list[int]()
    command = [sys.executable, "-m", f"bitbloom.stages.{stage}", "photos"]
    process = subprocess.Popen(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(REPOSITORY / "src")})
    for look in itertools.count():
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        processes = processes if look % LOOKS else family(process.pid)
        most = max(most, sum(map(own_memory, processes)))
        time.sleep(INTERVAL)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{stage} ended with {process.returncode}")
    return Cost(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, most)


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, nargs="+", default=[2_000, 20_000])
    before, lines = load(), []
    last: dict[str, tuple[int, Cost]] = {}
    Path(".bitbloom").mkdir(exist_ok=True)
    for count in parser.parse_args().photos:
        with tempfile.TemporaryDirectory(dir=".bitbloom") as temporary:
            workspace(Path(temporary), count)
            for stage in STAGES:
                cost = measured(stage, Path(temporary))
                lines.append(cost.row(count, stage, last.get(stage)))
                last[stage] = count, cost
                print(lines[-1], flush=True)
    columns = ["photos", "stage", "wall", "CPU", "memory", "wall, ratio", "CPU, ratio", "additional bytes a photo"]
    head = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    write("scale", [f"Other work during the run: {before}.", "", *head, *lines])


if __name__ == "__main__":
    main()
