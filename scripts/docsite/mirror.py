"""The files of the repository that the site has, and their Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from posixpath import normpath

START = ("README.md", "docs/**/*.md")
"""The site has these pages, and every file of the repository that a page of it links to."""
FENCE = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
EXTERNAL = re.compile(r"[a-z]+:")
ITEM = re.compile(r"(?P<indent> *)(?P<marker>[-*] |\d+\. )(?P<text>.*)")
STEP = 4
"""Blanks by which MkDocs wants what belongs to an item of a list."""


def reachable(root: Path) -> set[str]:
    """Paths of the pages in START and of every file that one of them links to, in turn; relative to `root`."""
    waiting = [path.relative_to(root).as_posix() for pattern in START for path in root.glob(pattern)]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in found or not (root / name).is_file():
            continue
        found.add(name)
        if name.endswith(".md"):
            waiting += targets(name, (root / name).read_text(encoding="utf-8"))
    return found


def links(text: str) -> Iterator[str]:
    """The targets of a page's links and pictures, outside of code."""
    yield from LINK.findall(CODE.sub("``", FENCE.sub("", text)))


def targets(name: str, text: str) -> Iterable[str]:
    """Paths of the files that a page named `name` links to, relative to the repository."""
    for link in links(text):
        path = link.partition("#")[0]
        if path and not EXTERNAL.match(link):
            yield normpath(f"{Path(name).parent.as_posix()}/{path}")


def reindented(text: str) -> str:
    """The page with everything that belongs to an item of a list indented by STEP for each level.

    GitHub aligns it with the item's text instead: by two blanks after `- `, by three after `1. `.
    """
    lines: list[str] = []
    open_items: list[int] = []
    """Columns where the texts of the items around a line begin."""
    fenced = False
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        if line.strip() and not fenced:
            while open_items and indent < open_items[-1]:
                open_items.pop()
        inside = open_items[-1] if open_items else 0
        shifted = " " * (STEP * len(open_items)) + line[inside:] if line.strip() else ""
        lines.append(shifted)
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and (item := ITEM.fullmatch(line)):
            open_items.append(len(item["indent"]) + len(item["marker"]))
    return "\n".join(lines) + "\n"
