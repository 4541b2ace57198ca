"""What the prediction log costs: photos per second of the service of `petals` with and without it, in turns.

    python benchmarks/prediction_log.py [--runs 5] [--seconds 8] [--clients 64] [--json results.json]

Each run starts the service twice, and begins with the other one each time. wrk (`apt-get install wrk`) sends photos from this
machine. Ratios are the medians of those within a run; other programs change the CPU time for a photo less than the rate. After
each measurement with the log, its rows are compared with the service's own count of its predictions: none may be missing. The
exit code is 1 when the log costs more than 3 % of the CPU time, or loses a row. Needs `make all`.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
from prometheus_client.parser import text_string_to_metric_families

import page_tables
from bitbloom.core import canonical, checkout
from bitbloom.serving import process_metrics
from serving import PHOTOS, Command, Row, compare, measure, ours, running

MOST = 0.03
"""The cost, at most."""
SECONDS = 120
"""How long the last rows may take to their part."""


def logged(folder: Path) -> Command:
    """The packaged service with a log in a folder, whose last rows are written two seconds after the last request."""
    packaged = ours()

    def command(port: int, environment: dict[str, str]) -> list[str]:
        environment |= {"BITBLOOM_LOG": str(folder), "BITBLOOM_LOG_SECONDS": "2"}
        return packaged(port, environment)

    return command


def counted(url: str) -> dict[str, float]:
    """The sums of the service's own counters, by their names."""
    families = text_string_to_metric_families(httpx.get(f"{url}/metrics", timeout=60).raise_for_status().text)
    sums: dict[str, float] = {}
    for sample in (sample for family in families for sample in family.samples):
        sums[sample.name] = sums.get(sample.name, 0) + sample.value
    return {name: value for name, value in sums.items() if re.fullmatch("bitbloom_.*_total", name)}


def missing(url: str, folder: Path) -> int:
    """The predictions of a service that are in no part of its log, or in several, once nothing is in memory any more."""
    end = time.monotonic() + SECONDS
    while True:
        found = counted(url)
        settled = found["bitbloom_log_rows_total"] + found["bitbloom_log_dropped_total"]
        if settled == found["bitbloom_predictions_total"] or time.monotonic() > end:
            break
        time.sleep(0.5)
    tables = [pq.read_table(path, columns=["id"], partitioning=None) for path in (folder / "log").rglob("date=*/*.parquet")]
    ids = pa.concat_tables(tables)["id"].to_pylist() if tables else []
    return int(abs(found["bitbloom_predictions_total"] - len(set(ids)))) + len(ids) - len(set(ids))


def without(arguments: argparse.Namespace, photos: Sequence[Path]) -> Row:
    """Measure the service without a log."""
    with running(ours()) as url:
        return measured(url, arguments, photos)


def within(arguments: argparse.Namespace, photos: Sequence[Path]) -> Row:
    """Measure the service with a log; `missing` is the number of lost rows."""
    with tempfile.TemporaryDirectory() as folder, running(logged(Path(folder))) as url:
        row = measured(url, arguments, photos)
        return row | {"missing": missing(url, Path(folder))}


def measured(url: str, arguments: argparse.Namespace, photos: Sequence[Path]) -> Row:
    """Photos per second of a warm service, and its CPU time for each photo in ms, as `cpu`."""
    compare(url, photos[:: len(photos) // 8])
    measure(url, arguments.clients, 3, photos)
    before = settled(url)
    row = measure(url, arguments.clients, arguments.seconds, photos)
    cpu, predictions = (after - begun for after, begun in zip(settled(url), before, strict=True))
    return row | {"cpu": 1000 * cpu / predictions}


def settled(url: str) -> tuple[float, float]:
    """CPU seconds and predictions of a service, once it has measured its idle process."""
    time.sleep(2 * process_metrics.SECONDS)
    found = counted(url)
    return found["bitbloom_process_cpu_seconds_total"], found["bitbloom_predictions_total"]


def show(plain: Sequence[Row], kept: Sequence[Row], ratio: float, cost: float) -> None:
    """Print the table of docs/prediction-log.md."""
    lines = []
    for name, rows in (("without a log", plain), ("with a log", kept)):
        rates = [row["rate"] for row in rows]
        waits = [f"{1000 * statistics.median(row[key] for row in rows):.0f}" for key in ("p50", "p99")]
        waits.append(f"{statistics.median(row['cpu'] for row in rows):.3f}")
        lost = f"{sum(row['missing'] for row in rows):.0f}" if rows is kept else ""
        lines.append([name, f"{statistics.median(rates):.0f}", f"{min(rates):.0f} to {max(rates):.0f}", *waits, lost])
    lines.append(["ratio", f"{ratio:.3f}", "", "", "", f"{1 + cost:.3f}", ""])
    print(page_tables.table(["`petals`", "photos/s", "spread", "p50 ms", "p99 ms", "CPU ms a photo", "lost rows"], lines))


def main() -> None:
    """Run both in turns, and exit with what does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=8, help="duration of each measurement")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("error: wrk is missing: apt-get install wrk")
    photos = sorted(Path("data/raw/petals").rglob("*.jpg"))[:: 2400 // PHOTOS]
    plain: list[Row] = []
    kept: list[Row] = []
    for run in range(arguments.runs):
        for rows, case in sorted([(plain, without), (kept, within)], key=lambda each: (each[1] is within) == (run % 2 == 0)):
            rows.append(case(arguments, photos))
            print(f"run {run + 1}: {case.__name__}: {rows[-1]['rate']:.0f} photos/s", file=sys.stderr, flush=True)
    ratio = statistics.median(one["rate"] / other["rate"] for one, other in zip(kept, plain, strict=True))
    cost = statistics.median(one["cpu"] / other["cpu"] for one, other in zip(kept, plain, strict=True)) - 1
    show(plain, kept, ratio, cost)
    if arguments.json:
        canonical.write_json(arguments.json, {"without": plain, "with": kept, "ratio": ratio, "cost": cost})
    lost = sum(row["missing"] for row in kept)
    if lost or cost > MOST:
        sys.exit(f"error: the log costs {cost:.1%} of the CPU time (at most {MOST:.0%}), and lost {lost:.0f} rows")


if __name__ == "__main__":
    checkout.require()
    main()
