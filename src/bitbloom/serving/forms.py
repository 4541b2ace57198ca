"""Forms that hold one file and nothing else, as nearly all that people and programs send do.

Starlette reads forms of any size and keeps what it finds in temporary files, which takes three times as long as the parsing.
A photo is asked for as a whole anyway, so here python-multipart, which Starlette uses too, parses the body at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks


def only_file(content_type: str, body: bytes, field: str) -> bytes | None:
    """The file in the form field `field`; None when the form holds anything else, or is broken."""
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        return None
    part = _Part()
    try:
        parser = MultipartParser(boundary, part.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError:
        return None
    return part.file(field)


class _Part:
    """Collects the one part of a form."""

    def __init__(self) -> None:
        self.begun = False
        self.whole = False
        self.name, self.value, self.disposition = b"", b"", b""
        self.pieces: list[bytes] = []

    def callbacks(self) -> MultipartCallbacks:
        """For the parser."""
        return {
            "on_part_begin": self.begin,
            "on_header_field": self.take_name,
            "on_header_value": self.take_value,
            "on_header_end": self.end_header,
            "on_part_data": self.take_data,
            "on_end": self.end,
        }

    def begin(self) -> None:
        if self.begun:
            raise FormParserError("a second part: of a million parts, all would be parsed")
        self.begun = True

    def take_name(self, data: bytes, start: int, end: int) -> None:
        self.name += data[start:end]

    def take_value(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]

    def end_header(self) -> None:
        if self.name.lower() == b"content-disposition":
            self.disposition = self.value
        self.name = self.value = b""

    def take_data(self, data: bytes, start: int, end: int) -> None:
        self.pieces.append(data[start:end])

    def end(self) -> None:
        self.whole = True

    def file(self, field: str) -> bytes | None:
        """Its bytes, if it is one whole part and a file in this field."""
        options = parse_options_header(self.disposition)[1]
        if not self.whole or b"filename" not in options or options.get(b"name") != field.encode():
            return None
        return b"".join(self.pieces)
