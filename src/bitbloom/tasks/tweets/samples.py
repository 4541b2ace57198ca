"""Samples of `tweets`: short texts with a keyword and a location, and whether they report a real disaster.

Arrays: `tokens` int64 [N, L], padded to `prepare.tokens`; `lengths` int64 [N], the number of tokens without padding; `labels`
int64 [N] (positions in `meta["classes"]`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bitbloom.data import text_facts, texts

if TYPE_CHECKING:
    import pandas as pd

    from bitbloom.config.sections.prepare import Prepare
    from bitbloom.data.dataset import Arrays

EXAMPLE = "tweets.csv"
KEPT = ("text", "keyword", "location")
READ = ()


def describe(data: bytes, attributes: Mapping[str, object]) -> dict[str, object]:
    """Return the cleaned texts of a row (JSON with text, keyword, location), sizes, faults, and the key, equal for repeats."""
    row = json.loads(data)
    text = texts.clean(row["text"])
    error = "" if text else "nothing is left of the text after cleaning"
    return {
        "decodable": not error,
        "error": error,
        "text": text,
        "keyword": texts.clean_keyword(row["keyword"]),
        "location": texts.clean(row["location"]),
        "characters": len(text),
        "words": len(text.split()),
        "ascii_share": texts.ascii_share(text),
        "normalised": texts.normalised(text),
        "key": texts.key(text),
        **text_facts.describe([row["text"]]),
    }


def near_duplicates(rows: pd.DataFrame, raw: Sequence[bytes], prepare: Prepare) -> list[tuple[int, int]]:
    """Return no pairs: texts with the same words have the same key, and so the same split."""
    return []


def pack(rows: pd.DataFrame, raw: Sequence[bytes], prepare: Prepare) -> tuple[Arrays, dict[str, Any]]:
    """Tokenise every text; `meta` holds the tokenizer, so that a model's folder needs no other file."""
    from bitbloom.models import tokens, weights

    classes = sorted(set(rows["label"]))
    numbers = {name: number for number, name in enumerate(classes)}
    tokenizer = tokens.open_tokenizer(weights.tokenizer_file(prepare.tokenizer), prepare.tokens)
    columns = zip(rows["text"], rows["keyword"], rows["location"], strict=True)
    encoded, lengths = tokens.encode(tokenizer, [texts.joined(*row) for row in columns])
    labels = np.fromiter((numbers[label] for label in rows["label"]), np.int64, len(rows))
    return {"tokens": encoded, "lengths": lengths, "labels": labels}, {"classes": classes, "tokenizer": tokenizer.to_str()}
