"""Detection of merge conflicts in the files that a build reads: by markers in the file, and by git's index."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bitbloom.core import git
from bitbloom.core.errors import BitBloomError

GENERATED = ("dvc.yaml", "pipelines/*/dvc.yaml", "params/*.yaml")
"""Files that `make graph` generates."""
LOCKS, CLAIMS, IMPORTS = "pipelines/*/dvc.lock", "digests/*.json", "data/external/*.dvc"
"""Files that builds and imports write. Both sides have parts that nothing else has."""
BY_HAND = ("conf/**/*.yaml", "expectations/*.json", "weights.lock", ".dvc/config", "src/bitbloom/**/*.py", "bentos/**/*.py")
"""Files that only a person can merge."""
MARKER = re.compile(rb"^(?:<{7}|\|{7}|={7}|>{7})(?:[ \r].*)?$", re.MULTILINE)
SHOWN = 4
EDIT = "edit this file, then git add it"
JOIN = "`make merge` joins both sides; git keeps them until you commit"


@dataclass(frozen=True)
class Conflict:
    """A file with a merge conflict, and the line of its first marker; None when git's index has both sides."""

    path: Path
    line: int | None

    def __str__(self) -> str:
        return self.path.as_posix() + (f":{self.line}" if self.line else "")


def marked(patterns: Sequence[str]) -> list[Conflict]:
    """The files of these patterns with conflict markers."""
    found = []
    for path in sorted({path for pattern in patterns for path in Path().glob(pattern) if path.is_file()}):
        data = path.read_bytes()
        if marker := MARKER.search(data):
            found.append(Conflict(path, data.count(b"\n", 0, marker.start()) + 1))
    return found


def undecided() -> list[Conflict]:
    """Files of builds and imports that an unfinished merge left as they were on our side, although the other has changes."""
    found = [path for path in git.unmerged() if matches(path, (LOCKS, CLAIMS, IMPORTS))]
    return [Conflict(path, None) for path in found if _is_untouched(path)]


def matches(path: Path, patterns: Sequence[str]) -> bool:
    """Whether a path is one of these patterns' files."""
    return any(path.match(pattern) for pattern in patterns)


def _is_untouched(path: Path) -> bool:
    """Whether an unmerged file is as git left it: our side, or the one side that has it."""
    if not path.is_file():
        return True
    ours = git.side(path, 2)
    return path.read_bytes() == (git.side(path, 3) if ours is None else ours)


def require_readable() -> None:
    """Raise BitBloomError when a file that DVC reads has conflict markers. Generated files are no obstacle to a build."""
    require_unmarked(BY_HAND, EDIT)
    require_unmarked((LOCKS, IMPORTS), JOIN)


def require_none() -> None:
    """Raise BitBloomError also when git's index has two sides of such a file, of which the file is one."""
    require_readable()
    if found := [conflict for conflict in undecided() if not conflict.path.match(CLAIMS)]:
        raise BitBloomError(f"{names(found)}: merge conflict: {JOIN}")


def require_unmarked(patterns: Sequence[str], command: str) -> None:
    """Raise BitBloomError with this command when a file of these patterns has conflict markers."""
    if found := marked(patterns):
        raise BitBloomError(f"{names(found)}: merge conflict: {command}")


def unique(conflicts: Sequence[Conflict]) -> list[Conflict]:
    """One conflict for each path, the first."""
    return list({conflict.path: conflict for conflict in reversed(conflicts)}.values())[::-1]


def names(conflicts: Sequence[Conflict]) -> str:
    """The first of these files with their lines, and the count of the others."""
    more = len(conflicts) - SHOWN
    return ", ".join(map(str, conflicts[:SHOWN])) + (f" and {more} more" if more > 0 else "")
