"""docs/troubleshooting.md quotes messages of the code."""

from __future__ import annotations

import re

import pytest

from support.tiny import REPOSITORY

PAGE = (REPOSITORY / "docs/troubleshooting.md").read_text(encoding="utf-8")
SHORTEST = 6
"""Smallest length of a compared piece of a message. Shorter pieces occur everywhere."""


def messages() -> list[str]:
    """The messages in the first columns of the tables: code with a blank."""
    cells = re.findall(r"^\| (`.*?`) \|", PAGE, re.MULTILINE)
    return [message for cell in cells for message in re.findall(r"`([^`]+)`", cell) if " " in message]


def source() -> str:
    """All code that prints messages, with neighbouring literals joined and names in braces removed."""
    files = [path for pattern in ("src/bitbloom/**/*.py", "scripts/*", "make/*.mk") for path in REPOSITORY.glob(pattern)]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files if path.is_file())
    joined = re.sub(r'"\s*\n\s*f?"', "", text).replace("`", "")
    return re.sub(r"\{(LOCK|CONF)\}", lambda name: {"LOCK": "weights.lock", "CONF": "conf"}[name[1]], joined)


CODE = source()


@pytest.mark.parametrize("message", messages())
def test_each_quoted_message_is_in_the_code(message):
    pieces = [piece.strip(" '") for piece in message.split("…")]
    lacking = [piece for piece in pieces if len(piece) >= SHORTEST and piece not in CODE]
    assert not lacking, "docs/troubleshooting.md quotes a message that is not in the code"


def test_page_quotes_messages():
    assert len(messages()) > 25
