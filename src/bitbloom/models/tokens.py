"""Tokenisation: a tokenizer file of the `tokenizers` library, and rows of tokens padded to one length.

The service uses the same functions; it reads the tokenizer from the exported model's metadata.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bitbloom.core.errors import BitBloomError

PADDING = ("[PAD]", "<pad>")
"""Names of the padding token in common vocabularies."""
STEP = 8
"""Batches are truncated to a multiple of STEP tokens, to limit the number of shapes."""


def open_tokenizer(file: Path, length: int) -> Tokenizer:
    """Load a `tokenizer.json` that truncates or pads texts to `length` tokens.

    Raises:
        BitBloomError: the file is missing, is not a tokenizer, or its vocabulary has no padding token.
    """
    if not file.is_file():
        raise BitBloomError(f"{file} is missing: prepare.tokenizer names a folder, or locked weights, that has a tokenizer.json")
    try:
        tokenizer = Tokenizer.from_str(file.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises nothing more precise
        raise BitBloomError(f"{file} is not a tokenizer of the `tokenizers` library: {error}") from error
    try:
        return fitted(tokenizer, length)
    except KeyError as error:
        raise BitBloomError(f"{file} has no padding token {' or '.join(PADDING)}: use another tokenizer") from error


def fitted(tokenizer: Tokenizer, length: int) -> Tokenizer:
    """Make a tokenizer truncate or pad texts to `length` tokens. Raises KeyError if it has no padding token."""
    known = tokenizer.get_vocab()
    found = [name for name in PADDING if name in known]
    if not found:
        raise KeyError(PADDING)
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length, pad_id=known[found[0]], pad_token=found[0])
    return tokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the padded tokens of texts, int64 [n, length], and the number of tokens of each, int64 [n]."""
    encodings = tokenizer.encode_batch(list(texts))
    rows = np.array([encoding.ids for encoding in encodings], dtype=np.int64)
    return rows, np.array([sum(encoding.attention_mask) for encoding in encodings], dtype=np.int64)


def padding(tokenizer: Tokenizer) -> int:
    """Return the index of the padding token."""
    return int((tokenizer.padding or {})["pad_id"])


def cut(rows: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Truncate rows to the longest one, rounded up to a multiple of STEP."""
    return rows[:, : -(-int(lengths.max(initial=1)) // STEP) * STEP]
