"""The gate's report on a change of data or expectations, with pictures of the failing samples.

bitbloom ci data .bitbloom/ci/data $(git diff --name-only main...)     # called by `make ci-data`
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from bitbloom.ci import markdown
from bitbloom.pipeline import composition
from bitbloom.validation.verdict import FAILED

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

    from bitbloom.validation.verdict import Check, Verdict

SHOWN, SIDE = 8, 160
"""Number of pictures for each expectation, and their side in pixels."""
UNREADABLE = (226, 200, 210)


def concerned(changed: Iterable[str]) -> list[str]:
    """Targets whose verdict a change of these files can change: those of changed data, or of a task with a changed suite.

    For a changed suite, targets that read own data are omitted, because their data is not available here.
    """
    paths = [PurePosixPath(path) for path in changed]
    data = {path.stem for path in paths if path.parent == PurePosixPath("data/external") and path.suffix == ".dvc"}
    tasks = {path.stem for path in paths if path.parent == PurePosixPath("expectations") and path.suffix == ".json"}
    trees = {name: composition.compose(name) for name in composition.targets()} if data or tasks else {}
    return sorted(name for name, tree in trees.items() if name in data or (tree.embedded and tree.task in tasks))


def report(changed: Sequence[str], folder: Path) -> bool:
    """Check the data of every affected target against its suite, and write the report. Returns whether all passed."""
    parts, passed, targets = ["## The gate\n"], True, concerned(changed)
    for target in targets:
        verdict, manifest, raw = examine(target)
        passed &= verdict.passed
        parts.append(section(target, verdict))
        for finding in verdict.with_outcome(FAILED):
            picture(finding, manifest, raw, folder / f"{target}-{re.sub(r'[^a-z0-9-]', '-', finding.name)}.png")
    markdown.write(folder, "\n".join(parts if targets else [*parts, "No target has this data or these expectations.\n"]))
    return passed


def examine(target: str) -> tuple[Verdict, pd.DataFrame, Path]:
    """Build a target up to its raw data, and check them as the stage does. Returns verdict, manifest and folder of the data."""
    import pandas as pd

    from bitbloom.config.target import Target
    from bitbloom.pipeline import build
    from bitbloom.validation import profile
    from bitbloom.validation.check import check, suite_path

    build.build(target, "ingest")
    read = Target.load(target, ("task", "gate"))
    manifest = pd.read_parquet(read.manifest)
    verdict = check(manifest, suite_path(read.task), read.gate, accepted=profile.load(target))
    return verdict, manifest, read.raw


def section(target: str, verdict: Verdict) -> str:
    """The report on one target, with the messages of `make validate`."""
    if verdict.all_held:
        return f"### {target}: passed\n\nAll {len(verdict.checks)} expectations hold for {verdict.rows} rows.\n"
    outcome = "passed, with warnings" if verdict.passed else "failed"
    return f"### {target}: {outcome}\n\n{markdown.fenced(verdict.in_words())}"


def picture(finding: Check, manifest: pd.DataFrame, raw: Path, file: Path) -> None:
    """Write the first failing photos side by side. Texts have no picture."""
    if not {"id", "path", "width"} <= set(manifest):  # texts have no width
        return
    paths = dict(zip(manifest["id"].astype(str), manifest["path"], strict=True))
    failing = [raw / str(paths[row["id"]]) for row in finding.rows if row["id"] in paths][:SHOWN]
    if failing:
        file.parent.mkdir(parents=True, exist_ok=True)
        sheet(failing).save(file, "PNG")


def sheet(photos: Sequence[Path]) -> Image:
    """Photos in a row, each above the end of its name."""
    from PIL import Image, ImageDraw

    made = Image.new("RGB", (len(photos) * (SIDE + 8) + 8, SIDE + 32), "white")
    for number, path in enumerate(photos):
        made.paste(_thumbnail(path), (8 + number * (SIDE + 8), 8))
        ImageDraw.Draw(made).text((8 + number * (SIDE + 8), SIDE + 14), path.name[-24:], fill="black")
    return made


def _thumbnail(path: Path) -> Image:
    """A square of SIDE pixels with the photo; a plain one for an unreadable file."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            opened.draft("RGB", (2 * SIDE, 2 * SIDE))
            return ImageOps.pad(opened.convert("RGB"), (SIDE, SIDE), color="white")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return Image.new("RGB", (SIDE, SIDE), UNREADABLE)
