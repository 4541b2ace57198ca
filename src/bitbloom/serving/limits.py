"""What is wrong with an input, in the same words for `bitbloom predict`, `bitbloom ask` and the service.

The module needs no web framework and no tokenizer.
"""

from __future__ import annotations

from bitbloom.core.errors import BitBloomError, UnreadableImage
from bitbloom.data import imaging

MAX_CHARACTERS = 2000
"""Of a text, of its keyword and of its location."""
SIGNATURE = 65_536
"""Bytes at the beginning of a file that identify an image format."""


class InvalidText(BitBloomError):
    """A text gets no label."""


def large_photo(max_bytes: int) -> str:
    """The message for a photo of more than `max_bytes`."""
    return f"the photo is larger than the limit of {max_bytes:,} bytes: make it smaller"


def check_photo(photo: bytes, max_bytes: int) -> None:
    """Raise UnreadableImage for a photo of more than `max_bytes`."""
    if len(photo) > max_bytes:
        raise UnreadableImage(large_photo(max_bytes))


def unreadable(photo: bytes, reason: str) -> str:
    """The message for a photo that cannot be decoded for this reason, with a remedy."""
    if not photo:
        return f"{reason}: choose a photo"
    if not imaging.is_image(photo[:SIGNATURE]):
        return f"{reason}: send a photo in one of these formats"
    return reason if "resize" in reason else f"{reason}: save the photo again and send the whole file"


def long_text(name: str, most: int = MAX_CHARACTERS) -> str:
    """The message for a text of more than `most` characters in the field `name`."""
    return f"{name}: at most {most:,} characters"


def check_text(**fields: str) -> None:
    """Raise InvalidText for the first field with more than MAX_CHARACTERS."""
    for name, value in fields.items():
        if len(value) > MAX_CHARACTERS:
            raise InvalidText(long_text(name))
