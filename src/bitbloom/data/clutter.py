"""Files that operating systems, NAS devices and tools leave among a user's files: they are no data."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

CLUTTER = re.compile(
    r"\.|~\$|__macosx$|__pycache__$|"  # hidden files, lock files of offices, macOS's archives, Python
    r"thumbs\.db|ehthumbs(_vista)?\.db$|desktop\.ini$|picasa\.ini$|zbthumbnail\.info$|"
    r"\$?recycle\.bin$|recycler$|recycled$|system volume information$|found\.\d{3}$|lost\+found$|"
    r"@eadir$|@tmp$|@__thumb$|@sharebin$|@recycle$|@recently-snapshot$|#recycle$|[#~]snapshot$|.*@syno(resource|eastream)$|"
    r"network trash folder$|temporary items$|(\._)?icon[\r\uf00d]$",
    re.IGNORECASE,
)
SHOWN = 5
"""Largest number of names in a summary."""
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def is_clutter(name: str) -> bool:
    """Return whether a file or folder of this name comes from a system or a tool."""
    return CLUTTER.match(name) is not None


def visible(folder: Path) -> list[Path]:
    """Return the entries of a folder without clutter, sorted."""
    return sorted(path for path in folder.iterdir() if not is_clutter(path.name))


def walk(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Iterate over all files below a folder without clutter. Links are followed, except to a parent folder."""
    resolved = folder.resolve()
    if resolved in above:
        return
    for path in visible(folder):
        if path.is_dir():
            yield from walk(path, (*above, resolved))
        else:
            yield path


def summary(folder: Path) -> str:
    """Describe the clutter below a folder, as in `3 entries of … (@eaDir: 2, Thumbs.db)`; an empty text without clutter."""
    counts = Counter(_shown(path.name) for path in _below(folder))
    if not counts:
        return ""
    names = [f"{name}: {count:,}" if count > 1 else name for name, count in sorted(counts.items())]
    more = f" and {len(names) - SHOWN:,} more names" if len(names) > SHOWN else ""
    what = "entry" if counts.total() == 1 else "entries"
    return f"{counts.total():,} {what} of operating systems and tools ({', '.join(names[:SHOWN])}{more})"


def _below(folder: Path) -> Iterator[Path]:
    """Iterate over clutter below a folder; the content of a folder of clutter is not listed."""
    for parent, folders, files in os.walk(folder):
        yield from (Path(parent) / name for name in (*folders, *files) if is_clutter(name))
        folders[:] = [name for name in folders if not is_clutter(name)]


def _shown(name: str) -> str:
    """Return a printable name; the attribute files of macOS, one for each file, share a name."""
    return "._*" if name.startswith("._") else UNPRINTABLE.sub("?", name)
