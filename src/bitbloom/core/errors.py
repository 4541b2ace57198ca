"""The errors a person can mend: what is wrong, where, and what to do about it."""

from __future__ import annotations

from pathlib import Path


class BitBloomError(Exception):
    """Bad input or a failed check. Its message says what, where and what to do; no traceback is shown."""


class UnreadableImage(BitBloomError):
    """A file that cannot be decoded to pixels."""


class GateFailed(BitBloomError):
    """Data that does not meet its expectations."""

    def __init__(self, message: str, report: Path) -> None:
        super().__init__(message)
        self.report = report
