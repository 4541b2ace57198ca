"""Samples of `captions`: photos, each with some captions.

Arrays: `images` uint8 [N, 3, S, S] RGB; `words` int64 [N, C, W], word indices of each caption between START and END, padded with
PADDING, and rows of PADDING if a photo has fewer than C captions; `tokens` int64 [N, C, W], the inputs of the text tower.
`meta["vocabulary"]` lists the words; `meta["tokenizer"]` is the tokenizer of the tokens.
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

from bitbloom.data import imaging, photo_facts, scratch, splits, text_facts, texts
from bitbloom.data.dataset import SPLITS, Arrays
from bitbloom.data.look_alikes import look_alikes
from bitbloom.data.vocabulary import END, PADDING, SPECIAL, START, UNKNOWN

if TYPE_CHECKING:
    import pandas as pd
    from tokenizers import Tokenizer

    from bitbloom.config.sections.prepare import Prepare

EXAMPLE = "photo.jpg"
KEPT = ("captions",)
READ = ("perceptual_hash",)
WORD = r"[\w']+"

near_duplicates = look_alikes


def describe(data: bytes, attributes: Mapping[str, object]) -> dict[str, object]:
    """Return the columns of a photo and of its captions.

    Samples with the same attribute `group` are in the same split: the last 64 bits of their keys are equal. The first 64 bits,
    which determine the order and the augmentation of samples, depend on the photo alone.
    """
    given = attributes.get("captions", [])
    raw = [str(caption) for caption in given] if isinstance(given, list) else []
    captions = [texts.clean(caption) for caption in raw]
    facts = photo_facts.describe(data)
    if group := attributes.get("group"):
        facts["key"] = str(facts["key"])[:-16] + hashlib.sha256(str(group).encode()).hexdigest()[-16:]
    return {**facts, **_sentence_facts(captions), **text_facts.describe(raw)}


def _sentence_facts(captions: Sequence[str]) -> dict[str, object]:
    """Return the captions as a JSON list, their number, their extremes, and their words, one caption per line."""
    words = [split(caption) for caption in captions]
    return {
        "captions": json.dumps(captions, ensure_ascii=False),
        "sentences": len(captions),
        "fewest_words": min(map(len, words), default=0),
        "most_words": max(map(len, words), default=0),
        "most_characters": max(map(len, captions), default=0),
        "least_ascii_share": min(map(texts.ascii_share, captions), default=1.0),
        "normalised": "\n".join(" ".join(caption) for caption in words),
    }


def split(sentence: str) -> list[str]:
    """Return the words in lower case, without punctuation, as models generate and metrics compare them."""
    return re.findall(WORD, sentence.lower())


def pack(rows: pd.DataFrame, raw: Sequence[bytes], prepare: Prepare) -> tuple[Arrays, dict[str, Any]]:
    """Decode and crop every photo, index the words that are frequent enough in the training split, and encode the tokens."""
    images = scratch.empty((len(raw), 3, prepare.image_size, prepare.image_size), np.uint8)
    for position, data in enumerate(raw):
        images[position] = imaging.square(data, prepare.image_size)
    captions: list[list[str]] = [json.loads(given) for given in rows["captions"]]
    sentences = [[split(caption) for caption in given] for given in captions]
    in_train = (splits.split_of(key, prepare.split) == SPLITS[0] for key in rows["key"])
    learned = [given for given, chosen in zip(sentences, in_train, strict=True) if chosen]
    vocabulary = known_words((words for given in learned for words in given), prepare.fewest)
    words = numbered(sentences, vocabulary, prepare.tokens)
    tokenizer = _tokenizer(prepare, vocabulary)
    arrays: Arrays = {"images": images, "words": words, "tokens": encoded(captions, tokenizer, words.shape)}
    sizes = {"tokens": prepare.tokens, "image_size": prepare.image_size}
    return arrays, {"vocabulary": vocabulary, "tokenizer": tokenizer.to_str(), **sizes}


def _tokenizer(prepare: Prepare, vocabulary: Sequence[str]) -> Tokenizer:
    """Return the tokenizer of the pretrained weights, or a word-level one with the decoder's vocabulary."""
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
    """Encode captions as `tokens` of this shape [N, C, W]; rows without a caption are padding."""
    from bitbloom.models import tokens

    rows = np.full(shape, tokens.padding(tokenizer), dtype=np.int64)
    for sample, given in zip(rows, captions, strict=True):
        sample[: len(given)] = tokens.encode(tokenizer, given)[0]
    return rows


def known_words(sentences: Iterable[Sequence[str]], fewest: int) -> list[str]:
    """Return SPECIAL and all words that occur at least `fewest` times, by descending frequency, then alphabetically."""
    counts = Counter(word for words in sentences for word in words)
    return [
        *SPECIAL,
        *sorted((word for word, count in counts.items() if count >= fewest), key=lambda word: (-counts[word], word)),
    ]


def numbered(sentences: Sequence[Sequence[Sequence[str]]], vocabulary: Sequence[str], length: int) -> NDArray[np.int64]:
    """Encode captions as `words`, each truncated or padded to `length` indices."""
    numbers = {word: number for number, word in enumerate(vocabulary)}
    most = max((len(given) for given in sentences), default=1)
    rows = np.full((len(sentences), most, length), PADDING, dtype=np.int64)
    for sample, given in zip(rows, sentences, strict=True):
        for row, words in zip(sample, given, strict=False):
            found = [START, *(numbers.get(word, UNKNOWN) for word in words[: length - 2]), END]
            row[: len(found)] = found
    return rows
