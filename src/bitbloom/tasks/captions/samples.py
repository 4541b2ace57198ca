"""Samples of `captions`: photos, each with some sentences.

Arrays: `images` uint8 [N, 3, S, S] RGB; `words` int64 [N, C, W], each sentence as numbers of words between START and END, filled
up with PADDING, and a row of PADDING where a photo has fewer than C sentences; `tokens` int64 [N, C, W], as the text tower
reads them. `meta["vocabulary"]` names the words, `meta["tokenizer"]` makes the tokens.
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

from bitbloom.data import imaging, splits, texts
from bitbloom.data.dataset import SPLITS, Arrays
from bitbloom.data.vocabulary import END as END
from bitbloom.data.vocabulary import PADDING as PADDING
from bitbloom.data.vocabulary import SPECIAL as SPECIAL
from bitbloom.data.vocabulary import START as START
from bitbloom.data.vocabulary import UNKNOWN as UNKNOWN

if TYPE_CHECKING:
    import pandas as pd
    from tokenizers import Tokenizer

    from bitbloom.config.sections.prepare import Prepare

EXAMPLE = "photo.jpg"
KEPT = ("captions",)
WORD = r"[\w']+"

near_duplicates = imaging.look_alikes


def describe(data: bytes, attributes: Mapping[str, object]) -> dict[str, object]:
    """The columns of any photo, and those of its sentences.

    A source that knows a sample's `group` decides with it which samples share their split: the last 64 bits of their keys are
    the same. The first 64, which the order and the augmentation of samples are drawn from, are always a photo's own.
    """
    given = attributes.get("captions", [])
    captions = [texts.clean(str(caption)) for caption in given] if isinstance(given, list) else []
    facts = imaging.facts(data)
    if group := attributes.get("group"):
        facts["key"] = str(facts["key"])[:-16] + hashlib.sha256(str(group).encode()).hexdigest()[-16:]
    return {**facts, **_sentence_facts(captions)}


def _sentence_facts(captions: Sequence[str]) -> dict[str, object]:
    """The sentences as a JSON list, how many, their extremes, and their words alone, one sentence a line."""
    words = [split(caption) for caption in captions]
    return {
        "captions": json.dumps(captions, ensure_ascii=False),
        "sentences": len(captions),
        "fewest_words": min(map(len, words), default=0),
        "most_words": max(map(len, words), default=0),
        "most_characters": max(map(len, captions), default=0),
        "least_ascii_share": min(map(texts.ascii_share, captions), default=1.0),
        "normalised": "\n".join(" ".join(said) for said in words),
    }


def split(sentence: str) -> list[str]:
    """Its words, in lower case, without punctuation: what models write and what metrics compare."""
    return re.findall(WORD, sentence.lower())


def pack(rows: pd.DataFrame, raw: Sequence[bytes], prepare: Prepare) -> tuple[Arrays, dict[str, Any]]:
    """Decode and square every photo; number the words, those that the training split has often enough, and the tokens."""
    images = np.stack([imaging.square(data, prepare.image_size) for data in raw])
    captions: list[list[str]] = [json.loads(given) for given in rows["captions"]]
    sentences = [[split(caption) for caption in given] for given in captions]
    learned = [said for key, said in zip(rows["key"], sentences, strict=True) if splits.split_of(key, prepare.split) == SPLITS[0]]
    vocabulary = known_words((words for said in learned for words in said), prepare.fewest)
    words = numbered(sentences, vocabulary, prepare.tokens)
    tokenizer = _tokenizer(prepare, vocabulary)
    arrays: Arrays = {"images": images, "words": words, "tokens": encoded(captions, tokenizer, words.shape)}
    sizes = {"tokens": prepare.tokens, "image_size": prepare.image_size}
    return arrays, {"vocabulary": vocabulary, "tokenizer": tokenizer.to_str(), **sizes}


def _tokenizer(prepare: Prepare, vocabulary: Sequence[str]) -> Tokenizer:
    """The one of pretrained weights, or, without any, one that takes the writer's words as they are."""
    from tokenizers import Regex, Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.normalizers import Lowercase
    from tokenizers.pre_tokenizers import Split

    from bitbloom.models import tokens, weights

    if prepare.tokenizer != "none":
        return tokens.open_tokenizer(weights.tokenizer_file(prepare.tokenizer), prepare.tokens)
    made = Tokenizer(WordLevel({word: number for number, word in enumerate(vocabulary)}, unk_token=SPECIAL[UNKNOWN]))
    made.normalizer = Lowercase()
    made.pre_tokenizer = Split(Regex(WORD), "removed", invert=True)
    return tokens.fitted(made, prepare.tokens)


def encoded(captions: Sequence[Sequence[str]], tokenizer: Tokenizer, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """`tokens` of the sentences, in an array of this shape [N, C, W]; rows of padding where there is no sentence."""
    from bitbloom.models import tokens

    rows = np.full(shape, tokens.padding(tokenizer), dtype=np.int64)
    for sample, given in zip(rows, captions, strict=True):
        sample[: len(given)] = tokens.encode(tokenizer, given)[0]
    return rows


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
