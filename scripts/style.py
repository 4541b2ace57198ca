"""Check terms and layout: the rules of `styles/` in all texts, fences and width in Markdown.

    python scripts/style.py [FILE …]    # part of `make lint`; without arguments, every file of the repository

`.vale.ini` and `styles/` are in Vale's format, of which this script applies `substitution` and `existence`. It reads the prose of
Markdown, the comments, strings and test names of Python, and the whole text of scripts, makefiles and YAML.
"""

from __future__ import annotations

import configparser
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[1]
SUFFIXES = {".md", ".py", ".sh", ".mk", ".yaml", ".yml", ".nix", ".js", ".html", ".j2", ".css", ".toml", ".ini", ".in", ".lua"}
NAMES = {"Makefile", "run", "Containerfile", "example.env"}
WIDTH = 120
"""Columns of a line in Markdown. Tables, pictures and code may be wider."""
FENCE = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
MARKUP = (FENCE, re.compile(r"<!--.*?-->", re.DOTALL), re.compile(r"\]\([^)\s]*\)"))
CODE = re.compile(r"`[^`\n]*`")
FIELD = re.compile(r"\{[^{}\n]*\}")
LOOKBEHIND_OR_BLANK = re.compile(r"(\(\?<![^)]*\))| ")
"""A blank of a pattern matches a line break too, except in a lookbehind, which has a fixed width."""
HIDDEN = "\0"
"""Stands for each character of code, so that no pattern matches across it."""


class Rule(NamedTuple):
    """A pattern to avoid. `message` has a `%s` for each of `words` before the text that was found."""

    name: str
    pattern: re.Pattern[str]
    message: str
    words: tuple[str, ...] = ()


def main(arguments: list[str]) -> int:
    """Print `path:line: message` for each find. Exit code 1 when there is one."""
    listed = subprocess.run(["git", "ls-files", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in listed.splitlines()]
    known, sections = list(rules(ROOT / "styles")), configuration(ROOT / ".vale.ini")
    found = [line for path in paths if is_text(path) for line in finds(path, path.relative_to(ROOT), known, sections)]
    print("\n".join(found) if found else "style: no finds")
    return bool(found)


def is_text(path: Path) -> bool:
    """Whether the rules are for such a file."""
    return path.is_file() and (path.suffix in SUFFIXES or path.name in NAMES)


def rules(styles: Path) -> Iterator[Rule]:
    """The rules of all styles, one for each entry of `swap` or `tokens`."""
    for path in sorted(styles.glob("*/*.yml")):
        file = yaml.safe_load(path.read_text(encoding="utf-8"))
        flags = re.IGNORECASE if file.get("ignorecase") else 0
        for token, better in (file.get("swap") or dict.fromkeys(file["tokens"])).items():
            spaced = LOOKBEHIND_OR_BLANK.sub(lambda found: found[1] or r"\s+", token)
            pattern = re.compile(rf"\b(?:{spaced})\b", flags)
            yield Rule(f"{path.parent.name}.{path.stem}", pattern, file["message"], (better,) if better else ())


def configuration(path: Path) -> configparser.ConfigParser:
    """`.vale.ini`: its sections are globs of paths."""
    parser = configparser.ConfigParser()
    parser.read_string("[general]\n" + path.read_text(encoding="utf-8"))
    return parser


def active(name: str, known: Iterable[Rule], sections: configparser.ConfigParser) -> list[Rule]:
    """The rules that the configuration selects for a path; later sections win."""
    styles, switches = "", {}
    for section in sections.sections():
        if fnmatch(name, section):
            styles = sections[section].get("BasedOnStyles", styles)
            switches |= {key: value for key, value in sections[section].items() if "." in key}
    chosen = [style.strip() for style in styles.split(",")]
    return [rule for rule in known if rule.name.partition(".")[0] in chosen and switches.get(rule.name.lower(), "YES") == "YES"]


def finds(path: Path, name: Path, known: Iterable[Rule], sections: configparser.ConfigParser) -> Iterator[str]:
    """The lines to print for one file, called `name`."""
    text = path.read_text(encoding="utf-8")
    words = prose(text, name.suffix)
    for rule in active(name.as_posix(), known, sections):
        for found in rule.pattern.finditer(words):
            shown = rule.message % (*rule.words, " ".join(found[0].split()))
            yield f"{name}:{text.count(chr(10), 0, found.start()) + 1}: {shown}"
    if name.suffix == ".md":
        yield from (f"{name}:{number}: {what}" for number, what in layout(text))


def prose(text: str, suffix: str) -> str:
    """The text with HIDDEN in place of code; each character keeps its offset."""
    if suffix == ".md":
        for pattern in MARKUP:
            text = pattern.sub(hide, text)
    else:
        text = re.sub(r"[\"'#]", " ", python(text) if suffix == ".py" else text)
    return CODE.sub(hide, text)


def hide(found: re.Match[str]) -> str:
    """As many characters, on as many lines."""
    return re.sub(r"[^\n]", HIDDEN, found[0])


def python(text: str) -> str:
    """The comments, the strings with a blank and the names of tests; the rest of the code is hidden."""
    starts = [0, *accumulate(map(len, text.splitlines(keepends=True)))]
    kept = list(re.sub(r"[^\s\"'#]", HIDDEN, text))
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        begin, end = (starts[row - 1] + column for row, column in (token.start, token.end))
        if token.type == tokenize.COMMENT:
            kept[begin:end] = token.string
        elif token.type == tokenize.STRING and " " in token.string:
            prefix = re.match("[a-zA-Z]*", token.string)[0]
            kept[begin:end] = " " * len(prefix) + FIELD.sub(hide, token.string[len(prefix) :])
        elif token.type == tokenize.NAME and token.string.startswith("test_"):
            kept[begin:end] = token.string.replace("_", " ")
    return "".join(kept)


def layout(text: str) -> Iterator[tuple[int, str]]:
    """What is wrong with the lines of a Markdown file: their numbers, from 1, and why."""
    fenced, above = False, ""
    for number, line in enumerate(text.splitlines(), start=1):
        if fence := re.match(r" *```(\w*)", line):
            fenced = not fenced
            if fenced and not fence[1]:
                yield number, "the fence of a code block names no language"
        elif not fenced and len(line) > WIDTH and not line.startswith(("|", "![")):
            yield number, f"{len(line)} columns; text has at most {WIDTH}"
        elif not fenced and not above and re.match(r"    \S", line):
            yield number, "indented code has no language: use a fence"
        above = line
    if fenced:
        yield number, "a code block has no end"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
