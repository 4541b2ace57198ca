"""Measure ingest, validate and prepare on a folder of many photos: how time and memory grow with their number.

    python benchmarks/scale.py                       # 2,000 and 20,000 photos; writes the table into docs/gate.md
    python benchmarks/scale.py --photos 2000 20000 200000

Photos of 64 × 64 pixels in ten folders, each different. Memory is the largest one of the stage's own process without the pages of
mapped files, which the system takes back when it needs them (`RssAnon`).
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from bitbloom.core import canonical
from bitbloom.core.progress import track
from bitbloom.pipeline import composition
from gate import load, write

STAGES = ("ingest", "validate", "prepare")
CLASSES, SIDE = 10, 64
INTERVAL = 0.02
"""Seconds between two looks at the memory."""
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


def own_memory(process: int) -> int:
    """Bytes of a process that no file backs; 0 when it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(found[0]) * 1024 if found else 0


def measured(stage: str, folder: Path) -> tuple[float, float, int]:
    """Run a stage. Returns wall and CPU time in seconds, and its largest own memory in bytes."""
    start, most = time.perf_counter(), 0
    command = [sys.executable, "-m", f"bitbloom.stages.{stage}", "photos"]
    process = subprocess.Popen(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(REPOSITORY / "src")})
    while True:
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        most = max(most, own_memory(process.pid))
        time.sleep(INTERVAL)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{stage} ended with {process.returncode}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, most


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, nargs="+", default=[2_000, 20_000])
    before, lines = load(), []
    last: dict[str, float] = {}
    for count in parser.parse_args().photos:
        with tempfile.TemporaryDirectory(dir=".bitbloom") as temporary:
            workspace(Path(temporary), count)
            for stage in STAGES:
                wall, cpu, memory = measured(stage, Path(temporary))
                ratio = f"{cpu / last[stage]:.1f}" if stage in last else "–"
                last[stage] = cpu
                lines.append(f"| {count:,} | {stage} | {wall:.1f} s | {cpu:.1f} s | {ratio} | {memory / 1e6:,.0f} MB |")
                print(lines[-1], flush=True)
    head = ["| photos | stage | wall | CPU | CPU, ratio to the size before | own memory |", "| --- " * 6 + "|"]
    write("scale", [f"Other work during the run: {before}.", "", *head, *lines])


if __name__ == "__main__":
    main()
