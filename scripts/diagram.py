"""Draw docs/images/architecture.svg from the code: the stages with their artifacts, and the rooms with their imports.

    make diagram
    python scripts/diagram.py --check    # part of `make lint`: is the file current?

Stages, and what each reads and writes, come from `bitbloom.pipeline.graph` for one target. Rooms are the folders of
`src/bitbloom` in the order of import-linter's layers (pyproject.toml); imports are read from the source. An arrow that follows
from two others is left out. Equal code gives equal bytes.
"""

from __future__ import annotations

import argparse
import ast
import sys
import textwrap
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from bitbloom.core import imports
from bitbloom.pipeline import composition, graph

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"
IMAGE = ROOT / "docs/images/architecture.svg"
TARGET = "petals"
WIDTH, ROW, BOX, LEFT = 640, 44, 34, 104
"""Width of the drawing, height of a row and of its box, left edge of the boxes; in pixels."""
BOX_WIDTH = 112
LANE = 10
"""Distance between arrows side by side, in pixels."""
TEXT_CHARACTERS = 50
"""Characters that fit beside a box."""

STYLE = """
  svg { background: #fff; font-family: ui-sans-serif, system-ui, "DejaVu Sans", sans-serif; }
  text { font-size: 16px; fill: #26202d; }
  .title { font-size: 19px; font-weight: 700; }
  .note { font-size: 15px; fill: #5d5664; }
  .name { font-weight: 600; text-anchor: middle; }
  rect { fill: #fbeaf1; stroke: #b82e66; rx: 6px; }
  path { fill: none; stroke: #7a6f80; stroke-width: 1.4; }
  .head { fill: #7a6f80; stroke: none; }
"""


@dataclass(frozen=True)
class Row:
    """A box with its name and the words beside it."""

    name: str
    words: str


def main() -> int:
    """Draw, or say with exit code 1 that the drawing is stale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare and write nothing")
    asked = parser.parse_args()
    drawn = drawing()
    if not asked.check:
        IMAGE.write_text(drawn, encoding="utf-8")
        print(IMAGE.relative_to(ROOT))
    elif not IMAGE.exists() or IMAGE.read_text(encoding="utf-8") != drawn:
        print(f"{IMAGE.relative_to(ROOT)} is not current: run `make diagram`", file=sys.stderr)
        return 1
    return 0


def drawing() -> str:
    """The whole SVG."""
    steps, flows = stages()
    rooms, needs = packages()
    upper, height = section("Stages of a build, and what each writes", "arrow: its output is read by", steps, flows, 0)
    lower, height = section("Rooms of src/bitbloom", "arrow: is imported by", rooms, needs, height + 24)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="title">\n'
        '<title id="title">Architecture of BitBloom: stages with their artifacts, rooms with their imports</title>\n'
        f"<style>{STYLE}</style>\n{upper}{lower}</svg>\n"
    )


def stages() -> tuple[list[Row], dict[str, set[str]]]:
    """The stages of a target, and which reads the outputs of which."""
    found = graph.stages(TARGET, composition.compose(TARGET))
    rows = [Row(stage.stage, listed([*stage.outputs, *stage.metrics])) for stage in found]
    written = {output: stage.stage for stage in found for output in (*stage.outputs, *stage.metrics)}
    reads = {
        stage.stage: {maker for path in stage.inputs for output, maker in written.items() if within(path, output)}
        for stage in found
    }
    return rows, reduced(reads)


def within(path: str, output: str) -> bool:
    """Whether a path is an output or lies in it."""
    return path == output or path.startswith(f"{output}/")


def listed(outputs: Sequence[str]) -> str:
    """Outputs in one line: each folder once, with what is in it."""
    folders: dict[str, list[str]] = {}
    for output in outputs:
        folder, _, name = output.rpartition("/")
        folders.setdefault(folder, []).append(name)
    return ", ".join(
        f"{folder}/{'{' + ', '.join(names) + '}' if len(names) > 1 else names[0]}" for folder, names in folders.items()
    ).replace(TARGET, "<target>")


def packages() -> tuple[list[Row], dict[str, set[str]]]:
    """The rooms, the lowest first, and which imports which."""
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"][0][
        "layers"
    ]
    rooms = [layer for layer in reversed(layers) if not layer.startswith("(")]
    needs = {room: {other for file in files(room) for other in imported(file) if other != room} & set(rooms) for room in rooms}
    return [Row(room, summary(room)) for room in rooms], reduced(needs)


def files(room: str) -> list[Path]:
    """The modules of a room."""
    base = SOURCE / "bitbloom" / room
    return sorted(base.rglob("*.py")) if base.is_dir() else [base.with_suffix(".py")]


def imported(file: Path) -> set[str]:
    """The rooms that a module imports."""
    parts = file.relative_to(SOURCE).with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    names = {name for name, _ in imports.imported(file, module, SOURCE) if imports.module_file(name, SOURCE)}
    return {name.split(".")[1] for name in names if "." in name}


def summary(room: str) -> str:
    """What a room is for: the first sentence of its docstring."""
    base = SOURCE / "bitbloom" / room
    file = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    line = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n")[0]
    return line.partition(". ")[0].rstrip(".").replace("`", "")


def reduced(needs: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The needs without those that follow from others: name → what it needs."""

    def all_of(name: str) -> set[str]:
        return {deeper for direct in needs[name] for deeper in (direct, *all_of(direct))}

    return {name: direct - {deeper for other in direct for deeper in all_of(other)} for name, direct in needs.items()}


def section(title: str, note: str, rows: Sequence[Row], needs: Mapping[str, set[str]], top: int) -> tuple[str, int]:
    """A title, a row for each name, and arrows from a name to those that need it. Returns the SVG and where it ends."""
    lines = [f'<text class="title" x="16" y="{top + 30}">{escape(title)}</text>']
    lines.append(f'<text class="note" x="16" y="{top + 50}">{escape(note)}</text>')
    first = top + 64
    place = {row.name: first + number * ROW for number, row in enumerate(rows)}
    for row in rows:
        y = place[row.name]
        lines.append(f'<rect x="{LEFT}" y="{y}" width="{BOX_WIDTH}" height="{BOX}"/>')
        lines.append(f'<text class="name" x="{LEFT + BOX_WIDTH // 2}" y="{y + 22}">{escape(row.name)}</text>')
        parts = wrapped(row.words)
        for number, part in enumerate(parts):
            middle = y + 22 if len(parts) == 1 else y + 13 + 17 * number
            lines.append(f'<text class="note" x="{LEFT + BOX_WIDTH + 14}" y="{middle}">{escape(part)}</text>')
    return "\n".join(lines + arrows(place, needs)) + "\n", first + len(rows) * ROW


def wrapped(words: str) -> list[str]:
    """Words in at most two lines; what is too long ends at a comma."""
    if len(words) <= TEXT_CHARACTERS:
        return [words]
    line, rest = textwrap.wrap(words, TEXT_CHARACTERS, max_lines=2, placeholder="")
    cut = len(line) + 1 + len(rest) < len(words)
    return [line, rest.rpartition(",")[0] if cut and "," in rest else rest]


def arrows(place: Mapping[str, int], needs: Mapping[str, set[str]]) -> list[str]:
    """Neighbours are joined by a straight arrow, others by one through a lane on the left."""
    order = list(place)
    pairs = [(order.index(needed), order.index(name)) for name in order for needed in needs[name]]
    lines, lanes = [], []
    for begin, end in sorted(pairs, key=lambda pair: (pair[1] - pair[0], pair)):
        if end == begin + 1:
            x, y = LEFT + BOX_WIDTH // 2, place[order[begin]] + BOX
            lines += [f'<path d="M{x} {y}V{y + ROW - BOX - 4}"/>', head(x, y + ROW - BOX, down=True)]
            continue
        lane = free(lanes, begin, end)
        x = LEFT - 16 - lane * LANE
        y, z = place[order[begin]] + BOX - 8, place[order[end]] + 8
        lines += [f'<path d="M{LEFT} {y}H{x + 6}Q{x} {y} {x} {y + 6}V{z - 6}Q{x} {z} {x + 6} {z}H{LEFT - 5}"/>', head(LEFT, z)]
    return lines


def free(lanes: list[list[tuple[int, int]]], begin: int, end: int) -> int:
    """The nearest lane in which nothing else runs between two rows; it is taken."""
    for number, lane in enumerate(lanes):
        if all(end <= other[0] or begin >= other[1] for other in lane):
            lane.append((begin, end))
            return number
    lanes.append([(begin, end)])
    return len(lanes) - 1


def head(x: int, y: int, down: bool = False) -> str:
    """The head of an arrow that ends at a point."""
    points = f"{x},{y} {x - 4},{y - 6} {x + 4},{y - 6}" if down else f"{x},{y} {x - 6},{y - 4} {x - 6},{y + 4}"
    return f'<polygon class="head" points="{points}"/>'


if __name__ == "__main__":
    sys.exit(main())
