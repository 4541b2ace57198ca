"""The report on a change of data or expectations: the gate with pictures of the failing samples, and the samples that differ.

bitbloom ci data .bitbloom/ci/data --base main $(git diff --name-only main...)     # called by `make ci-data`
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import yaml

from bitbloom.ci import markdown
from bitbloom.ci.data_diff import summary
from bitbloom.core import git
from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import composition, graph
from bitbloom.validation.verdict import FAILED
from bitbloom.versions.diff import MOVED

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

    from bitbloom.validation.verdict import Check, Verdict

SHOWN, SIDE = 8, 160
"""Number of pictures for each expectation, and their side in pixels."""
UNREADABLE = (226, 200, 210)
PAGE = "data-diff.html"


def concerned(changed: Iterable[str]) -> list[str]:
    """Targets whose verdict a change of these files can change: those of changed data, or of a task with a changed suite.

    For a changed suite, targets that read own data are omitted, because their data is not available here.
    """
    paths = [PurePosixPath(path) for path in changed]
    data = {path.stem for path in paths if path.parent == PurePosixPath("data/external") and path.suffix == ".dvc"}
    tasks = {path.stem for path in paths if path.parent == PurePosixPath("expectations") and path.suffix == ".json"}
    trees = {name: composition.compose(name) for name in composition.targets()} if data or tasks else {}
    return sorted(name for name, tree in trees.items() if name in data or (tree.embedded and tree.task in tasks))


def with_other_data(changed: Iterable[str], base: str) -> list[str]:
    """Targets whose raw data differ from those of a revision: changed own data, or other raw data in the `dvc.lock`.

    A changed lock of a target that reads own data is omitted, because its data is not available here.
    """
    paths = [PurePosixPath(path) for path in changed]
    own = {path.stem for path in paths if path.parent == PurePosixPath("data/external") and path.suffix == ".dvc"}
    locks = {path.parent.name for path in paths if path.name == "dvc.lock" and path.parent.parent == PurePosixPath("pipelines")}
    names = (own | locks) & set(composition.targets())
    return sorted(name for name in names if name in own or (composition.compose(name).embedded and _other_raw(name, base)))


def _other_raw(target: str, base: str) -> bool:
    """Whether the `dvc.lock` of the working tree names other raw data than that of a revision."""
    lock = graph.lock(target)
    ours, theirs = (lock.read_bytes() if lock.exists() else None), git.show(base, lock)
    return _recorded(target, ours) != _recorded(target, theirs)


def _recorded(target: str, lock: bytes | None) -> str | None:
    """The hash of the raw data in a `dvc.lock`; None without one."""
    stages = (yaml.safe_load(lock) or {}).get("stages", {}) if lock else {}
    outs = {out["path"]: str(out.get("md5")) for out in stages.get("ingest", {}).get("outs", ())}
    return outs.get(f"data/raw/{target}")


def report(changed: Sequence[str], folder: Path, base: str = "") -> bool:
    """Check the data of every affected target against its suite, compare changed data with those of the revision `base`, and
    write the report. Returns whether all passed and no sample moved between splits.
    """
    others = with_other_data(changed, base) if base else []
    parts, passed, targets = ["## The gate\n"], True, sorted({*concerned(changed), *others})
    for target in targets:
        verdict, manifest, raw = examine(target)
        passed &= verdict.passed
        parts.append(section(target, verdict))
        for finding in verdict.with_outcome(FAILED):
            picture(finding, manifest, raw, folder / f"{target}-{re.sub(r'[^a-z0-9-]', '-', finding.name)}.png")
        if target in others:
            text, safe = difference(target, base, folder / f"{target}-{PAGE}")
            parts.append(text)
            passed &= safe
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


def difference(target: str, base: str, page: Path) -> tuple[str, bool]:
    """The samples that differ from those of a revision, with a page. Returns the section, and whether none moved between splits.

    Data of the revision that are not here are reported, and fail nothing: without a remote, CI has only the data it made.
    """
    from bitbloom.versions import command

    try:
        done = command.run(target, base)
    except BitBloomError as error:
        return f"### {target}: its data are not compared\n\n{markdown.fenced(str(error))}", True
    command.write_page(done, page)
    return summary(done), not done.found.of(MOVED)


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
