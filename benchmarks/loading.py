"""Measure what feeds a training: reading, decoding and augmenting, beside other loaders and as a fraction of a step.

    python benchmarks/loading.py                                   # writes the tables into docs/feeding.md
    python benchmarks/loading.py --flowers flowers.tar             # and those of real photos, which `petals-folder` fine-tunes on

Loaders: images/s and CPU time per photo, the cases in turns, medians and spreads. Ours is what the two workers of a training do
for a step without the network; the others are PyTorch's `DataLoader` with two workers. Operations: ours beside albumentations, on
one core. Steps: CPU time of a training with one worker. Rivals have a venv of their own, from `benchmarks/rivals/loading`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bitbloom.config.target import Target, params_path
from bitbloom.core import canonical, checkout, cpu
from bitbloom.data import sources
from bitbloom.data.dataset import Dataset
from bitbloom.data.importing import import_data
from bitbloom.models import weights
from bitbloom.numerics import pins
from bitbloom.pipeline import composition
from loading_parts import LARGE, REST, STEP, TIMED

DOCUMENT = Path("docs/feeding.md")
RIVALS, VENV = Path("benchmarks/rivals/loading"), Path(".bitbloom/loading-rivals")
LINKED = (Path("requirements.lock"), weights.LOCK, weights.STORE)
GARDEN, CAPTIONS, TWEETS, FLOWERS = "petals", "captions", "tweets", "petals-folder"
WORKERS = 2
OURS = "ours"
LOADERS = (
    "PyTorch DataLoader, JPEG files",
    "WebDataset, JPEG files",
    "litdata, JPEG files",
    "PyTorch DataLoader, our arrays",
    "WebDataset, decoded",
    "litdata, decoded",
)
OPERATIONS = {
    "crop": "crop and resize",
    "flip": "flip",
    "colour": "colour",
    "erase": "erase",
    "all": "all, to the network's input",
}
GOALS = {GARDEN: 8, TWEETS: 3, FLOWERS: 3}
"""Largest percentage of a step's CPU time: 3 for fine-tuning."""
Row = dict[str, float]
Rows = dict[str, list[Row]]


@dataclass(frozen=True)
class Place:
    """The data of a target in a folder of its own, and the photos that a loader reads."""

    folder: Path
    target: str

    def variables(self, pinned: bool) -> dict[str, str]:
        """The environment of a process, with the pins of a training or without any."""
        pinned_names = pins.environment("portable")
        free = {key: value for key, value in os.environ.items() if key not in pinned_names}
        return free | pinned_names | {"WORKERS": str(WORKERS)} if pinned else free

    def run(self, program: Sequence[str | Path], pinned: bool = True) -> subprocess.Popen[str]:
        """Start a program in the folder, with pipes for its input and output."""
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        return subprocess.Popen(list(map(str, program)), cwd=self.folder, env=self.variables(pinned), **pipes)

    def ours(self, *arguments: object) -> subprocess.Popen[str]:
        """Start our part in the folder."""
        script = Path(__file__).with_name("loading_parts.py").resolve()
        return self.run([sys.executable, str(script), *map(str, arguments)])

    def prepare(self) -> None:
        """Run the first stages."""
        for stage in ("ingest", "prepare"):
            command = [sys.executable, "-m", f"bitbloom.stages.{stage}", self.target]
            if subprocess.run(command, cwd=self.folder, env=self.variables(pinned=True)).returncode:
                sys.exit(f"error: {stage} of {self.target} failed; see the message above")

    def job(self) -> dict[str, Any]:
        """What the other loaders need to know: files, labels and the settings of the target."""
        with contextlib.chdir(self.folder):
            target = Target.load(self.target)
            dataset = Dataset.open(target.processed)
        rows = dataset.split("train")
        files = [str((self.folder / target.raw / name).resolve()) for name in dataset.samples["id"].iloc[rows]]
        model: Any = target.model  # of an image
        return {
            "files": list(zip(files, dataset.arrays["labels"][rows].tolist(), strict=True)),
            "images": str((self.folder / target.processed / "images.npy").resolve()),
            "positions": rows.tolist(),
            "batch": target.train.batch_size,
            "stored": target.prepare.image_size,
            "side": model.image_size,
            "mean": list(model.mean),
            "std": list(model.std),
            "augment": asdict(target.augment),
            "augmented": True,
        }


def placed(folder: Path, target: str, overrides: Sequence[str], flowers: Path | None = None) -> Place:
    """The data of a target with overrides, made in a folder unless an earlier run made it."""
    place = Place(folder / target, target)
    if (place.folder / "data/processed").exists():
        return place
    tree = composition.compose(target, overrides)
    canonical.write_text(place.folder / params_path(target), composition.yaml_text(tree))
    weights.STORE.mkdir(parents=True, exist_ok=True)  # weights that a target installs go there, too
    for path in LINKED:
        (place.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (place.folder / path).symlink_to(path.resolve())
    if flowers:
        import_data(flowers, place.folder / str(tree.source.path), sources.own_data(str(tree.source.kind)))
    place.prepare()
    return place


class Child:
    """Processes that measure at the same time, with lines of JSON on their pipes."""

    def __init__(self, processes: Sequence[subprocess.Popen[str]]) -> None:
        self.processes = processes

    def ask(self, **asked: object) -> list[Any]:
        """The response of each process."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
        lines = [process.stdout.readline() for process in self.processes if process.stdout is not None]
        if not all(lines):
            sys.exit(f"error: the process that measures {asked} ended; see the message above")
        return [json.loads(line) for line in lines]

    def measure(self, case: str, seconds: float, **more: object) -> Row:
        """Photos per second and CPU milliseconds per photo of all processes."""
        found = self.ask(case=case, seconds=seconds, **more)
        photos, cpu_seconds = (sum(one[key] for one in found) for key in ("photos", "cpu"))
        return {"rate": sum(one["photos"] / one["seconds"] for one in found), "cpu": 1000 * cpu_seconds / photos}


@contextlib.contextmanager
def ended(processes: Sequence[subprocess.Popen[str]]) -> Iterator[None]:
    """End child processes after the block, by the end of their input."""
    try:
        yield
    finally:
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
        for process in processes:
            process.wait()


@contextlib.contextmanager
def children(place: Place) -> Iterator[tuple[Child, Child, Child]]:
    """Two readers of ours, one of them alone, and the other loaders."""
    with tempfile.TemporaryDirectory() as temporary:
        canonical.write_json(Path(temporary) / "job.json", place.job())
        program: list[str | Path] = [(VENV / "bin/python").absolute(), (RIVALS / "loaders.py").resolve(), temporary]
        ours = [place.ours("read", place.target, rank, WORKERS) for rank in range(WORKERS)]
        others = place.run(program, pinned=False)
        with ended((*ours, others)):
            yield Child(ours), Child(ours[:1]), Child([others])


def in_turns(cases: dict[str, Callable[[], Row]], runs: int) -> Rows:
    """All cases, in turns."""
    found: Rows = {name: [] for name in cases}
    for run in range(runs):
        for name, case in cases.items():
            found[name].append(case())
            print(f"run {run + 1}: {name}: {found[name][-1]['rate']:.0f} images/s", file=sys.stderr, flush=True)
    return found


def loading(place: Place, runs: int, seconds: float) -> tuple[dict[bool, Rows], Rows, float]:
    """Loaders, with and without augmentation; operations; and the CPU milliseconds in which `prepare` decodes a photo."""
    with children(place) as (ours, alone, others):
        found = {}
        for augmented, case in ((False, "plain"), (True, "augmented")):
            cases: dict[str, Callable[[], Row]] = {OURS: partial(ours.measure, case, seconds / WORKERS)}
            cases |= {name: partial(others.measure, name, seconds, augmented=augmented) for name in LOADERS}
            found[augmented] = in_turns(cases, runs)
        cases = {}
        for name in OPERATIONS:
            for kind, child in (("operation", alone), ("large batch", alone), ("albumentations", others)):
                case = f"{'large batch' if kind == 'large batch' else 'operation'}: {name}"
                cases[f"{kind}: {name}"] = partial(child.measure, case, seconds / 4)
        operations = in_turns(cases, runs)
        decoded = statistics.median(alone.measure("decode", seconds / 2)["cpu"] for _ in range(runs))
    return found, operations, decoded


def steps(places: Sequence[Place], runs: int, count: int) -> dict[str, list[Row]]:
    """CPU seconds of each part of steps, by target: all steps of all runs, in turns."""
    found: dict[str, list[Row]] = {place.target: [] for place in places}
    processes = [place.ours("steps", place.target) for place in places]
    with ended(processes):
        for _ in range(runs):
            for place, process in zip(places, processes, strict=True):
                [rows] = Child([process]).ask(steps=count)
                found[place.target] += rows
                print(f"steps of {place.target}: {feeding(rows[-1]):.1f} %", file=sys.stderr, flush=True)
    return found


def feeding(row: Row) -> float:
    """The percentage of a step's CPU time that is not the step itself."""
    return 100 * (1 - row[STEP] / sum(row.values()))


def middle(values: Sequence[float], digits: int = 0) -> str:
    """Median and range."""
    return f"{statistics.median(values):,.{digits}f} | {min(values):,.{digits}f} to {max(values):,.{digits}f}"


def ratio(rows: Sequence[Row], base: Sequence[Row], key: str) -> float:
    """The median ratio to the base in the same run."""
    return statistics.median(row[key] / one[key] for row, one in zip(rows, base, strict=True))


def loader_table(found: Rows) -> list[str]:
    """One row for each loader. Ratios above 1: better than ours, so that of CPU time is that of ours to that of the loader."""
    lines = [
        "| loader | images/s | range | ratio to ours | CPU ms per photo | range | ratio to ours |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, rows in found.items():
        rates, cpus = ([row[key] for row in rows] for key in ("rate", "cpu"))
        speed, cost = ratio(rows, found[OURS], "rate"), 1 / ratio(rows, found[OURS], "cpu")
        lines.append(f"| {name} | {middle(rates)} | {speed:.2f} | {middle(cpus, 3)} | {cost:.2f} |")
    return lines


def operation_table(found: Rows, size: int) -> list[str]:
    """One row for each operation. Ratios below 1: albumentations takes less CPU time."""
    lines = [
        f"| operation | ours, {size} photos at once | range | ours, {LARGE} at once | range | albumentations | range | ratio |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, shown in OPERATIONS.items():
        ours, large, theirs = (found[f"{kind}: {name}"] for kind in ("operation", "large batch", "albumentations"))
        cells = (middle([1000 * row["cpu"] for row in rows]) for rows in (ours, large, theirs))
        lines.append(f"| {shown} | {' | '.join(cells)} | {ratio(theirs, ours, 'cpu'):.2f} |")
    return lines


def step_tables(found: dict[str, list[Row]], decoding: dict[str, float]) -> list[str]:
    """A row for each target, then a row for each part. `decoding`: percentage of a step if each epoch pays for its part of it."""
    lines = [
        "| step of | CPU ms | feeding | range | decoding in `prepare` | goal |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for target, rows in found.items():
        whole = 1000 * statistics.median(sum(row.values()) for row in rows)
        decoded = f"{decoding[target]:.1f} %" if target in decoding else "–"
        goal = f"≤ {GOALS[target]} %" if target in GOALS else "–"
        low, high = (f"{edge(map(feeding, rows)):.1f}" for edge in (min, max))
        median = statistics.median(map(feeding, rows))
        lines.append(f"| `{target}` | {whole:,.0f} | {median:.1f} % | {low} to {high} % | {decoded} | {goal} |")
    lines += [
        "",
        f"| part, % of the step's CPU time | {' | '.join(f'`{target}`' for target in found)} |",
        f"| --- |{' ---: |' * len(found)}",
    ]
    for part in (*TIMED, REST):
        cells = []
        for rows in found.values():
            parts = [100 * row.get(part, 0.0) / sum(row.values()) for row in rows]
            cells.append(f"{statistics.median(parts):.2f}" if any(parts) else "–")
        lines.append(f"| {part} | {' | '.join(cells)} |")
    return lines


def processor() -> str:
    """The name of the CPU as the kernel gives it."""
    lines = cpu.CPUINFO.read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")


def write(lines: Sequence[str]) -> None:
    """Put the tables between the markers of the document."""
    before, rest = DOCUMENT.read_text(encoding="utf-8").split("<!-- measured -->")
    after = rest.split("<!-- end -->")[1]
    canonical.write_text(DOCUMENT, "\n".join([f"{before}<!-- measured -->", "", *lines, "", f"<!-- end -->{after}"]))


def report(place: Place, runs: int, seconds: float) -> tuple[list[str], float]:
    """The tables of loaders and operations on a target's photos, and the CPU milliseconds that decode a photo."""
    found, operations, decoded = loading(place, runs, seconds)
    job, size = place.job(), place.job()["batch"]
    lines = [
        f"### {place.target}",
        "",
        f"{len(job['files']):,} photos; our arrays hold {job['stored']}×{job['stored']} pixels, the network takes "
        f"{job['side']}×{job['side']}. Batches of {size}.",
    ]
    for augmented, rows in found.items():
        lines += ["", f"{'With' if augmented else 'Without'} augmentation:", "", *loader_table(rows)]
    with contextlib.chdir(place.folder):
        micro = size // Target.load(place.target).numerics.micro_batches
    lines += ["", "CPU µs per photo of operations on photos in memory:", "", *operation_table(operations, micro), ""]
    return lines, decoded


def decoding_part(place: Place, decoded: float, rows: Sequence[Row]) -> float:
    """Percentage of a step, if the photos of a batch pay for their decoding in `prepare`, which serves all epochs."""
    with contextlib.chdir(place.folder):
        options = Target.load(place.target).train
    step = 1000 * statistics.median(sum(row.values()) for row in rows)
    return 100 * decoded * options.batch_size / options.epochs / step


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flowers", type=Path, help="a folder, tar or zip with one folder of photos per class")
    parser.add_argument("--photos", type=int, default=600, help="synthetic photos")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="CPU time of each measurement")
    parser.add_argument("--steps", type=int, default=4, help="steps of each training")
    parser.add_argument("--data", type=Path, help="keep the data there for the next run with the same options")
    options = parser.parse_args()
    subprocess.run(["sh", "deploy/venv.sh", str(RIVALS / "requirements.lock"), str(VENV)], check=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder, few = options.data or Path(temporary), f"source.images={options.photos // 3}"
        drawn = (f"source.images={options.photos}",)
        places = [placed(folder, GARDEN, drawn), placed(folder, CAPTIONS, (few,)), placed(folder, TWEETS, ())]
        if options.flowers:
            places.append(placed(folder, FLOWERS, (), options.flowers))
        reports = {
            place.target: report(place, options.runs, options.seconds) for place in places if place.target in (GARDEN, FLOWERS)
        }
        found = steps(places, options.runs, options.steps)
        decoding = {
            place.target: decoding_part(place, reports[place.target][1], found[place.target])
            for place in places
            if place.target in reports
        }
    load = " to ".join(f"{value:.0f}" for value in sorted(os.getloadavg()))
    lines = [f"{cpu.cores()} cores of {processor()}, load average {load}. Medians and ranges of {options.runs} runs.", ""]
    for tables, _ in reports.values():
        lines += tables
    lines += ["### Steps", "", *step_tables(found, decoding)]
    print("\n".join(lines))
    write(lines)


if __name__ == "__main__":
    checkout.require()
    main()
