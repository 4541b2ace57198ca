"""Markdown for comments and step summaries. Standard library only: the job that comments installs nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

CELL = 160
"""Characters of a cell; what is longer is cut."""


def cell(value: object) -> str:
    """Text that stays in its cell, on one line, and is text: no HTML, link, picture or mention comes out of data."""
    text = " ".join(str(value).split())
    text = text if len(text) <= CELL else text[: CELL - 1] + "…"
    for character in "\\`*_[]()|~#!":
        text = text.replace(character, f"\\{character}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "@\u200b")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; its cells are escaped, its head is ours."""
    lines = [head, ["---"] * len(head), *([cell(value) for value in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Rows of a table: names whose values are not the same, with both."""
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return [(name, before.get(name, "none"), after.get(name, "none")) for name in names]


def fenced(text: str) -> str:
    """A program's output, word for word."""
    longest = max((len(line) - len(line.lstrip("`")) for line in text.splitlines()), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text.rstrip()}\n{fence}\n"


def write(folder: Path, text: str) -> Path:
    """Write `folder/comment.md`, and add it to the step summary where there is one (a job's page on GitHub)."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "comment.md"
    file.write_text(text, encoding="utf-8")
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with open(summary, "a", encoding="utf-8") as stream:
            stream.write(text + "\n")
    return file
