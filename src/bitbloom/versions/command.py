"""`bitbloom data-diff`: the comparison of a revision's data with those of the working tree, and its page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bitbloom.core import canonical
from bitbloom.versions import data, page
from bitbloom.versions.diff import Difference, compare

if TYPE_CHECKING:
    from bitbloom.versions.data import Version

MOVED = 3
"""Exit code if samples moved between splits."""
PAGE, SUMMARY = "data-diff.html", "data-diff.md"
"""The files of a comparison, in `reports/<target>`. DVC does not track them."""


@dataclass(frozen=True)
class Compared:
    """The data of a revision and of the working tree, and their difference."""

    target: str
    before: Version
    after: Version
    found: Difference


def run(target: str, revision: str) -> Compared:
    """Compare. Raises BitBloomError if one of the versions is not here."""
    after = data.of_working_tree(target)
    before = data.of_revision(target, revision)
    return Compared(target, before, after, compare(before.samples, after.samples))


def write_page(done: Compared, file: Path) -> None:
    """Write the page of a comparison."""
    canonical.write_text(file, page.render(done.target, done.before, done.after, done.found))
