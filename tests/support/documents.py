"""The fenced blocks and links of the Markdown files of the repository, and the commands in shell blocks."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.tiny import REPOSITORY

FENCED = re.compile(r"^(?P<indent> *)```(?P<language>\w+)\n(?P<text>.*?)^ *```", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"""((?:[^\s'"#]|'[^']*'|"[^"]*"|(?<=\S)#|\s(?!#))*)""")
"""A line up to its comment: a `#` at its start or after a blank, outside of quotes."""
PLACEHOLDER = re.compile(r"<[a-z][^<>\n]*>")
ASSIGNMENT = re.compile(r"(\w+)=(.*)", re.DOTALL)
REDIRECTION = re.compile(r"&?[<>]+&?")
OPERATORS = set("();|&")
SOMETHING = "…"
"""What stands for a name or value of the reader."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, the number of its first line, its language and its text."""

    page: str
    line: int
    language: str
    text: str

    @property
    def first(self) -> str:
        """The first line, which names the block in its page."""
        return self.text.splitlines()[0].strip()

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A simple command of a shell block: the variables set for it, and its words."""

    block: Block
    variables: tuple[tuple[str, str], ...]
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.block}: {' '.join(self.words)}"


def pages() -> list[str]:
    """Paths of all Markdown files that git has or would take."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "*.md"]
    listed = subprocess.check_output(command, cwd=REPOSITORY, text=True).splitlines()
    return sorted(name for name in listed if (REPOSITORY / name).is_file())


def read(page: str) -> str:
    """The text of a page."""
    return (REPOSITORY / page).read_text(encoding="utf-8")


def blocks(*languages: str) -> list[Block]:
    """Every fenced block in one of these languages."""
    return [block for page in pages() for block in of_page(page, read(page)) if block.language in languages]


def of_page(page: str, text: str) -> Iterator[Block]:
    """The blocks of one page."""
    for found in FENCED.finditer(text):
        lines = [line.removeprefix(found["indent"]) for line in found["text"].splitlines()]
        yield Block(page, text.count("\n", 0, found.start()) + 2, found["language"], "\n".join(lines))


def commands(block: Block) -> Iterator[Command]:
    """The simple commands of a shell block, in order. Raises ValueError for an open quote."""
    for line in _lines(block.text):
        lexer = shlex.shlex(PLACEHOLDER.sub(SOMETHING, line), posix=True, punctuation_chars="();<>|&")
        lexer.whitespace_split, lexer.commenters = True, ""
        words: list[str] = []
        tokens = [*lexer, ";"]
        for before, token in zip(["", *tokens], tokens, strict=False):
            if set(token) <= OPERATORS:
                if words:
                    yield _command(block, words)
                words = []
            elif not REDIRECTION.fullmatch(token) and not REDIRECTION.fullmatch(before):
                words.append(token)


def _lines(text: str) -> Iterator[str]:
    """Logical lines without comments: a backslash or an open quote continues a line."""
    kept = ""
    for line in text.splitlines():
        kept += line
        found = COMMENT.match(kept)
        assert found is not None
        if kept[found.end() :][:1] in tuple("'\""):
            kept += "\n"
        elif kept.endswith("\\"):
            kept = kept[:-1]
        else:
            yield found[1]
            kept = ""
    if kept:
        raise ValueError(f"a quote or a continuation has no end: {kept}")


def _command(block: Block, words: list[str]) -> Command:
    variables = []
    while words and (found := ASSIGNMENT.fullmatch(words[0])):
        variables.append((found[1], found[2]))
        words = words[1:]
    return Command(block, tuple(variables), tuple(words))


def anchors(path: Path) -> set[str]:
    """GitHub's anchors of the headings of a page; a repeated heading has a number."""
    text = FENCED.sub("", path.read_text(encoding="utf-8"))
    found: dict[str, int] = {}
    names = set()
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        names.add(f"{name}-{found[name]}" if name in found else name)
        found[name] = found.get(name, 0) + 1
    return names
