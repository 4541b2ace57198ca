"""`dataset`: where the data come from and under which terms, for the dataset card."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Dataset:
    """Facts about the data that no file of theirs holds. A change writes another card, and trains nothing."""

    licence: str = "unknown"
    """An identifier of Hugging Face: apache-2.0, cc-by-2.0, …; `other` with `terms`, or `unknown`."""
    terms: str = ""
    """The name of the licence if it is `other`, or what else its users have to do."""
    terms_url: str = ""
    """Address of the terms."""
    origin: str = ""
    """Who made the data, and how they come here: one sentence."""
    url: str = ""
    """Address of the published file, if there is one."""
    sha256: str = ""
    """Expected digest of that file."""
    language: str = ""
    """ISO 639-1 code of the language of the texts."""
