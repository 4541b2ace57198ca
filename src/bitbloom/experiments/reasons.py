"""Errors of other libraries in one line."""

from __future__ import annotations


def reason(error: BaseException) -> str:
    """The first line of what an error says, without the path of an `OSError`; the name of its type if it says nothing."""
    said = (getattr(error, "strerror", None) or str(error)).strip()
    return said.splitlines()[0] if said else type(error).__name__
