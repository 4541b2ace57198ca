"""Resolve the evidence of docs/checklist.md, and compare its boxes with those of reports/README.md.

    python scripts/checklist.py              # part of `make lint`
    python scripts/checklist.py --collect    # `make checklist`: pytest collects the tests, too

A ticked box needs a link to a file, a Make target and a test; the file exists, a makefile has the target, and the file of the
test defines it. A box without a tick needs a reason. All that a box names has to exist.
"""

from __future__ import annotations

import argparse
import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = Path("docs/checklist.md")
REPORT = Path("reports/README.md")
WEEKS = ("Week 1", "Week 2", "Week 3", "Extra")
BOXES = 53
"""Boxes of the course's newest list."""
ITEM = re.compile(r"^[-*] \[(?P<tick>[ x])\] (?P<title>.*(?:\n {2,}\S.*)*)", re.MULTILINE)
LINK = re.compile(r"\[[^\]]+\]\(([^)#\s]+)[^)]*\)")
TARGET = re.compile(r"`make ([\w-]+)[^`]*`")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
LEAST_REASON = 5
"""Words of a reason."""


@dataclass(frozen=True)
class Box:
    """A box: its section, its title, whether it is ticked, and the text after the title."""

    section: str
    title: str
    is_ticked: bool
    text: str = ""


def main(arguments: list[str] | None = None) -> int:
    """Print what does not resolve. Exit code 1 if there is something."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collect", action="store_true", help="let pytest collect the tests")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout")
    asked = parser.parse_args(arguments)
    found = boxes((asked.root / PAGE).read_text(encoding="utf-8"))
    wrong = [f"{PAGE}: {box.title}: {problem}" for box in found for problem in problems(box, asked.root)]
    wrong += differences(found, boxes((asked.root / REPORT).read_text(encoding="utf-8")))
    if asked.collect and not wrong:
        wrong += uncollected(found, asked.root)
    print(
        "\n".join(wrong) or f"{PAGE}: {sum(box.is_ticked for box in found)} of {len(found)} boxes are ticked, all with evidence"
    )
    return bool(wrong)


def boxes(text: str) -> list[Box]:
    """The boxes of a page by its headings `### …`. A title ends at ` (M6)`, at `: `, or with the line."""
    found = []
    for section in re.split(r"^##+ ", text, flags=re.MULTILINE)[1:]:
        name = section.partition("\n")[0].strip()
        for item in ITEM.finditer(section):
            line = " ".join(item["title"].split())
            title, _, rest = line.partition(": ")
            found.append(Box(name, title, item["tick"] == "x", rest))
    return found


def problems(box: Box, root: Path) -> Iterator[str]:
    """What is missing in the evidence of a box, or does not exist."""
    files, targets, tests = LINK.findall(box.text), TARGET.findall(box.text), TEST.findall(box.text)
    if box.is_ticked:
        wanted = {"a link to a file": files, "a Make target": targets, "a test": tests}
        yield from (f"it is ticked without {kind}" for kind, named in wanted.items() if not named)
    elif len(box.text.split()) < LEAST_REASON:
        yield "it has no tick and no reason"
    yield from (f"{name} does not exist" for name in files if "://" not in name and not (root / PAGE.parent / name).exists())
    yield from (f"make has no target {name}" for name in targets if name not in make_targets(root))
    yield from (f"{path} has no {name}" for path, name in tests if name not in test_names(root / path))


@functools.cache
def make_targets(root: Path) -> set[str]:
    """The targets of the makefiles that have a rule."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in [root / "Makefile", *sorted(root.glob("make/*.mk"))])
    return {name for line in re.findall(r"^([a-z][\w -]*):(?!=)", text, re.MULTILINE) for name in line.split()}


@functools.cache
def test_names(path: Path) -> set[str]:
    """The tests that a file defines, none without the file."""
    if not path.exists():
        return set()
    return {
        node.name for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def differences(ours: list[Box], reported: list[Box]) -> Iterator[str]:
    """How the boxes of the report differ from those of the page, in title, order, number or tick."""
    expected = [(box.title, box.is_ticked) for box in ours if box.section in WEEKS]
    shown = [(box.title, box.is_ticked) for box in reported if box.section in WEEKS]
    if len(expected) != BOXES:
        yield f"{PAGE}: {len(expected)} boxes of the newest list; it has {BOXES}"
    for (title, is_ticked), other in zip(expected, shown, strict=False):
        if (title, is_ticked) != other:
            yield f"{REPORT}: '{other[0]}' ({'x' if other[1] else ' '}) is '{title}' ({'x' if is_ticked else ' '}) in {PAGE}"
    if len(shown) != len(expected):
        yield f"{REPORT}: {len(shown)} boxes; {PAGE} has {len(expected)}"


def uncollected(found: list[Box], root: Path) -> list[str]:
    """What pytest says about the tests that it cannot collect."""
    tests = sorted({f"{path}::{name}" for box in found for path, name in TEST.findall(box.text)})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n", "0", "-m", "", *tests]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    return [] if done.returncode == 0 else (done.stdout + done.stderr).splitlines()[-5:]


if __name__ == "__main__":
    sys.exit(main())
