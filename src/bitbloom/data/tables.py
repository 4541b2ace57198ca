"""Tables as text, as people have them: separated by `,`, `;`, tab or `|`, in UTF-8, UTF-16 or Windows-1252.

A table is read where its form is unambiguous. The reader compares records with lines, because one quote that is not doubled
makes a quoted field out of all lines up to the next quote. A quoted field of several lines is valid.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bitbloom.core.errors import BitBloomError

UTF_8 = "UTF-8"
BOMS = (
    (codecs.BOM_UTF8, UTF_8),
    (codecs.BOM_UTF32_LE, "UTF-32-LE"),  # before UTF-16, whose mark starts it
    (codecs.BOM_UTF32_BE, "UTF-32-BE"),
    (codecs.BOM_UTF16_LE, "UTF-16-LE"),
    (codecs.BOM_UTF16_BE, "UTF-16-BE"),
)
OTHER_FILES = (
    (b"PK\x03\x04", "a zip or an Excel workbook: unpack it, or save the sheet as CSV in UTF-8"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook: save the sheet as CSV in UTF-8"),
    (b"\x1f\x8b", "compressed by gzip: unpack it"),
    (b"PAR1", "a Parquet file: write it as CSV in UTF-8"),
    (b"SQLite format 3", "a database: write the table as CSV in UTF-8"),
)
"""First bytes of files that are not text → what they are, and what to do."""
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
MOST_LINES = 50
"""Largest number of lines in a record: a text of a record is short."""
LONGEST_HEADER = 10_000
FEWEST_FIELDS = 4
"""Smallest number of fields by which a line looks like a row; a sentence with fewer commas is common."""

_SEPARATOR = re.compile(r"\Asep=(.)\r?\n")
"""The first line that some programs write for Excel."""
_RARE = bytes((0x81, 0x8D, 0x8F, 0x90, 0x9D, 0xFF))
"""Bytes that are undefined in Windows-1252, or hardly occur in a text."""
_NOT_WESTERN = re.compile(
    rb"[\xd0\xdd\xde\xf0\xfd\xfe]|"  # Ð Ý Þ ð ý þ: Turkish in Windows-1254, which has Ğ İ Ş ğ ı ş in their places
    rb"[A-Za-z][\xa1-\xb3\xb5\xb6\xb8-\xbf][a-z]|"
    rb"[a-z][\x80-\x83\x86-\x8b\x8d-\x90\x94\x95\x98\x99\x9b\x9d\x9f][a-z]|[a-z][\x83\x88\x8a\x8c\x8e\x8f\x9f]"  # Mac Roman
)
"""Letters of other alphabets, and signs or capitals within a word: the bytes are in another encoding than Windows-1252."""
_LETTERS = re.compile(rb"[\xa1-\xff]{4,}")
"""Four letters with accents: a word in another script."""
_CAPITALS = frozenset(map(ord, "ÀÂÄÇÈÉÊËÎÏÔÖÙÛÜ"))


@dataclass(frozen=True)
class Record:
    """A row: its number (the header has 1), the number of its first line, and its values by the names of the columns."""

    number: int
    line: int
    values: dict[str, str]

    @property
    def place(self) -> str:
        """The row for a message, with the line if that is another number."""
        return f"row {self.number}" if self.line == self.number else f"row {self.number} (line {self.line})"


@dataclass(frozen=True)
class Table:
    """The records of a file, and its form. Names of columns are in lower case, without blanks around them."""

    encoding: str
    delimiter: str
    header: list[str]
    records: list[Record]
    lines: int

    @property
    def form(self) -> str:
        """The form in words."""
        return f"{self.encoding}, separated by {DELIMITERS[self.delimiter]}, {len(self.records):,} rows in {self.lines:,} lines"


def read(file: Path, required: Sequence[str], checks: Mapping[str, Callable[[str], bool]], takes: str) -> Table:
    """Read a table with a header. Rows without any value are skipped.

    Args:
        file: path of the file.
        required: names of columns that it must have.
        checks: column, the id first → whether a value can be in it. A line within a quoted field is suspected to be a row if it
            passes all checks, or if its id is a number.
        takes: what the caller takes, for the message about missing columns.

    Raises:
        BitBloomError: the file is not a table, lacks a column or rows, its encoding is ambiguous, or a row is suspicious.
    """
    text, encoding = decode(file)
    first = 1
    if separator := _SEPARATOR.match(text):
        text, first = text[separator.end() :], 2
    if not text.strip():
        raise BitBloomError(f"{file} is empty: {takes}")
    delimiter, header = _header(file, text, required, takes, separator[1] if separator else "")
    lines = io.StringIO(text, newline="").readlines()
    records = list(_records(file, lines, delimiter, header, first, checks))
    if not records:
        raise BitBloomError(f"{file} holds a header and no rows: {takes}")
    return Table(encoding, delimiter, header, records, len(lines))


def decode(file: Path) -> tuple[str, str]:
    """Return the text of a file and its encoding: UTF-8, UTF-16 or UTF-32, or Windows-1252 where nothing contradicts it.

    Raises:
        BitBloomError: the file cannot be read, is not text, or its encoding is ambiguous.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise BitBloomError(f"{file} cannot be read: {error.strerror}") from error
    for magic, other in OTHER_FILES:
        if data.startswith(magic):
            raise BitBloomError(f"{file} is {other}")
    mark, encoding = next(((mark, name) for mark, name in BOMS if data.startswith(mark)), (b"", _without_mark(data)))
    try:
        text = data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        if encoding != UTF_8 or mark or not _is_western(data):
            reason = f"line {line} is not valid, and its encoding is not known: save the file as UTF-8"
            raise BitBloomError(f"{file} cannot be read as text in {encoding}: {reason}") from error
        text, encoding = data.decode("cp1252"), "Windows-1252"
    if "\0" in text:
        raise BitBloomError(f"{file} is not text: it holds NUL characters")
    return text, encoding


def _without_mark(data: bytes) -> str:
    """UTF-16 if every other byte is mostly 0, as in western text, else UTF-8."""
    even, odd = (data[start:4096:2] for start in (0, 1))
    if max(even.count(0), odd.count(0)) < max(1, len(odd) // 2):
        return UTF_8
    return "UTF-16-LE" if odd.count(0) > even.count(0) else "UTF-16-BE"


def _is_western(data: bytes) -> bool:
    """Whether nothing contradicts Windows-1252: no rare byte, no valid UTF-8, and no bytes of another alphabet."""
    has_utf_8 = any(not letter.isascii() and letter != "\ufffd" for letter in data.decode("utf-8", "replace"))
    words = set(_LETTERS.findall(data))  # one word of capitals is ÀÉÈÙ; a text in another script has more
    western = not words or (len(words) == 1 and set(*words) <= _CAPITALS)
    return western and not has_utf_8 and not set(_RARE) & set(data) and not _NOT_WESTERN.search(data)


def _header(file: Path, text: str, required: Sequence[str], takes: str, separator: str) -> tuple[str, list[str]]:
    """The delimiter and the names of the columns. Raises BitBloomError if a column is missing or occurs twice."""
    found, line = {}, next(filter(_has_values, text.splitlines()), "")[:LONGEST_HEADER]
    for delimiter in (separator,) if separator in DELIMITERS else DELIMITERS:
        names = next(csv.reader([line], delimiter=delimiter), [])
        found[delimiter] = [name.strip().casefold() for name in names]
    chosen = max(found, key=lambda delimiter: len(set(required) & set(found[delimiter])))
    header = found[chosen]
    if missing := [name for name in required if name not in header]:
        raise BitBloomError(f"{file} lacks the columns {', '.join(missing)}: {takes}")
    if twice := sorted({name for name in header if name and header.count(name) > 1}):
        raise BitBloomError(f"{file} has several columns {', '.join(twice)}: remove all but one")
    return chosen, header


def _records(
    file: Path, lines: list[str], delimiter: str, header: list[str], first: int, checks: Mapping[str, Callable[[str], bool]]
) -> Iterator[Record]:
    """The rows below the header, each checked."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    number, start, spaced = 0, 0, False
    try:
        while True:
            start = reader.line_num  # an error of the reader is in the record that starts here
            values = next(reader, [])
            if reader.line_num == start:
                return
            if not any(values if len(header) == 1 else map(str.strip, values)):  # blanks can be a row's only field
                continue
            number += 1
            record = Record(number, start + first, dict(zip(header, values, strict=False)))
            _check_length(file, record, values, header)
            spaced = spaced or _blanks(values) > 1
            if number > 1:
                _check_lines(file, record, lines[start + 1 : reader.line_num], delimiter, header, checks, spaced)
                yield record
    except csv.Error as error:
        place = Record(number + 1, start + first, {}).place
        raise BitBloomError(f"{file}, {place}: {_reason(error, reader.line_num > start + 1)}") from error


def _reason(error: csv.Error, several: bool) -> str:
    """Say what the reader of a record, perhaps of several lines, complains about, and what to do."""
    if "field limit" in str(error) and not several:
        return f"a field is longer than {csv.field_size_limit():,} characters: shorten it"
    never = "expected after" not in str(error)
    reason = "a quote opens and is never closed" if never else "a quote within a quoted field is not doubled"
    return f'{reason}; write " within a field as ""'


def _has_values(line: str) -> bool:
    return bool(line.strip("".join(DELIMITERS) + " "))


def _blanks(values: list[str]) -> int:
    """The number of values after the first one with a blank before them, as after the commas of a sentence."""
    return sum(value[:1].isspace() for value in values[1:])


def _check_length(file: Path, record: Record, values: list[str], header: list[str]) -> None:
    """Raise BitBloomError for another number of fields than in the header; empty ones at the end do not count."""
    if len(values) < len(header) or any(values[len(header) :]):
        raise BitBloomError(
            f"{file}, {record.place}: it has {len(values)} fields, and the header {len(header)}: quote a field with a separator"
        )


def _check_lines(
    file: Path,
    record: Record,
    more: list[str],
    delimiter: str,
    header: list[str],
    checks: Mapping[str, Callable[[str], bool]],
    spaced: bool,
) -> None:
    """Raise BitBloomError if one of the further lines of a record is a row of its own, or if they are too many.

    A line with blanks after its commas is a sentence, unless the file's rows have them too (`spaced`).
    """
    for line, text in enumerate(more, start=record.line + 1):
        values = next(csv.reader([text], delimiter=delimiter), [])
        found = {name: value.strip() for name, value in zip(header, values, strict=False)}
        known = [holds(found.get(name, "")) for name, holds in checks.items() if name in header]
        is_row = all(known) or found.get(next(iter(checks)), "").isdigit()
        if known and is_row and len(values) >= len(header) >= FEWEST_FIELDS and (spaced or _blanks(values) < 2):
            raise BitBloomError(
                f"{file}, {record.place}: a quote opens here, and its field would contain line {line}, which looks like "
                'a row: close the quote, or write " within a field as ""'
            )
    if len(more) >= MOST_LINES:
        raise BitBloomError(f"{file}, {record.place}: a quoted field goes on for {len(more)} lines: is its quote closed?")
