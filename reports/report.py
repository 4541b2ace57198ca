"""Check the exam report of DTU's course 02476, and turn it into one HTML page.

    python report.py check             # the form and every answer; exit code 1 if something is wrong
    python report.py check --strict    # and what the answers state about the repository
    python report.py check --form 27   # the form of 2023, with 27 questions
    python report.py html              # report.html, with its pictures inside; needs `pip install markdown`

Copy this file into the `reports` folder of any project of the course; for `--strict`, strict.py too. It needs Python 3.10 or
later and no package. With Pillow it also decodes JPEG files and finds blank pictures.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import html
import importlib.util
import re
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

# ---- The forms ---------------------------------------------------------------------------------------------------------------


class Limits(NamedTuple):
    """The least and the most words and images of an answer; None means any number."""

    words: tuple[int, int] | None = None
    images: tuple[int, int] | None = None


def form(count: int, special: dict[int, Limits]) -> dict[int, Limits]:
    """The limits by number. Two questions are free, most ask for 100 to 200 words, `special` has the others."""
    return {number: special.get(number, Limits((100, 200))) for number in range(1, count + 1)} | {1: Limits(), 2: Limits()}


SHORT, LONG, SHOTS = Limits((50, 100)), Limits((200, 300)), Limits((200, 300), (1, 3))
FORMS = {
    31: form(
        31,
        {3: Limits((0, 200)), 7: SHORT, 11: LONG, 12: SHORT, 14: SHOTS, 17: Limits((50, 200)), 28: Limits((0, 200))}
        | {number: Limits(None, (1, 2)) for number in (19, 20, 21)}
        | {29: Limits((200, 400), (1, 1)), 30: Limits((200, 400)), 31: Limits((50, 300))},
    ),
    27: form(
        27,
        {6: SHORT, 7: SHORT, 11: LONG, 12: SHORT, 14: SHOTS, 17: Limits((50, 200)), 19: Limits(None, (1, 2))}
        | {20: Limits(None, (1, 1)), 21: Limits(None, (1, 1)), 24: Limits((25, 100))}
        | {25: Limits((200, 400), (1, 1)), 26: Limits((200, 400)), 27: Limits((50, 200))},
    ),
}
CHECKLIST = "Overall project checklist"
NEW = "Deployment"
"""A section that the form of 2023 does not have."""
SECTIONS = [
    CHECKLIST,
    "Group information",
    "Coding environment",
    "Version control",
    "Running code and tracking experiments",
    "Working in the cloud",
    NEW,
    "Overall discussion of project",
]
EXAMPLES = {  # SHA-256 of the example figures that come with the form
    "b0a59bff99299446a1690ea6700793ca8b09e1e176222981224d2b4c35ef96f3",
    "667bbb4ed82acda269b913bcd88a8c07a98803956abb639fcc152ca51bf8016c",
    "e2dacac63e0577ae89a40bd6a09dd29f642594ef65d8eaf7116b91be29286a85",
    "da4a51ae9ce702d82c5b80418e582f77868824e1be8292d836f6a79a633c5b3c",
    "706bcf49f34bb8141b8f3984575802c1a141d3cecffbf7a5fb03baef42c67da1",
}

# ---- Reading the report ------------------------------------------------------------------------------------------------------

QUESTION = re.compile(r"### Question (\d+)\s*")
RENAMED = re.compile(r"#{1,6}\s*question\b\D*(\d+)", re.IGNORECASE)
MARKER = re.compile(r"(?:>\s*)?Answer:(.*)")
FENCE = re.compile(r"^ {0,3}(```|~~~).*?^ {0,3}\1[`~]*\s*$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"(`+)(?!`)((?:(?!\n[ >]*(?:\n|<)).)+?)(?<!`)\1(?!`)", re.DOTALL)
"""Code in a line. It ends with its paragraph."""
COMMENT = re.compile(rf"{FENCE.pattern}|{CODE.pattern.replace('1', '2')}|<!--(?:-?>|.*?-->)", re.DOTALL | re.MULTILINE)
"""A comment, or code, in which `<!--` starts none."""
NAMED = r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\]"
"""The text of a link or image, which may have brackets inside."""
IMAGE = re.compile(rf"!{NAMED}\(([^)]*)\)")
LINK = re.compile(rf"(?<!!){NAMED}\(([^)\s]*)[^)]*\)")
DEFINITION = re.compile(r"""^ {0,3}\[[^\]\n]+\]:[ \t]*\n?[ \t]*\S+(?:\s+(?:"[^"]*"|'[^']*'|\([^)]*\)))?[ \t]*$""", re.MULTILINE)
"""The address of a link with a name, which a page does not show."""
ELEMENT = re.compile(r"</?([a-zA-Z][\w-]*)(?=[\s/>])([^<>]*)>?|<([?!])[\w\[]")
PLAIN = {"b", "i", "em", "strong", "code", "kbd", "sub", "sup", "br", "img"}
"""HTML elements that hide nothing, without attributes."""


def visible(text: str) -> str:
    """The text without comments, line by line the same."""
    return COMMENT.sub(lambda found: "\n" * found[0].count("\n") if found[0].startswith("<!--") else found[0], text)


class Wrong(NamedTuple):
    """Something to mend: a line of the report, from 1, and what."""

    line: int
    text: str


class Unusable(Exception):
    """The command cannot go on; the message says why and what to do."""


@dataclass
class Answer:
    """What follows `> Answer:` below a question, up to the next question or section; `shown` is without comments."""

    number: int
    line: int
    prompt: str
    text: str
    shown: str

    def wrong(self, text: str) -> Wrong:
        """Something to mend in this answer."""
        return Wrong(self.line, f"question {self.number}: {text}")

    @property
    def plain(self) -> str:
        """The shown text without code."""
        return CODE.sub(" ", FENCE.sub(" ", self.shown))

    def words(self) -> list[str]:
        """The words that a reader sees, code included: neither images nor addresses nor signs alone."""
        text = re.sub(rf"!{NAMED}(?:\[[^\]]*\])?", " ", DEFINITION.sub(" ", IMAGE.sub(" ", self.shown)))
        text = html.unescape(re.sub(r"</?\w[^>]*>", " ", LINK.sub(r"\1", text)))
        return [word for word in text.split() if any(letter.isalnum() for letter in word)]


def read(path: Path) -> str:
    """The text of a report. Raises Unusable."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unusable(f"{path} is not UTF-8 (byte {error.start}): save it in that encoding") from error
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror}: run this in the folder of the report, or name it with --report") from error


def parse(text: str) -> list[Answer]:
    """The answers in the order of the file. A heading in a comment or in a code block is none."""
    lines, shown, marks = text.splitlines(), visible(text).splitlines(), structure(text)
    starts = [index for index, line in enumerate(marks) if QUESTION.fullmatch(line)]
    return [block(lines, shown, marks, start, end) for start, end in zip(starts, [*starts[1:], len(lines)], strict=False)]


def structure(text: str) -> list[str]:
    """The lines in which headings and marks count: those of comments and code blocks are empty."""
    return FENCE.sub(lambda found: "\n" * found[0].count("\n"), visible(text)).splitlines()


def block(lines: list[str], shown: list[str], marks: list[str], start: int, end: int) -> Answer:
    """The answer of one question, whose heading is line `start`, from 0."""
    end = next((at for at in range(start + 1, end) if section(marks[at])), end)
    number = int(marks[start].split()[2])
    at = next((at for at in range(start + 1, end) if MARKER.fullmatch(marks[at].rstrip())), None)
    if at is not None:
        text, kept = ("\n".join([MARKER.sub(r"\1", of[at]), *of[at + 1 : end]]).strip() for of in (lines, shown))
        return Answer(number, at + 1, "\n".join(lines[start + 1 : at]), text, kept)
    text, kept = ("\n".join(line for line in of[start + 1 : end] if line[:1] != ">").strip() for of in (lines, shown))
    return Answer(number, start + 1, "\n".join(line for line in lines[start + 1 : end] if line[:1] == ">"), text, kept)


def section(line: str) -> str:
    """The name of a section that starts in a line, else nothing."""
    return name if line.startswith("## ") and (name := line[3:].strip()) in SECTIONS else ""


# ---- Checks of the form ------------------------------------------------------------------------------------------------------


def check_form(text: str, answers: list[Answer], count: int) -> Iterator[Wrong]:
    """Parts that are missing, renamed, repeated or moved, and marks that the course's own script would misread."""
    lines, marks = text.splitlines(), structure(text)
    numbers = [answer.number for answer in answers]
    yield from check_parts(lines, marks, set(range(1, count + 1)) - set(numbers), count)
    for answer, before in zip(answers, [0, *numbers], strict=False):
        if answer.number > count:
            yield answer.wrong(f"the form has {count} questions")
        elif numbers.count(answer.number) > 1:
            yield answer.wrong("its heading is there twice")
        elif answer.number < before:
            yield answer.wrong(f"it follows question {before}")
        if not MARKER.fullmatch(marks[answer.line - 1].rstrip()):
            yield answer.wrong("the line '> Answer:' is missing")
    first = min((at for at, line in enumerate(marks, 1) if QUESTION.fullmatch(line)), default=len(lines))
    for at, line in enumerate(lines[: first - 1], 1):
        if "Answer:" in line:
            yield Wrong(at, "'Answer:' before the first question: the course's script would count it")


def check_parts(lines: list[str], marks: list[str], missing: set[int], count: int) -> Iterator[Wrong]:
    """Questions and sections that are missing, a checklist without boxes, and a comment without an end."""
    hidden = {int(found[1]): at for at, line in enumerate(lines, 1) if (found := QUESTION.fullmatch(line)) and not marks[at - 1]}
    like = {
        int(found[1]): at for at, line in enumerate(marks, 1) if not QUESTION.fullmatch(line) and (found := RENAMED.match(line))
    }
    for number in sorted(missing):
        at = like.get(number) or hidden.get(number) or 1
        why = f": '{lines[at - 1]}' is not '### Question {number}'" if number in like else ""
        yield Wrong(at, f"question {number} is missing{why or ': a comment or code block hides it' * (number in hidden)}")
    for name in SECTIONS:
        if name not in map(section, marks) and (name != NEW or count == max(FORMS)):
            yield Wrong(1, f"the section '## {name}' is missing")
    if not any(re.match(r"\s*[-*+] \[[ xX]\] ", line) for line in marks):
        yield Wrong(1, "the checklist has no boxes")
    at = next((at for at, line in enumerate(marks, 1) if "<!--" in CODE.sub("", line)), 0)
    if at:
        yield Wrong(at, "a comment has no end: it hides what follows")


def check_marks(answer: Answer) -> Iterator[Wrong]:
    """Headings and marks inside an answer: the course's own script ends the answer there, or takes it for the next one."""
    if "Answer:" in answer.text:
        yield answer.wrong(
            "'Answer:' inside the answer moves all later answers by one in the course's script: write it otherwise"
        )
    if "Answer:" in answer.prompt:
        yield answer.wrong("'Answer:' is in the question twice")
    heading = re.search(r"^ {0,3}#{1,6}\s.*", answer.plain, re.MULTILINE) or re.search(
        r"^\S.*\n(?:===+|---+) *$", answer.plain, re.MULTILINE
    )
    if heading:
        yield answer.wrong(f"a heading inside the answer: '{heading[0].splitlines()[0].strip()}': use bold text")
    elif "##" in answer.text:
        yield answer.wrong("'##' inside the answer: the course's script ends the answer there")
    if len(re.findall(r"^ {0,3}(?:```|~~~)", answer.text, re.MULTILINE)) % 2:
        yield answer.wrong("a code block has no end")
    for name, attributes, other in ELEMENT.findall(answer.plain):
        if other or name.lower() not in PLAIN or (attributes.strip(" /") and name.lower() != "img"):
            yield answer.wrong(f"the HTML element <{name or other}{attributes}> may hide text: write it in Markdown, or as code")
            break
    for note in re.findall(r"^ {0,3}(\[\^[^\]]+\]):", answer.plain, re.MULTILINE):
        if answer.plain.count(note) < 2:
            yield answer.wrong(f"the footnote {note} is not shown: the text does not refer to it")


# ---- Checks of the text ------------------------------------------------------------------------------------------------------

BLANK = re.compile(r"-{3,}[^\n]*?\bfill here\b:?\s*([^\n]*?)\s*-{3,}", re.IGNORECASE)
LEFTOVER = re.compile(
    r"(?<!\bno )\b(?:TODO|FIXME|TBD|sX{4,})\b(?! comments?\b)|^\W*(?:to )?fill (?:in|out|here)\W*$"
    r"|\blorem ipsum\b|<weblink>|<image>|(?<=\s)\.\.\.(?=\s)",
    re.IGNORECASE | re.MULTILINE,
)
COMMON = set(
    re.findall(
        r"\w+",
        "a an and are as at be because been but by can for from had has have if in is it its more no not of on one or so that the"
        " their them then there these they this to use used was we were what when which while will with would you our",
    )
)
"""Words that no English text goes without."""


def check_text(answer: Answer, limits: Limits) -> Iterator[Wrong]:
    """Blanks, what is left of the form, filler, and the number of words."""
    blanks = BLANK.findall(answer.text)
    written = replace(answer, text=BLANK.sub("", answer.text).strip(), shown=BLANK.sub("", answer.shown).strip())
    is_answered = bool(written.words() or IMAGE.search(written.plain))
    for blank in blanks:
        if is_answered and not blank:
            yield answer.wrong("a blank is left beside the answer: remove it")
        else:
            yield answer.wrong(f"to fill in{': ' if blank else ''}{blank}")
    left = LEFTOVER.search(answer.plain)
    if left:
        yield answer.wrong(f"'{left[0]}' is left to fill in")
    if not is_answered and not blanks and (limits.words is None or limits.words[0]):
        yield answer.wrong("there is no answer")
    elif answer.number <= 2 and is_answered and not re.search(r"\d|sX{4}", written.shown):
        yield answer.wrong("it names no number")
    elif limits.words and is_answered:
        yield from check_length(written, *limits.words)
        yield from (answer.wrong(text) for text in filler(written))


def check_length(answer: Answer, least: int, most: int) -> Iterator[Wrong]:
    """The number of words, as a reader and as the course's script count them."""
    seen, counted = len(answer.words()), len(answer.text.split())
    if not least <= seen <= most:
        yield answer.wrong(f"{seen} words; {least} to {most} are asked for")
    elif not least <= counted <= most:
        yield answer.wrong(
            f"{counted} words as the course's script counts them (marks, comments, addresses); {least} to {most} are asked for"
        )


def filler(answer: Answer) -> Iterator[str]:
    """Why a text says less than its number of words: repeated words, repeated passages, a copied question, no sentences."""
    found = letters(answer.words())
    if len(found) < 20:
        return
    word, times = Counter(found).most_common(1)[0]
    if times * 5 > len(found):
        yield f"filler: '{word}' is {times} of {len(found)} words"
    elif len(set(found)) * 3 < len(found):
        yield f"filler: {len(found)} words, of which {len(set(found))} are different"
    elif len(set(passages(found))) < 0.85 * len(passages(found)):
        yield "filler: passages are repeated"
    elif sum(word in COMMON for word in found) * 12 < len(found):
        yield "filler: the words form no sentences"
    asked = set(passages(letters(re.sub(r"[>*]", " ", answer.prompt).split())))
    if sum(passage in asked for passage in passages(found)) * 3 > len(found):
        yield "filler: it repeats the question"


def check_copies(answers: list[Answer]) -> Iterator[Wrong]:
    """Answers of which more than a quarter is in an earlier one."""
    earlier: dict[tuple[str, ...], int] = {}
    for answer in answers:
        found = passages(letters(answer.words()))
        copied = Counter(earlier[passage] for passage in found if passage in earlier)
        if len(found) > 20 and copied.total() * 4 > len(found):
            yield answer.wrong(f"filler: it repeats the answer to question {copied.most_common(1)[0][0]}")
        earlier = dict.fromkeys(found, answer.number) | earlier


def letters(words: Iterable[str]) -> list[str]:
    """The words in lower case, without other signs than letters and digits."""
    return [word for word in (re.sub(r"\W+", "", word).lower() for word in words) if word]


def passages(found: list[str]) -> list[tuple[str, ...]]:
    """Every five words in a row."""
    return [tuple(found[at : at + 5]) for at in range(len(found) - 4)]


# ---- Checks of the images ----------------------------------------------------------------------------------------------------

LEAST_WIDTH = 200
"""A narrower picture, in pixels, cannot be read."""
MOST_BYTES = 1 << 30


def check_images(answer: Answer, limits: Limits, folder: Path, seen: dict[str, int]) -> Iterator[Wrong]:
    """The number of images, and each file. `seen` has the question of each picture so far, by the hash of its file."""
    targets = [target.strip() for _, target in IMAGE.findall(answer.plain)]
    if limits.images and not limits.images[0] <= len(targets) <= limits.images[1]:
        least, most = limits.images
        yield answer.wrong(f"{len(targets)} images; {least}{f' to {most}' if most > least else ''} asked for")
    if re.search(r"<img\b", answer.plain, re.IGNORECASE):
        yield answer.wrong("an <img> is not counted: write ![what it shows](figures/name.png)")
    for target in targets:
        try:
            path = located(target, folder)
            data = path.read_bytes()
            width, height = decoded(data, path.suffix.lower())
        except (OSError, ValueError) as error:
            yield answer.wrong(f"{target}: {getattr(error, 'strerror', None) or error}")
            continue
        key = hashlib.sha256(data).hexdigest()
        if width < LEAST_WIDTH or height < LEAST_WIDTH // 4:
            yield answer.wrong(f"{target} has {width}×{height} pixels: too small to read")
        if key in EXAMPLES:
            yield answer.wrong(f"{target} is the example of the form, not a picture of this project")
        if seen.setdefault(key, answer.number) != answer.number:
            yield answer.wrong(f"{target} is the picture of question {seen[key]} already")


def located(target: str, folder: Path) -> Path:
    """The file of an image. Raises ValueError when it is not one in `figures`."""
    name = re.sub(r"\s+[\"'].*", "", target).strip("<>")
    path = folder / unquote(name)
    if re.match(r"\w+:", name) or " " in name:
        raise ValueError("has to be a file in figures/, with a name without blanks")
    if not name.startswith("figures/") or ".." in Path(name).parts:
        raise ValueError("is not in figures/: the course collects this folder only")
    if path.suffix not in (".png", ".jpg", ".jpeg"):
        raise ValueError("is not .png, .jpg or .jpeg")
    if not path.is_file() or path not in path.parent.iterdir():
        raise ValueError("is missing (capital letters count)")
    return path


def decoded(data: bytes, suffix: str) -> tuple[int, int]:
    """Width and height of a picture whose data are whole. Raises ValueError."""
    for kind, magic, read_size in (("PNG", b"\x89PNG\r\n\x1a\n", png), ("JPEG", b"\xff\xd8", jpeg)):
        if data.startswith(magic) and (suffix == ".png") == (kind == "PNG"):
            size = read_size(data)
            if importlib.util.find_spec("PIL"):
                look(data)
            return size
    raise ValueError(f"is not a {'PNG' if suffix == '.png' else 'JPEG'} file, whatever its name says")


def look(data: bytes) -> None:
    """Decode a picture with Pillow. Raises ValueError when it is damaged or has one colour only."""
    from io import BytesIO

    from PIL import Image

    try:
        bands = Image.open(BytesIO(data)).convert("RGB").split()
    except Exception as error:  # Pillow raises errors of many types
        raise ValueError(f"is damaged: {error}") from error
    if all(least == most for least, most in (band.getextrema() for band in bands)):
        raise ValueError("is blank: it has one colour only")


def png(data: bytes) -> tuple[int, int]:
    """Decode a PNG file: checksums of its chunks, and as many bytes of pixels as its size needs."""
    chunks: dict[bytes, bytes] = {}
    at = 8
    while at + 12 <= len(data) and b"IEND" not in chunks:
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + size]
        if at + 12 + size > len(data):
            raise ValueError("is cut off")
        if data[at + 8 + size : at + 12 + size] != struct.pack(">I", zlib.crc32(kind + body)):
            raise ValueError("is damaged: a checksum is wrong")
        chunks[kind] = chunks.get(kind, b"") + body
        at += 12 + size
    if not {b"IHDR", b"IDAT", b"IEND"} <= set(chunks):
        raise ValueError("is cut off")
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    needed = height * (1 + (width * depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 1) + 7) // 8)
    if not 0 < needed < MOST_BYTES:
        raise ValueError(f"has {width}×{height} pixels")
    try:
        pixels = zlib.decompressobj().decompress(chunks[b"IDAT"], needed)
    except zlib.error as error:
        raise ValueError("is damaged: its pixels cannot be decompressed") from error
    if len(pixels) < needed and not interlaced:
        raise ValueError("is cut off")
    return width, height


def jpeg(data: bytes) -> tuple[int, int]:
    """Read the size of a JPEG file and find its end."""
    at, size = 2, (0, 0)
    while at + 9 < len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        marker, length = data[at + 1], struct.unpack(">H", data[at + 2 : at + 4])[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            size = (width, height)
        at += 2 + length
    if not all(size) or b"\xff\xd9" not in data[-64:]:
        raise ValueError("is cut off")
    return size


# ---- The page ----------------------------------------------------------------------------------------------------------------

STYLE = """
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --soft: #f3f1f4; --line: #ccc; --mark: #a3255c; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e6ea; --paper: #18161b; --soft: #26232b; --line: #4a4650; --mark: #f08bb6; }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 50rem; padding: 1rem; font: 1rem/1.55 system-ui, "DejaVu Sans", sans-serif;
  color: var(--ink); background: var(--paper); overflow-wrap: anywhere;
}
h1, h2, h3 { line-height: 1.25; margin: 2rem 0 .6rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.3rem; border-bottom: 1px solid var(--line); padding-bottom: .2rem; }
a { color: var(--mark); }
img { display: block; max-width: 100%; height: auto; margin: .8rem 0; border: 1px solid var(--line); background: #fff; }
nav { columns: 9rem; font-size: .85rem; }
nav ul { list-style: none; margin: 0; padding-left: .8rem; } nav .toc > ul { padding: 0; }
blockquote {
  margin: .6rem 0; padding: .1rem 1rem; background: var(--soft); border-left: 3px solid var(--mark); font-size: .92rem;
}
code { font: .9em ui-monospace, "DejaVu Sans Mono", monospace; background: var(--soft); padding: .1em .25em; }
pre { background: var(--soft); padding: .8rem; overflow-x: auto; } pre code { padding: 0; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border: 1px solid var(--line); padding: .3rem .6rem; text-align: left; }
li.box { list-style: none; margin-left: -1.4em; padding-left: 1.5em; text-indent: -1.5em; } li.box input { margin: 0 .5em 0 0; }
@media print {
  :root { color-scheme: light; --ink: #000; --paper: #fff; --soft: #f3f3f3; --line: #999; --mark: #000; }
  body { max-width: none; padding: 0; font-size: 10.5pt; } nav { break-after: page; }
  h2, h3 { break-after: avoid; } img, pre, table, blockquote { break-inside: avoid; } pre { white-space: pre-wrap; }
}
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<nav aria-label="Contents">{contents}</nav>
<main>
{body}
</main>
</body>
</html>
"""


def page(text: str, folder: Path) -> str:
    """The report as one HTML page. Tags in the report are shown as text. Raises Unusable."""
    try:
        import markdown
    except ImportError as error:
        raise Unusable("the page needs the package Markdown: pip install markdown, or uv add markdown") from error
    reader = markdown.Markdown(
        extensions=["tables", "fenced_code", "sane_lists", "toc"],
        extension_configs={"toc": {"toc_depth": "2-3"}},
        output_format="html",
    )
    reader.preprocessors.deregister("html_block")
    reader.inlinePatterns.deregister("html")
    body = reader.convert(separated(visible(text)))
    body = re.sub(r"<li>(<p>)?\[([ xX])\] ", checkbox, body)
    body = re.sub(r'(<img [^>]*?src=")([^"]+)(")', lambda found: found[1] + embedded(found[2], folder) + found[3], body)
    title = re.sub(r"<[^>]+>", "", (re.search(r"<h1[^>]*>(.*?)</h1>", body) or ["", "Exam report"])[1])
    return PAGE.format(title=title, contents=reader.toc, body=body, style=STYLE, policy=POLICY)


ITEM = re.compile(r"\s*(?:[-*+]|\d+\.) ")


def separated(text: str) -> str:
    """The text with an empty line before a list that follows a paragraph directly: GitHub needs none, the package does."""
    lines = [""]
    is_code = False
    for line in text.splitlines():
        is_code ^= bool(re.match(r" {0,3}(?:```|~~~)", line))
        if not is_code and ITEM.match(line) and lines[-1].strip() and not re.match(rf"{ITEM.pattern}|\s+\S|>", lines[-1]):
            lines.append("")
        lines.append(line if is_code else re.sub(r"^ {2,3}(?=[-*+] )", "    ", line))
    return "\n".join(lines)


def checkbox(found: re.Match[str]) -> str:
    """The start of an item of a checklist."""
    ticked = " checked" if found[2] != " " else ""
    return f'<li class="box">{found[1] or ""}<input type="checkbox" disabled{ticked}>'


def embedded(source: str, folder: Path) -> str:
    """An image as data: address. Raises Unusable."""
    if source.startswith("data:"):
        return source
    try:
        path = located(source, folder)
    except ValueError as error:
        raise Unusable(f"{source} {error}") from error
    kind = "png" if path.suffix == ".png" else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


# ---- The commands ------------------------------------------------------------------------------------------------------------


def check(report: Path, count: int, strict: bool) -> list[Wrong]:
    """Everything to mend in a report, in the order of its lines."""
    text = read(report)
    answers = parse(text)
    found = [*check_form(text, answers, count), *check_copies(answers)]
    seen: dict[str, int] = {}
    for answer in answers:
        limits = FORMS[count].get(answer.number, Limits())
        found += [*check_marks(answer), *check_text(answer, limits), *check_images(answer, limits, report.parent, seen)]
    if strict:
        found += check_statements(answers, report)
    return sorted(found)


def check_statements(answers: list[Answer], report: Path) -> Iterator[Wrong]:
    """What the answers state and the repository does not have. Raises Unusable without strict.py."""
    try:
        import strict
    except ImportError as error:
        raise Unusable("--strict needs strict.py beside report.py: copy it, too") from error
    plain = {answer.number: FENCE.sub(" ", answer.shown) for answer in answers if not BLANK.search(answer.text)}
    by_number = {answer.number: answer for answer in answers}
    for number, text in strict.false_statements(plain, report.resolve().parent):
        yield by_number[number].wrong(text)


def write(path: Path, text: str) -> None:
    """Write a file whole: beside, then under its name."""
    beside = path.with_name(f".{path.name}.tmp")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def tell(report: Path, found: Iterable[Wrong], count: int) -> int:
    """Print what is wrong, then how many questions are right. Returns the exit code."""
    found = list(found)
    for line, text in found:
        print(f"{report}:{line}: {text}")
    bad = {number for _, text in found for number in re.findall(r"^question (\d+)", text)}
    print(f"{count - len(bad)} of {count} questions are right" + (f"; {len(found)} things to mend" if found else ""))
    return bool(found)


def main(arguments: list[str] | None = None) -> int:
    """Run a command. Exit code 1 if something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["check", "html"])
    parser.add_argument(
        "--report",
        type=Path,
        default=Path(__file__).with_name("README.md"),
        help="the report (default: README.md beside this file)",
    )
    parser.add_argument("--form", type=int, choices=sorted(FORMS), default=31, help="how many questions the form has")
    parser.add_argument("--strict", action="store_true", help="also compare statements with the repository")
    asked = parser.parse_args(arguments)
    try:
        if asked.command == "check":
            return tell(asked.report, check(asked.report, asked.form, asked.strict), asked.form)
        written = asked.report.with_name("report.html")
        write(written, page(read(asked.report), asked.report.parent))
        print(written)
    except Unusable as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
