"""What the gate says of a change of data or expectations, with pictures of the samples at fault.

bitbloom ci data .bitbloom/ci/data $(git diff --name-only main...)     # what `make ci-data` calls
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from bitbloom.ci import markdown
from bitbloom.core import canonical
from bitbloom.pipeline import composition
from bitbloom.validation.verdict import FAILED, NOT_CHECKED, Finding, Verdict

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

ROWS = 10
"""Rows at fault that are named an expectation."""
SHOWN, SIDE = 8, 160
"""Pictures an expectation, and their side in pixels."""
UNREADABLE = (226, 200, 210)


def concerned(changed: Iterable[str]) -> list[str]:
    """Targets whose gate a change of these files can turn: of that data, or of a task whose suite changed.

    Data that nobody but its owner has is left out for a changed suite: there is nothing here to hold against it.
    """
    paths = [PurePosixPath(path) for path in changed]
    data = {path.stem for path in paths if path.parent == PurePosixPath("data/external") and path.suffix == ".dvc"}
    tasks = {path.stem for path in paths if path.parent == PurePosixPath("expectations") and path.suffix == ".json"}
    found = data & set(composition.targets())
    if tasks:
        trees = {name: composition.compose(name) for name in composition.targets()}
        found |= {name for name, tree in trees.items() if tree.embedded and tree.task in tasks}
    return sorted(found)


def report(changed: Sequence[str], folder: Path) -> bool:
    """Hold the data of every concerned target against its suite; write the report. Gives whether all passed."""
    parts, passed = ["## The gate\n"], True
    targets = concerned(changed)
    if not targets:
        parts.append("No target has this data or these expectations.\n")
    for target in targets:
        verdict, manifest, raw = examine(target)
        passed &= verdict.passed
        parts.append(section(target, verdict, manifest, raw, folder))
    markdown.write(folder, "\n".join(parts))
    return passed


def examine(target: str) -> tuple[Verdict, pd.DataFrame, Path]:
    """Build a target up to its raw data, and ask the gate as its stage does."""
    import pandas as pd

    from bitbloom.config.target import Target
    from bitbloom.pipeline import build
    from bitbloom.validation.check import check, suite_path

    build.build(target, "ingest")
    read = Target.load(target, ("task", "gate"))
    manifest = pd.read_parquet(read.manifest)
    return check(manifest, suite_path(read.task), read.gate), manifest, read.raw


def section(target: str, verdict: Verdict, manifest: pd.DataFrame, raw: Path, folder: Path) -> str:
    """One target's part of the report; its pictures are written beside it."""
    failed, unchecked = verdict.with_outcome(FAILED), verdict.with_outcome(NOT_CHECKED)
    if verdict.passed:
        return f"### {target}: passed\n\nAll {len(verdict.findings)} expectations hold for {verdict.rows} rows.\n"
    parts = [f"### {target}: failed\n", f"{len(failed)} of {len(verdict.findings)} expectations fail on {verdict.rows} rows.\n"]
    for finding in failed:
        parts.append(_finding(finding))
        name = f"{target}-{re.sub(r'[^a-z0-9-]', '-', finding.name)}.png"
        if pictured(finding, manifest, raw, folder / name):
            parts.append(f"![samples at fault]({name})\n")
    if unchecked:
        names = ", ".join(markdown.cell(finding.name) for finding in unchecked)
        parts.append(f"Not checked, because a column they read is missing or of a wrong type: {names}.\n")
    return "\n".join(parts)


def _finding(finding: Finding) -> str:
    """What was expected, which rows are at fault, and what to do."""
    head = f"**{markdown.cell(finding.name)}**: {markdown.cell(finding.notes)}\n\nWhat to do: {_advice(finding.advice)}\n"
    if not finding.count:
        return f"{head}\nFound: {markdown.cell(canonical.json_line(finding.observed))}\n"
    rows = [(row["id"], row["value"]) for row in finding.rows[:ROWS]]
    return f"{head}\n{finding.count} rows at fault, the first {len(rows)}:\n\n{markdown.table(('id', 'value'), rows)}"


def _advice(text: str) -> str:
    """Advice is longer than a cell: a sentence at a time."""
    return " ".join(markdown.cell(sentence) for sentence in re.split(r"(?<=[.:;]) ", text))


def pictured(finding: Finding, manifest: pd.DataFrame, raw: Path, file: Path) -> bool:
    """Write a picture of the first samples at fault, side by side; False where they are no photos, or none is named."""
    if not {"id", "path", "width"} <= set(manifest):  # texts have no width
        return False
    paths: Mapping[Any, Any] = dict(zip(manifest["id"].astype(str), manifest["path"], strict=True))
    ids = list(dict.fromkeys(row["id"] for row in finding.rows if row["id"] in paths))[:SHOWN]
    if not ids:
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    sheet([(name, raw / str(paths[name])) for name in ids]).save(file, "PNG")
    return True


def sheet(photos: Sequence[tuple[str, Path]]) -> Image:
    """Photos in a row, each above the end of its name."""
    from PIL import Image, ImageDraw

    made = Image.new("RGB", (len(photos) * (SIDE + 8) + 8, SIDE + 32), "white")
    draw = ImageDraw.Draw(made)
    for place, (name, path) in enumerate(photos):
        left = 8 + place * (SIDE + 8)
        made.paste(_thumbnail(path), (left, 8))
        draw.text((left, SIDE + 14), name[-24:], fill="black")
    return made


def _thumbnail(path: Path) -> Image:
    """A square of SIDE pixels with the photo in it; a plain one for a file that cannot be read."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            opened.draft("RGB", (2 * SIDE, 2 * SIDE))
            return ImageOps.pad(opened.convert("RGB"), (SIDE, SIDE), color="white")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return Image.new("RGB", (SIDE, SIDE), UNREADABLE)
