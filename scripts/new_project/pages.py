"""Pages of a project without some tasks: rows, items, lines of code, sentences and sections about them are left out.

A unit is left out when it names a left-out task or target as code, shows its metrics, or links to what is left out. Enumerations
lose the names only. Standard library only.
"""

from __future__ import annotations

import posixpath
import re
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .leave_out import COMMANDS, any_of
from .mentions import thinned
from .rename import MARKDOWN_WIDTH, write

if TYPE_CHECKING:
    from .leave_out import Gone

HEADING = re.compile(r"(#+) (.*)")
LINK = re.compile(r"\]\((?!https?:)([^)\s]+)\)")
ITEM = re.compile(r"\s*(?:[-*]|\d+\.) ")
SENTENCE = re.compile(r"(?<=[.!?:])\s+(?=[A-Z`\[*])")
ASIDE = re.compile(r" \([^()]*\)")
WHOLE = re.compile(r"<!--.*?-->|`[^`]*`")
"""What stays on one line."""
SHELL = ("sh", "text", "bash")
Sources = dict[str, str]
"""Path of each page, relative to the root → its text."""


def trim_pages(root: Path, names: Iterable[str], gone: Gone) -> None:
    """Leave out what pages of a copy say about left-out tasks, until no link leads to something left out."""
    every = set(names)
    pages: Sources = {name: (root / name).read_text(encoding="utf-8") for name in every if name.endswith(".md")}
    before = dict(pages)
    pages = {name: Page(thinned(text, gone), gone, set()).trimmed() for name, text in pages.items()}
    while broken := broken_links(pages, every, root, gone):
        for name, links in broken.items():
            pages[name] = Page(pages[name], gone, links).trimmed()
    for name, text in pages.items():
        if text != before[name]:
            write(root / name, text)


def broken_links(pages: Sources, files: set[str], root: Path, gone: Gone) -> dict[str, set[str]]:
    """Links of pages to left-out files and headings, by page."""
    found: dict[str, set[str]] = {}
    for name, text in pages.items():
        for link in LINK.findall(text):
            path, _, anchor = link.partition("#")
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) if path else name
            if gone.has(target) or (anchor and target in pages and anchor not in anchors(pages[target])):
                found.setdefault(name, set()).add(link)
    return found


def anchors(text: str) -> set[str]:
    """GitHub's anchors of the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


class Page:
    """A page in blocks: headings, fences, tables, items of lists, paragraphs."""

    def __init__(self, text: str, gone: Gone, links: set[str]) -> None:
        self.gone, self.links, self.text = gone, links, text
        self.word = gone.word_of(gone.names | gone.choices)

    def trimmed(self) -> str:
        """The text without the units that mention what is left out."""
        blocks = [(kind, self._block(kind, lines)) for kind, lines in blocks_of(self.text)]
        blocks = self._without_sections(blocks)
        kept: list[tuple[str, list[str]]] = []
        for kind, lines in blocks:
            if not lines and kept and kept[-1][0] == "text" and kept[-1][1][-1].endswith(":"):
                kept.pop()  # it introduced the block
            if lines and not (kind == "empty" and kept and kept[-1][0] == "empty"):
                kept.append((kind, lines))
        return "\n".join(line for _, lines in kept for line in lines).rstrip("\n") + "\n"

    def names(self, text: str) -> bool:
        """Whether a unit is about something left out."""
        for found in self.word.finditer(text):
            before, after = text[: found.start()], text[found.end() :]
            is_code = before.endswith(("`", "TARGET=", "source: ", "/", "<!-- ")) and not before.endswith("](/")
            if "-" in found[0] or is_code or after.startswith(("`:", "` =")) or re.search(r"bitbloom [a-z-]+ $", before):
                return True
        if text.strip("| ") in self.gone.choices:
            return True  # the first cell of a glossary
        if re.search(rf"\bmake (?:{any_of(COMMANDS)})\b", text):
            return True
        return bool(self.gone.file.search(text)) or any(f"]({link})" in text for link in self.links)

    def _block(self, kind: str, lines: list[str]) -> list[str]:
        if kind != "fence":
            lines = ASIDE.sub(lambda found: "" if self.names(found[0]) else found[0], "\n".join(lines)).split("\n")
        text = "\n".join(lines)
        if kind == "table":
            return self._rows(lines)
        if kind == "fence":
            if not lines[0].strip().strip("`").startswith(SHELL):
                return [] if self.names(text) else lines
            inside = [line for line in lines[1:-1] if not self.names(line)]
            return [lines[0], *inside, lines[-1]] if any(line.strip() for line in inside) else []
        if kind == "empty" or kind == "heading" or not self.names(text):
            return lines
        return [] if lines[0].startswith("![") else self._sentences(lines)

    def _rows(self, lines: list[str]) -> list[str]:
        """The rows that stay. A row with an empty first cell belongs to the row above."""
        kept, away = lines[:2], False
        for line in lines[2:]:
            row = "" if away and re.match(r"\|\s*\|", line) else self._row(line)
            away = not row
            kept += [row] if row else []
        return kept if len(kept) > 2 else []

    def _row(self, line: str) -> str:
        """A row without the clauses that mention what is left out; empty if a cell has only them, or the first cell has one."""
        cells = line.removesuffix(" |").split(" | ")
        mentioned = [number for number, cell in enumerate(cells) if self.names(cell)]
        for number in mentioned:
            cells[number] = "; ".join(clause for clause in re.split(r"; |, also ", cells[number]) if not self.names(clause))
        is_left = all(cells[number] for number in mentioned) and 0 not in mentioned
        return f"{' | '.join(cells)} |" if is_left else ""

    def _sentences(self, lines: list[str]) -> list[str]:
        """The lines without sentences that mention what is left out. What follows such a first sentence depends on it."""
        start = ITEM.match(lines[0])
        head = start[0] if start else ""
        words = " ".join([lines[0][len(head) :].strip(), *(line.strip() for line in lines[1:])])
        first, *more = SENTENCE.split(words)
        if self.names(first):
            return []
        return wrapped(" ".join([first, *(sentence for sentence in more if not self.names(sentence))]), head)

    def _without_sections(self, blocks: list[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
        """Without sections whose heading names a left-out task, and without those of which nothing is left."""
        kept, level = [], 0
        for number, (kind, lines) in enumerate(blocks):
            if kind == "heading" and lines:
                depth, title = HEADING.match(lines[0]).groups()
                if level and len(depth) <= level:
                    level = 0
                if not level and (self._is_about(title) or self._is_marked(blocks[number + 1 : number + 3])):
                    level = len(depth)
            if not level:
                kept.append((kind, lines))
        return [block for number, block in enumerate(kept) if block[0] != "heading" or self._has_content(kept[number:])]

    def _is_about(self, title: str) -> bool:
        return bool(set(re.findall(r"[\w-]+", title.lower())) & self.gone.names) or f"](#{title})" in self.links

    def _is_marked(self, blocks: list[tuple[str, list[str]]]) -> bool:
        """Whether a comment after the heading says that a section belongs to a left-out task: <!-- task NAME -->."""
        return any(f"<!-- task {task} -->" in lines for _, lines in blocks for task in self.gone.tasks)

    def _has_content(self, blocks: list[tuple[str, list[str]]]) -> bool:
        """Whether the section of the first block, a heading, has text or a section."""
        depth = len(HEADING.match(blocks[0][1][0])[1])
        for kind, lines in blocks[1:]:
            if kind == "heading":
                return len(HEADING.match(lines[0])[1]) > depth
            if any(line.strip() for line in lines):
                return True
        return depth == 1


def blocks_of(text: str) -> Iterator[tuple[str, list[str]]]:
    """The blocks of a page with their lines. Empty lines are blocks of their own."""
    lines, at = text.rstrip("\n").split("\n"), 0
    while at < len(lines):
        line, end = lines[at], at + 1
        if line.lstrip().startswith("```"):
            kind = "fence"
            while end < len(lines) and not lines[end].lstrip().startswith("```"):
                end += 1
            end += 1
        elif HEADING.match(line):
            kind = "heading"
        elif line.startswith("|"):
            kind = "table"
            while end < len(lines) and lines[end].startswith("|"):
                end += 1
        elif not line.strip():
            kind = "empty"
        else:
            kind = "item" if ITEM.match(line) else "text"
            while (
                end < len(lines)
                and lines[end].strip()
                and not re.match(r"#+ |\||\s*```", lines[end])
                and not ITEM.match(lines[end])
            ):
                end += 1
        yield kind, lines[at:end]
        at = end


def wrapped(text: str, head: str = "") -> list[str]:
    """Lines of a paragraph, or of an item with this head, within the width of pages."""
    options = {"initial_indent": head, "subsequent_indent": " " * len(head), "break_long_words": False, "break_on_hyphens": False}
    whole = WHOLE.sub(lambda found: found[0].replace(" ", "\0"), text)
    return [line.replace("\0", " ") for line in textwrap.wrap(whole, MARKDOWN_WIDTH, **options)]
