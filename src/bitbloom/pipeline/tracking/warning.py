"""Warnings of the tracking: one line each."""

from __future__ import annotations

import sys
from collections.abc import Callable

Warn = Callable[[str], None]


def warn(text: str) -> None:
    """Print a warning of a build on stderr; an empty one is none."""
    if text:
        print(f"warning: {text}", file=sys.stderr)


def first_line(error: Exception) -> str:
    """The first line of an error's message without its full stop; its type when there is none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
