"""Draw the pictures of the exam report into reports/figures/: `make figures`.

    python scripts/report_figures                          # all whose target is built here
    python scripts/report_figures overview builds          # some
    python scripts/report_figures --builds /other/checkout # of the targets that are built there
    python scripts/report_figures --check                  # part of `make lint`: the report's pictures exist and are small

Each module draws one subject and lists its files in FILES. A subject whose target is not built keeps its earlier pictures. Equal
builds and equal history give equal bytes.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import bucket
import builds
import images
import overview
import runs
from canvas import Missing

import monitoring

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path("reports/figures")
REPORT = Path("reports/README.md")
SUBJECTS = {module.__name__: module for module in (overview, runs, bucket, images, builds, monitoring)}
MOST_BYTES = 200_000
"""Largest size of a picture: git keeps every version."""


def main(arguments: list[str] | None = None) -> int:
    """Draw or check. Exit code 1 when a subject fails or a picture is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=f"of {', '.join(SUBJECTS)}")
    parser.add_argument("--builds", type=Path, default=ROOT, help="checkout whose built targets are drawn (default: this one)")
    parser.add_argument("--check", action="store_true", help="check and draw nothing")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.subjects) - set(SUBJECTS):
        parser.error(f"no subject {', '.join(sorted(unknown))}: there are {', '.join(SUBJECTS)}")
    if not asked.check:
        for name in asked.subjects or SUBJECTS:
            draw(name, asked.builds.resolve())
    wrong = problems(ROOT)
    print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
    return bool(wrong)


def draw(name: str, built: Path) -> None:
    """Draw one subject, or say why its pictures stay as they are."""
    try:
        pictures = SUBJECTS[name].draw(built)
    except Missing as error:
        print(f"{name}: {error}; its pictures stay as they are", file=sys.stderr)
        return
    (ROOT / FOLDER).mkdir(parents=True, exist_ok=True)
    for file, data in pictures.items():
        path = ROOT / FOLDER / file
        if not path.exists() or path.read_bytes() != data:
            path.write_bytes(data)
            print(path.relative_to(ROOT))


def problems(root: Path) -> list[str]:
    """Pictures that are missing, too large, shown nowhere, or unknown."""
    known = {file for module in SUBJECTS.values() for file in module.FILES}
    shown = set(re.findall(r"\(figures/([^)]+)\)", (root / REPORT).read_text(encoding="utf-8")))
    there = {path.name: path.stat().st_size for path in (root / FOLDER).glob("*")}
    missing = [f"{FOLDER / file} is missing: run `make figures`" for file in sorted(known - set(there))]
    large = [f"{FOLDER / file} has {size:,} bytes; at most {MOST_BYTES:,}" for file, size in there.items() if size > MOST_BYTES]
    idle = [f"{FOLDER / file} is not in {REPORT}" for file in sorted(set(there) - shown)]
    return missing + large + idle


if __name__ == "__main__":
    sys.exit(main())
