"""The numbers of docs/robustness.md, from a report of `bitbloom robustness`.

    python scripts/robustness.py petals     # take reports/petals/robustness.json into docs/robustness.json and the page
    python scripts/robustness.py --check    # part of `make lint`: needs no build

The page has the tables between two comments. They are a function of docs/robustness.json, whose weights are those of `digests/`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RECORD, PAGE = Path("docs/robustness.json"), Path("docs/robustness.md")
BEGIN, END = "<!-- numbers of docs/robustness.json -->", "<!-- end of the numbers -->"
COLUMNS = {
    "score": "score",
    "damaged_score": "under damage",
    "mce": "mCE",
    "relative_mce": "relative mCE",
    "calibration_error": "calibration error",
    "damaged_calibration_error": "… under damage",
}

Record = dict[str, Any]


def main() -> int:
    """Write or check. Exit code 1 when the page is not that of the record, or the record not that of the expected weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help="built and measured targets")
    parser.add_argument("--check", action="store_true", help="compare and write nothing")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout")
    asked = parser.parse_args()
    if not asked.check:
        write(asked.root, asked.targets)
    wrong = differences(asked.root)
    for line in wrong:
        print(line, file=sys.stderr)
    return bool(wrong)


def write(root: Path, targets: list[str]) -> None:
    """Take the reports of targets into the record, and write the record into the page."""
    record = read(root)
    for target in targets:
        record[target] = taken(json.loads((root / f"reports/{target}/robustness.json").read_text(encoding="utf-8")))
    (root / RECORD).write_text(json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    before, _, after = parts(root)
    (root / PAGE).write_text(before + BEGIN + "\n\n" + tables(record) + "\n" + END + after, encoding="utf-8")


def read(root: Path) -> Record:
    """The record: target → what the page shows."""
    path = root / RECORD
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def taken(report: Record) -> Record:
    """What the page shows of a report."""
    heat: dict[str, list[float]] = {}
    for row in report["models"][0]["rows"][1:]:
        heat.setdefault(row["damage"], []).append(row["score"])
    models = [{"label": model["label"], "digest": model["digest"], "summary": model["summary"]} for model in report["models"]]
    kept = ("score", "samples", "behaviour", "strangers", "strangers_count", "unknown")
    return {name: report[name] for name in kept} | {"heat": [[name, *values] for name, values in heat.items()], "models": models}


def parts(root: Path) -> tuple[str, str, str]:
    """The page before, between and after the comments."""
    text = (root / PAGE).read_text(encoding="utf-8")
    before, begun, rest = text.partition(BEGIN)
    between, ended, after = rest.partition(END)
    if not begun or not ended:
        raise SystemExit(f"{PAGE} lacks the line {BEGIN if not begun else END}")
    return before, between, after


def differences(root: Path) -> list[str]:
    """What is stale."""
    record, found = read(root), []
    for target, entry in record.items():
        path = root / f"digests/{target}.json"
        expected = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        weights = expected.get(f"models/{target}/model.safetensors", {}).get("sha256")
        if weights != entry["models"][0]["digest"]:
            again = f"make robustness TARGET={target} && python scripts/robustness.py {target}"
            found.append(f"{RECORD}: the weights of {target} are not those of digests/{target}.json: {again}")
    if parts(root)[1].strip() != tables(record).strip():
        found.append(f"{PAGE}: its tables are not those of {RECORD}: python scripts/robustness.py")
    return found


def tables(record: Record) -> str:
    """The tables of all targets."""
    return "\n".join(line for target, entry in sorted(record.items()) for line in section(target, entry))


def section(target: str, entry: Record) -> list[str]:
    """The lines of a target: models, damages, unknown inputs, behaviour."""
    columns = {key: name for key, name in COLUMNS.items() if key in entry["models"][0]["summary"]}
    rows = [[f"`{model['label']}`", *(number(model["summary"][key]) for key in columns)] for model in entry["models"]]
    lines = [f"`{target}`, {entry['samples']} test samples; the score is the {entry['score']}.", ""]
    lines += table(["model", *columns.values()], rows)
    lines += table(["damage", *"12345"], [[name, *map(number, values)] for name, *values in entry["heat"]])
    lines += [f"Unknown inputs: {entry['strangers_count']} ({entry['strangers']}).", ""]
    names = ("auroc", "known", "rejected")
    lines += table(
        ["score", "AUROC", "test samples accepted", "unknown inputs rejected"],
        [[name, *(number(found[key]) for key in names)] for name, found in sorted(entry["unknown"].items())],
    )
    behaviour = [[row["type"], row["name"], str(row["cases"]), number(row["rate"])] for row in entry["behaviour"]]
    return lines + table(["type", "test of behaviour", "cases", "passed"], behaviour)


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """A table of Markdown, and an empty line; none without rows."""
    every = [head, ["---"] * len(head), *rows]
    return [*(f"| {' | '.join(row)} |" for row in every), ""] if rows else []


def number(value: float | None) -> str:
    """Three places, or a dash."""
    return "–" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    sys.exit(main())
