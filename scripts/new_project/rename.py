"""The old name becomes the new one, in texts and in paths; lines that grow too long are broken. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath

from .names import OLD, Names

FOUND = re.compile(OLD.package, re.IGNORECASE)
IMAGE = re.compile(r"/(?:(?:petals|tweets|captions|training)(?!/)|\$|\{|<)")
"""What follows the first part of an image's name: bitbloom/petals, bitbloom/$(TARGET)."""
NO_IMAGE = ("src/", "opt/", "tmp/", ".")
OF_CLOUDS = ("registry.example/", "NAMESPACE=", "REPOSITORY=", "service-accounts create ", "urn:")
"""What precedes a name in which a cloud, a cluster or a URN allows no underscore."""
OF_STYLES = ("styles/", "BasedOnStyles = ")
"""What precedes the folder of the rules for words, which Vale names with a dot: BitBloom.Pages."""
AROUND = 40
"""Characters of context before a name that decide about its form."""
MARKDOWN_WIDTH, CODE_WIDTH = 120, 130


def renamed(text: str, new: Names) -> str:
    """The text with every form of the old name replaced by the same form of the new one."""
    return FOUND.sub(
        lambda found: form(found[0], text[max(0, found.start() - AROUND) : found.start()], text[found.end() :], new), text
    )


def form(word: str, before: str, after: str, new: Names) -> str:
    """The new name in the form of one occurrence of the old one, given the text on both sides."""
    if word == OLD.upper:
        return new.upper
    if word == OLD.package:
        return new.dashed if _is_of_clouds(before, after) else new.package
    is_identifier = re.match(r"\w|\.\w", after) or re.search(r"\w$", before) or before.endswith(OF_STYLES)
    return new.camel if is_identifier else new.title


def _is_of_clouds(before: str, after: str) -> bool:
    is_image = IMAGE.match(after) and not before.endswith(NO_IMAGE)
    return bool(re.match(r"-[\w${]|@", after) or re.search(r"\w-$", before) or is_image or before.endswith(OF_CLOUDS))


def renamed_path(path: PurePosixPath, new: Names) -> PurePosixPath:
    """A path with the new name in its parts: src/my_project, styles/MyProject."""
    parts = (FOUND.sub(lambda found: new.package if found[0] == OLD.package else new.camel, part) for part in path.parts)
    return PurePosixPath(*parts)


def rename_files(root: Path, names: Iterable[PurePosixPath], new: Names) -> list[PurePosixPath]:
    """Rename a repository's files and their texts; return the new paths. Files that are not text keep their bytes."""
    moved = []
    for name in names:
        path, target = root / name, root / renamed_path(name, new)
        if (text := text_of(path)) is not None and FOUND.search(text):
            write(path, broken(renamed(text, new), name.suffix))
        if target != path:
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
        moved.append(PurePosixPath(target.relative_to(root).as_posix()))
    return moved


def text_of(path: Path) -> str | None:
    """The text of a file, None if it is a link or holds other bytes than text."""
    if path.is_symlink() or not path.is_file():
        return None
    data = path.read_bytes()
    try:
        return None if b"\0" in data else data.decode()
    except UnicodeDecodeError:
        return None


def write(path: Path, text: str) -> None:
    """Write a text with the bytes of its lines' ends as they are; the file keeps its mode."""
    path.write_text(text, encoding="utf-8", newline="")


def broken(text: str, suffix: str) -> str:
    """The text with too long lines of prose broken: in Markdown, and in comments and docstrings of Python."""
    lines = text.split("\n")
    if suffix == ".md":
        return "\n".join(_lines(lines, MARKDOWN_WIDTH, _markdown_prose(lines), _continues))
    return "\n".join(_lines(lines, CODE_WIDTH, _python_prose(lines), lambda _: False)) if suffix == ".py" else text


def _lines(lines: list[str], width: int, indents: Mapping[int, str], continues: Callable[[str], bool]) -> list[str]:
    """Break lines of prose at the last blank that fits. The rest begins the next line if that continues the paragraph."""
    done, rest = [], ""
    for number, line in enumerate(lines):
        if rest and number in indents and continues(line):
            line = f"{rest} {line.lstrip()}"
        elif rest:
            done.append(rest)
        rest = ""
        while len(line) > width and number in indents and (at := _last_blank(line, width, indents[number])):
            done.append(line[:at].rstrip())
            line = rest = indents[number] + line[at:].lstrip()
        if not rest:
            done.append(line)
    return [*done, rest] if rest else done


def _continues(line: str) -> bool:
    """Whether a line of Markdown continues a paragraph or an item."""
    return bool(line.strip()) and not re.match(r"\s*(?:[-*] |\d+\. )", line)


def _last_blank(line: str, width: int, indent: str) -> int:
    """The position of the last blank before the width that is not in code and leaves words on both sides, else 0."""
    blanks = [at for at in range(len(indent) + 1, width + 1) if line[at] == " " and line[:at].strip(" #-")]
    return max((at for at in blanks if line.count("`", 0, at) % 2 == 0), default=0)


def _markdown_prose(lines: list[str]) -> dict[int, str]:
    """Numbers of the lines of Markdown that may be broken, with the indentation of what follows."""
    found, fenced = {}, False
    for number, line in enumerate(lines):
        fenced ^= line.lstrip().startswith("```")
        if not fenced and not line.lstrip().startswith(("|", "![", "#", "```", "<!--")):
            found[number] = re.match(r"\s*(?:[-*] |\d+\. )?", line)[0].translate(str.maketrans("-*.0123456789", " " * 13))
    return found


def _python_prose(lines: list[str]) -> dict[int, str]:
    """The same for the comments and the docstrings of Python."""
    found, quoted = {}, False
    for number, line in enumerate(lines):
        indent, quotes = line[: len(line) - len(line.lstrip())], line.count('"""')
        if line.lstrip().startswith("#"):
            found[number] = f"{indent}# "
        elif quoted or line.lstrip().startswith('"""'):
            found[number] = indent
        quoted ^= quotes % 2 == 1
    return found
