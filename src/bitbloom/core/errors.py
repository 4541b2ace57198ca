"""Errors with a message for the user: what is wrong, where, and what to do."""

from __future__ import annotations

from pathlib import Path


class BitBloomError(Exception):
    """Invalid input or a failed check. The message says what, where and what to do; no traceback is shown."""


class UnreadableImage(BitBloomError):
    """A file cannot be decoded to pixels."""


class GateFailed(BitBloomError):
    """Data does not meet its expectations."""

    def __init__(self, message: str, report: Path) -> None:
        super().__init__(message)
        self.report = report
