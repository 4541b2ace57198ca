"""Markdown for comments and step summaries."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#~&])")


def escaped(text: object) -> str:
    """A name from the data, with Markdown and HTML escaped. `table` escapes the separators of its cells."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(text).split()))


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table. Line breaks and separators in cells are escaped."""
    lines = [
        header,
        ["---"] * len(header),
        *([" ".join(str(value).split()).replace("|", "\\|") for value in row] for row in rows),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def fenced(text: str) -> str:
    """A program's output as a fenced block."""
    longest = max((len(line) - len(line.lstrip("`")) for line in map(str.lstrip, text.splitlines())), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text.rstrip()}\n{fence}\n"


def write(folder: Path, text: str) -> None:
    """Write `folder/comment.md`, and append it to the step summary, if there is one (a job's page on GitHub)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "comment.md").write_text(text, encoding="utf-8")
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(summary, "a", encoding="utf-8") as stream:
            stream.write(text + "\n")
