"""Samples of `captions`: photos, each with some sentences.

Arrays: `images` uint8 [N, 3, S, S] RGB; `words` int64 [N, C, W], each sentence as numbers of words between START and END, filled
up with PADDING, and a row of PADDING where a photo has fewer than C sentences. `meta["vocabulary"]` names the words.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitbloom import imaging, splits, texts
from bitbloom.dataset import SPLITS, Arrays
from bitbloom.samples import petals

if TYPE_CHECKING:
    import pandas as pd

    from bitbloom.config import Prepare

EXAMPLE = "photo.jpg"
KEPT = ("captions",)
PADDING, START, END, UNKNOWN = range(4)
SPECIAL = ("<pad>", "<start>", "<end>", "<unknown>")
"""Words with a place of their own at the front of every vocabulary."""

near_duplicates = petals.near_duplicates


def describe(data: bytes, attributes: Mapping[str, object]) -> dict[str, object]:
    """The columns of any photo; its sentences, cleaned, as a JSON list; how many, and the fewest and most words of one.

    A source that knows a sample's `group` decides with it which samples share their split.
    """
    given = attributes.get("captions", [])
    captions = [texts.clean(str(caption)) for caption in given] if isinstance(given, list) else []
    words = [len(split(caption)) for caption in captions] or [0]
    facts = imaging.facts(data)
    if group := attributes.get("group"):
        facts["key"] = hashlib.sha256(str(group).encode()).hexdigest()
    return {
        **facts,
        "captions": json.dumps(captions, ensure_ascii=False),
        "sentences": len(captions),
        "fewest_words": min(words),
        "most_words": max(words),
    }


def split(sentence: str) -> list[str]:
    """Its words, in lower case, without punctuation: what models write and what metrics compare."""
    return re.findall(r"[\w']+", sentence.lower())


def pack(rows: pd.DataFrame, raw: Sequence[bytes], prepare: Prepare) -> tuple[Arrays, dict[str, Any]]:
    """Decode and square every photo; number the words, those that the training split has often enough."""
    images = np.stack([imaging.square(imaging.decode(data), prepare.image_size) for data in raw])
    sentences = [[split(caption) for caption in json.loads(captions)] for captions in rows["captions"]]
    learned = [said for key, said in zip(rows["key"], sentences, strict=True) if splits.split_of(key, prepare.split) == SPLITS[0]]
    vocabulary = known_words((words for said in learned for words in said), prepare.fewest)
    arrays = {"images": images, "words": numbered(sentences, vocabulary, prepare.tokens)}
    return arrays, {"vocabulary": vocabulary, "image_size": prepare.image_size}


def known_words(sentences: Iterable[Sequence[str]], fewest: int) -> list[str]:
    """SPECIAL, then all words that are there `fewest` times or more: the commonest first, equals in the order of the alphabet."""
    counts = Counter(word for words in sentences for word in words)
    return [
        *SPECIAL,
        *sorted((word for word, count in counts.items() if count >= fewest), key=lambda word: (-counts[word], word)),
    ]


def numbered(sentences: Sequence[Sequence[Sequence[str]]], vocabulary: Sequence[str], length: int) -> NDArray[np.int64]:
    """`words` of the sentences, each of `length` numbers: the last of a longer one are cut."""
    numbers = {word: number for number, word in enumerate(vocabulary)}
    most = max((len(said) for said in sentences), default=1)
    rows = np.full((len(sentences), most, length), PADDING, dtype=np.int64)
    for sample, said in zip(rows, sentences, strict=True):
        for row, words in zip(sample, said, strict=False):
            found = [START, *(numbers.get(word, UNKNOWN) for word in words[: length - 2]), END]
            row[: len(found)] = found
    return rows
