"""The figures that README and docs quote from a build, and whether they are still those of the build.

    make figures          # read the metrics in reports/<target>/ of the built targets, and write the figures into the pages
    make figures-check    # part of `make lint`: needs no build

`docs/figures.json` keeps the metrics of each target with the digests of the files that they come from: the headlines of
`metrics.json`, and `tables/`, which has the other numbers and the baselines. A page marks a figure with the target and the key of
the metric; the figure is that metric, rounded once, to as many places as the page shows:

    0.969<!-- petals accuracy -->

A block that follows `<!-- summary petals -->` shows the end of a build. Its metrics and digests are checked too.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

from bitbloom.core.digests import digest

ROOT = Path(__file__).resolve().parents[1]
RECORD = Path("docs/figures.json")
PAGES = ("*.md", "docs/*.md", "docs/slides/*.md", "reports/*.md")
MARKED = re.compile(r"(?P<shown>[+-]?\d+(?:\.\d+)?)(?P<comment><!-- (?P<target>[\w-]+) (?P<key>[\w.]+) -->)")
SUMMARY = re.compile(
    r"(?P<comment><!-- summary (?P<target>[\w-]+) -->\n\n?```\w*\n)(?P<block>.*?)(?=^```)", re.MULTILINE | re.DOTALL
)
ROW = re.compile(r"^(?P<name>  \w[\w ]*?)(?P<gap> {2,}| (?=sha))(?P<shown>\d+\.\d+|sha256:[0-9a-f]+)", re.MULTILINE)
DIGESTS = {
    "data": "data/processed/{}",
    "weights": "models/{}/model.safetensors",
    "model": "models/{}/model.onnx",
}
"""What the names in a summary stand for."""
SOURCES = {"sha256": "metrics.json", "tables": "tables"}
"""Key of the record → what of reports/<target>/ its digest covers."""

Record = dict[str, dict[str, Any]]


class Stale(Exception):
    """A figure cannot be given: the message says which one and what to do."""


def main() -> int:
    """Write or check. Exit code 1 when a figure is not that of the build."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare and write nothing")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout")
    parser.add_argument("--reports", type=Path, help="folder with <target>/metrics.json (default: reports of the checkout)")
    asked = parser.parse_args()
    if not asked.check:
        write(asked.root, asked.reports or asked.root / "reports")
    wrong = list(differences(asked.root))
    for line in wrong:
        print(line, file=sys.stderr)
    if wrong:
        print("figures are stale: build the targets, then run `make figures`", file=sys.stderr)
    return bool(wrong)


def write(root: Path, reports: Path) -> None:
    """Renew the record from the targets that are built, then the figures in the pages from the record."""
    record = read(root) | built(root, reports)
    (root / RECORD).write_text(json.dumps(record, indent=1, sort_keys=True, default=float) + "\n", encoding="utf-8")
    for page in pages(root):
        text = page.read_text(encoding="utf-8")
        renewed = renew(text, record, root)
        if renewed != text:
            page.write_text(renewed, encoding="utf-8")
            print(page.relative_to(root))


def read(root: Path) -> Record:
    """The record: target → `sha256` of its metrics.json, that of its `tables`, `metrics` by key."""
    path = root / RECORD
    return json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal) if path.exists() else {}


def built(root: Path, reports: Path) -> Record:
    """The metrics of the targets that are built as `digests/` expects it. A build that differs is left out with a word."""
    found: Record = {}
    for digests in sorted(root.glob("digests/*.json")):
        target = digests.stem
        folder = reports / target
        if not (folder / "metrics.json").exists():
            continue
        wanted = sources(root, target)
        different = [name for key, name in SOURCES.items() if key in wanted and digest_or_none(folder / name) != wanted[key]]
        if different:
            print(f"{folder / different[0]} is not what {digests.relative_to(root)} expects, so it is left out", file=sys.stderr)
        else:
            found[target] = wanted | {"metrics": dict(numbers(folder))}
    return found


def sources(root: Path, target: str) -> dict[str, str]:
    """The expected digests of what a target's metrics come from, by the keys of the record."""
    every = {key: expected(root, target, f"reports/{target}/{name}") for key, name in SOURCES.items()}
    return {key: value for key, value in every.items() if value or key == "sha256"}


def digest_or_none(path: Path) -> str | None:
    """The digest of a file or a folder, None when it is missing."""
    return digest(path) if path.exists() else None


def numbers(folder: Path) -> Iterator[tuple[str, Any]]:
    """Every number of a report: those of metrics.json and of `tables/numbers.json`, and `baselines.<name>.<metric>`."""
    headlines = json.loads((folder / "metrics.json").read_text(encoding="utf-8"), parse_float=Decimal)
    yield from ((key, value) for key, value in headlines.items() if isinstance(value, int | Decimal))
    for row in table(folder, "numbers"):
        yield row["metric"], row["value"]
    for row in table(folder, "baselines"):
        yield from ((f"baselines.{row['baseline']}.{key}", value) for key, value in row.items() if key != "baseline")


def table(folder: Path, stem: str) -> list[dict[str, Any]]:
    """The rows of a table, none without the file."""
    path = folder / "tables" / f"{stem}.json"
    return json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal) if path.exists() else []


def expected(root: Path, target: str, artifact: str) -> str:
    """The expected digest of an artifact, or "" when the target has none."""
    path = root / f"digests/{target}.json"
    entries = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return str(entries.get(artifact, {}).get("sha256", ""))


def differences(root: Path) -> Iterator[str]:
    """What is stale: a record of an earlier build, and figures in pages that are not those of the record."""
    record = read(root)
    for target, entry in record.items():
        wanted = sources(root, target)
        if any(entry[key] != wanted.get(key) for key in SOURCES if key in entry):
            yield f"{RECORD}: the figures of {target} are not those of digests/{target}.json"
    for page in pages(root):
        text = page.read_text(encoding="utf-8")
        for number, line in enumerate(text.splitlines(), start=1):
            for found in MARKED.finditer(line):
                yield from difference(f"{page.relative_to(root)}:{number}", found, record)
        for summary in SUMMARY.finditer(text):
            number = text[: summary.start()].count("\n") + 1
            for row in ROW.finditer(summary["block"]):
                yield from row_difference(f"{page.relative_to(root)}:{number}", summary["target"], row, record, root)


def difference(where: str, found: re.Match[str], record: Record) -> Iterator[str]:
    """A line when a marked figure differs."""
    try:
        right = shown(record, found["target"], found["key"], found["shown"])
    except Stale as error:
        yield f"{where}: {error}"
        return
    if found["shown"] != right:
        yield f"{where}: {found['target']} {found['key']} is {right}, not {found['shown']}"


def row_difference(where: str, target: str, row: re.Match[str], record: Record, root: Path) -> Iterator[str]:
    """A line when a row of a summary differs."""
    try:
        right = row_value(record, target, row, root)
    except Stale as error:
        yield f"{where}: {error}"
        return
    if row["shown"] != right:
        yield f"{where}: {row['name'].strip()} of {target} is {right}, not {row['shown']}"


def renew(text: str, record: Record, root: Path) -> str:
    """The text with every marked figure as the record has it. What the record lacks stays."""

    def figure(found: re.Match[str]) -> str:
        try:
            return shown(record, found["target"], found["key"], found["shown"]) + found["comment"]
        except Stale:
            return found[0]

    def block(found: re.Match[str]) -> str:
        def row(inner: re.Match[str]) -> str:
            try:
                return inner["name"] + inner["gap"] + row_value(record, found["target"], inner, root)
            except Stale:
                return inner[0]

        return found["comment"] + ROW.sub(row, found["block"])

    return SUMMARY.sub(block, MARKED.sub(figure, text))


def row_value(record: Record, target: str, row: re.Match[str], root: Path) -> str:
    """What a row of a summary has to show: a metric, or the first digits of a digest."""
    name = row["name"].strip()
    if name in DIGESTS:
        artifact = DIGESTS[name].format(target)
        digest = expected(root, target, artifact)
        if not digest:
            raise Stale(f"digests/{target}.json has no {artifact}")
        return f"sha256:{digest}"[: len(row["shown"])]
    return shown(record, target, name.replace(" ", "_"), row["shown"])


def shown(record: Record, target: str, key: str, like: str) -> str:
    """A metric with as many places as `like` has, rounded once. Raises Stale when the record lacks it."""
    if target not in record:
        raise Stale(f"{RECORD} has no figures of {target}")
    if key not in record[target]["metrics"]:
        raise Stale(f"{RECORD} has no '{key}' of {target}; it has {', '.join(sorted(record[target]['metrics']))}")
    places = len(like.partition(".")[2])
    value = Decimal(record[target]["metrics"][key]).quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)
    return f"{value:+f}" if like.startswith("+") else f"{value:f}"


def pages(root: Path) -> list[Path]:
    """The pages with figures."""
    return sorted(path for pattern in PAGES for path in root.glob(pattern))


if __name__ == "__main__":
    sys.exit(main())
