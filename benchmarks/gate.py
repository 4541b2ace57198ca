"""Measure the gate on many rows beside pandera on polars and plain DuckDB, and the search for near-duplicates.

    python benchmarks/gate.py                        # writes the tables into docs/gate.md
    python benchmarks/gate.py --rows 20000 --hashes 2000

A manifest has the facts of 200 synthetic photos, repeated with new ids, digests and hashes. With faults, one row in ten has one
of eight faults, and every photo is dark. The rivals do the checks that a condition on a row, a window or a group expresses; they
have to count the same failing rows. Times are those of a process with its start.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from bitbloom import tasks
from bitbloom.config.sections.gate import Gate
from bitbloom.core import canonical
from bitbloom.data import hamming
from bitbloom.validation.check import check, read_manifest, suite_path

DOCUMENT = Path("docs/gate.md")
RIVALS, VENV = Path("benchmarks/rivals/tables"), Path(".bitbloom/tables")
NAMES = {"ours": "the gate", "pandera": "pandera on polars", "duckdb": "DuckDB"}
SUPPORTED = (
    "expect_column_values_to_be_of_type",
    "expect_column_values_to_not_be_null",
    "expect_column_values_to_be_null",
    "expect_column_values_to_match_regex",
    "expect_column_values_to_be_in_set",
    "expect_column_values_to_be_between",
    "expect_column_values_to_be_unique",
)
DERIVED = {"shortest_side", "longest_side", "unreadable", "class_rows", "repeat_of"}
LABELS = [f"species-{number:03}" for number in range(100)]
BITS = 4


def gate() -> Gate:
    """Bounds that the synthetic photos meet."""
    return Gate(labels=LABELS, rows=[50, 10_000_000], aspect=[0.1, 10.0])


def manifest(rows: int, faults: bool) -> pd.DataFrame:
    """A manifest of `petals` in the order of its ids."""
    random = np.random.default_rng(rows)
    drawn = []
    for number in range(200):
        coarse = Image.fromarray(random.integers(0, 255, (4, 4, 3), dtype=np.uint8))
        stream = io.BytesIO()
        coarse.resize((64 + number, 96), Image.Resampling.BICUBIC).save(stream, "JPEG")
        data = stream.getvalue()
        given = {"id": "", "path": "", "label": "", "attributes": "{}", "source": "folder", "bytes": len(data), "sha256": ""}
        drawn.append(given | tasks.samples("petals").describe(data, {}))
    table = pd.DataFrame(drawn).iloc[np.arange(rows) % len(drawn)].reset_index(drop=True)
    table["label"] = [LABELS[number * len(LABELS) // rows] for number in range(rows)]
    table["id"] = table["path"] = [f"{label}/{number:08}.jpg" for number, label in enumerate(table["label"])]
    for column, size in (("sha256", 32), ("key", 32), ("perceptual_hash", 8)):
        text = random.bytes(rows * size).hex()
        table[column] = [text[at : at + 2 * size] for at in range(0, len(text), 2 * size)]
    return damaged(table, random) if faults else table


def damaged(table: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """The table with dark photos and other faults."""
    table["brightness"] = 0.0
    ends = np.linspace(0, len(table) // 10, 9).astype(int)
    chosen = random.permutation(len(table))
    parts = [chosen[start:end] for start, end in pairwise(ends)]
    faults = {"label": "dasiy", "attributes": None, "sha256": table["sha256"][0], "width": 3, "mode": "XYZ", "contrast": 0.9}
    for (column, value), part in zip(faults.items(), parts, strict=False):
        table.loc[part, column] = value
    table.loc[parts[6], "key"] = "not a digest"
    table.loc[parts[7], "decodable"] = False
    return table


def ours(file: str) -> None:
    """Check a manifest and print the result as JSON."""
    print(json.dumps(check(read_manifest(Path(file)), suite_path("petals"), gate()).as_json()))


def measured(command: list[str]) -> tuple[Any, dict[str, float]]:
    """Run a command. Returns its JSON, and wall and CPU time in seconds and the largest resident memory in GB."""
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{command} ended with {process.returncode}")
        output.seek(0)
        return json.load(output), {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss / 1e6}


def rivals_checks(report: dict[str, Any], columns: set[str]) -> list[dict[str, Any]]:
    """The expectations that the rivals check, with their bounds."""
    return [
        {"name": one["name"], "kind": one["expectation"], "kwargs": one["kwargs"]}
        for one in report["expectations"]
        if one["expectation"] in SUPPORTED
        and one["kwargs"]["column"] in columns | DERIVED
        and not one["kwargs"].get("row_condition")
        and one["outcome"] != "not checked"
    ]


def compare(rows: int, faults: bool, folder: Path) -> list[str]:
    """The lines of a manifest's measurements."""
    file = folder / "manifest.parquet"
    table = manifest(rows, faults)
    table.to_parquet(file, index=False)
    columns = set(table)
    del table
    report, used = measured([sys.executable, __file__, "--check", str(file)])
    checks = rivals_checks(report, columns)
    counts = {one["name"]: one["rows_at_fault"]["count"] for one in report["expectations"]}
    found = {"ours": used}
    for rival in ("duckdb", "pandera"):
        command = [str(VENV / "bin/python"), str(RIVALS / "checks.py"), rival, str(file), json.dumps(checks)]
        counted, found[rival] = measured(command)
        differ = {name: (count, counts[name]) for name, count in counted.items() if count != counts[name]}
        if differ:
            print(f"{rival} counts other rows than the gate: {differ}", file=sys.stderr)
    state = "one in ten, all dark" if faults else "none"
    lines = []
    for name, figures in found.items():
        made = len(report["expectations"]) if name == "ours" else len(checks)
        ratio = figures["cpu"] / found["duckdb"]["cpu"]
        numbers = f"{figures['wall']:.1f} s | {figures['cpu']:.1f} s | {figures['memory']:.2f} GB | {ratio:.1f}"
        lines.append(f"| {rows:,} | {state} | {NAMES[name]} | {made} | {numbers} |")
        print(lines[-1], flush=True)
    return lines


def search(count: int, exhaustive: bool) -> str:
    """The line of a search among uniform hashes, of which one in a hundred is three bits from another."""
    random = np.random.default_rng(count)
    hashes = random.integers(0, 1 << 64, count, dtype=np.uint64)
    copies = count // 100
    hashes[:copies] = hashes[-copies:] ^ np.uint64(0b1000100001)
    start = time.process_time()
    found = hamming.sorted_pairs(hashes, BITS)
    used = time.process_time() - start
    other = "–"
    if exhaustive:
        start = time.process_time()
        expected = [pair for at in range(0, count, 512) for pair in compared(hashes, at)]
        other = f"{time.process_time() - start:.2f} s"
        assert found == expected
    line = f"| {count:,} | {len(found):,} | {used:.2f} s | {other} |"
    print(line, flush=True)
    return line


def compared(hashes: hamming.Hashes, start: int) -> list[tuple[int, int]]:
    """The close pairs whose first is in a block, by the comparison of all pairs."""
    near = np.bitwise_count(hashes[start : start + 512, None] ^ hashes[None, start:]) <= BITS
    first, second = np.nonzero(np.triu(near, k=1))
    return list(zip((first + start).tolist(), (second + start).tolist(), strict=True))


def write(mark: str, lines: list[str]) -> None:
    """Replace the part of the document between two marks."""
    text = DOCUMENT.read_text(encoding="utf-8")
    part = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- end of {mark} -->)", re.DOTALL)
    assert part.search(text), f"{DOCUMENT} has no marks for {mark}"
    canonical.write_text(DOCUMENT, part.sub(lambda found: f"{found[1]}\n" + "\n".join(lines) + f"\n\n{found[2]}", text))


def load() -> str:
    """What else the machine does."""
    return f"{os.getloadavg()[1]:.0f} processes ready to run on {os.cpu_count()} cores, in the mean of five minutes"


def measure_gate(sizes: list[int]) -> None:
    """Write the table of the gate."""
    subprocess.run(["sh", "deploy/venv.sh", str(RIVALS / "requirements.lock"), str(VENV)], check=True)
    lines, before = [], load()
    with tempfile.TemporaryDirectory() as folder:
        for rows in sizes:
            for faults in (False, True):
                lines += compare(rows, faults, Path(folder))
    head = ["| rows | faults | by | checks | wall | CPU | memory | CPU, DuckDB = 1 |", "| --- " * 8 + "|"]
    write("gate", [f"Other work during the run: {before}.", "", *head, *lines])


def measure_search(counts: list[int]) -> None:
    """Write the table of the search."""
    rows = [search(count, count <= 20_000) for count in counts]
    write("near", ["| hashes | pairs | multi-index, CPU | all pairs, CPU |", "| --- | --- | --- | --- |", *rows])


def main() -> None:
    """Measure both and write the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[20_000, 200_000, 1_000_000])
    parser.add_argument("--hashes", type=int, nargs="*", default=[2_000, 20_000, 200_000, 1_000_000])
    parser.add_argument("--check", metavar="MANIFEST", help=argparse.SUPPRESS)
    known = parser.parse_args()
    if known.check:
        ours(known.check)
        return
    if known.hashes:
        measure_search(known.hashes)
    if known.rows:
        measure_gate(known.rows)


if __name__ == "__main__":
    main()
