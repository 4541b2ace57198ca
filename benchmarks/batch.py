"""Photos per second of `bitbloom predict --out`, beside a bare loop and Ray Data: `python benchmarks/batch.py`, after `make all`.

    python benchmarks/batch.py [--photos 8000] [--runs 3] [--only "bare;local"] [--memory 100000]

The rows take turns in one run, so a slow minute affects all. The base is a bare loop: one thread for each core, bytes of photos
in memory, predictions into lists. The other rows read files and write Parquet files; the list of inputs and opening of the model
are part of their time. Ray's rows include the start of its processes, and once more without it: from the first finished part on.
The last row is what Ray's documentation shows: read_binary_files, a class for map_batches, write_parquet.

--memory predicts that number of photos once with each engine, and a hundredth of it, and prints the largest memory of all its
processes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bitbloom.core import checkout, cpu
from bitbloom.experiments import cluster
from bitbloom.experiments.batch.run import Request, run
from bitbloom.serving.predictor import Predictor

MODEL = Path("models/petals").resolve()
PART = 250
Row = dict[str, float]


def bare(photos: Sequence[Path], _: Path) -> Row:
    """The same work without files: one thread for each core."""
    predictor, files = Predictor.open(MODEL), [path.read_bytes() for path in photos]
    cores = cpu.cores()
    began = time.perf_counter()
    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(lambda first: [predictor.predict(files[at]) for at in range(first, len(files), cores)], range(cores)))
    return {"rate": len(files) / (time.perf_counter() - began)}


def ours(engine: str) -> Callable[[Sequence[Path], Path], Row]:
    """`bitbloom predict --out`."""

    def case(photos: Sequence[Path], folder: Path) -> Row:
        out, began = folder / "out", time.perf_counter()
        run(Request(MODEL, str(photos[0].parent), out, part_size=PART, engine=engine))
        rate = len(photos) / (time.perf_counter() - began)
        ends = sorted(path.stat().st_mtime for path in out.glob("part-*"))
        later = {"later": PART * (len(ends) - cpu.cores()) / (ends[-1] - ends[cpu.cores() - 1])} if engine == "ray" else {}
        shutil.rmtree(out)
        return {"rate": rate, **later}

    return case


class Documented:
    """A class for map_batches as in Ray's documentation."""

    def __init__(self) -> None:
        self.predictor = Predictor.open(MODEL)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Add the labels of a batch."""
        return {"path": batch["path"], "label": [self.predictor.predict(photo)["label"] for photo in batch["bytes"]]}


def documented(photos: Sequence[Path], folder: Path) -> Row:
    """Ray Data without our parts."""
    began = time.perf_counter()
    with cluster.started(cpu.cores(), "benchmarks/batch.py") as ray:
        from ray.data import ActorPoolStrategy, DataContext

        DataContext.get_current().enable_progress_bars = False
        data = ray.data.read_binary_files(str(photos[0].parent), include_paths=True)
        pool = ActorPoolStrategy(size=cpu.cores())
        data.map_batches(Documented, batch_size=64, compute=pool, num_cpus=0.5).write_parquet(str(folder / "documented"))
    rate = len(photos) / (time.perf_counter() - began)
    shutil.rmtree(folder / "documented")
    return {"rate": rate}


CASES: dict[str, Callable[[Sequence[Path], Path], Row]] = {
    "bare loop, a thread for each core": bare,
    "local": ours("local"),
    "ray": ours("ray"),
    "documented Ray Data": documented,
}


def links(folder: Path, count: int) -> list[Path]:
    """Photos of the data set, and links to them, in a folder."""
    photos = sorted(Path("data/raw/petals").rglob("*.jpg"))
    if not photos:
        sys.exit("error: there are no photos: run `make all`")
    originals = folder / "originals"
    originals.mkdir()
    copies = [Path(shutil.copy(path, originals / f"{number:05}.jpg")) for number, path in enumerate(photos[:2000])]
    found = folder / "photos"
    found.mkdir()
    names = [found / f"{number:06}.jpg" for number in range(count)]
    for number, name in enumerate(names):
        os.link(copies[number % len(copies)], name)
    return names


def peak(command: Sequence[str]) -> tuple[float, float]:
    """Run a command. Returns its seconds, and the largest sum of its processes' own memory (PSS), MB."""
    began, largest, ended = time.perf_counter(), 0, threading.Event()
    process = subprocess.Popen(command)
    parent = psutil.Process(process.pid)

    def watch() -> None:
        nonlocal largest
        while not ended.wait(0.5):
            total = 0
            for each in (parent, *parent.children(recursive=True)):
                try:
                    total += each.memory_full_info().pss
                except psutil.Error:
                    continue
            largest = max(largest, total)

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    ended.set()
    watcher.join()
    if code:
        sys.exit(f"error: {' '.join(command)} ended with {code}")
    return time.perf_counter() - began, largest / 1e6


def memory(count: int, engines: Sequence[str]) -> None:
    """Print the largest memory for `count` photos and a hundredth of them."""
    table = Table("engine", "photos", "MB", "seconds")
    for engine in engines:
        for photos in (count // 100, count):
            with tempfile.TemporaryDirectory(dir=".bitbloom") as folder:
                source = links(Path(folder), photos)[0].parent
                command = ["bitbloom", "predict", "petals", str(source), "--out", f"{folder}/out", "--engine", engine]
                seconds, megabytes = peak([sys.executable, "-m", *command])
            table.add_row(engine, f"{photos:,}", f"{megabytes:.0f}", f"{seconds:.0f}")
    Console().print(table)


def main() -> None:
    """Run the rows in turns, and print their table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=8000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="", help="beginnings of the names of rows, separated by semicolons")
    parser.add_argument("--memory", type=int, default=0)
    parser.add_argument("--engines", default="local;ray", help="with --memory")
    arguments = parser.parse_args()
    Path(".bitbloom").mkdir(exist_ok=True)
    if arguments.memory:
        memory(arguments.memory, arguments.engines.split(";"))
        return
    wanted = [name for name in CASES if not arguments.only or name.startswith(tuple(arguments.only.split(";")))]
    rows: dict[str, list[Row]] = {name: [] for name in wanted}
    with tempfile.TemporaryDirectory(dir=".bitbloom") as folder:
        photos = links(Path(folder), arguments.photos)
        for _ in range(arguments.runs):
            for name in wanted:
                rows[name].append(CASES[name](photos, Path(folder)))
                print(f"{name}: {rows[name][-1]}", file=sys.stderr, flush=True)
    table = Table("", "photos/s", "from to", "ratio")
    base = rows[wanted[0]]
    for name in wanted:
        for key in rows[name][0]:
            rates = [row[key] for row in rows[name]]
            ratio = statistics.median(rate / one["rate"] for rate, one in zip(rates, base, strict=True))
            label = f"{name}, without the start" if key == "later" else name
            table.add_row(label, f"{statistics.median(rates):.0f}", f"{min(rates):.0f} to {max(rates):.0f}", f"{ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    checkout.require()
    main()
