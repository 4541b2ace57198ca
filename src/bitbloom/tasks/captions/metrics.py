"""Numbers of sentences written about photos, and of finding a photo by a sentence or a sentence by a photo.

    agreement(["a dog runs"], [["a dog is running", "the dog runs fast"]]).numbers   # BLEU, ROUGE-L, CIDEr-D

BLEU, ROUGE-L and CIDEr-D are COCO's own (pycocoevalcap), on the words that `samples.captions.split` makes: not those of its
Java tokenizer, which takes `man's` for two words. They take logarithms and powers, so what is written keeps `metrics.DIGITS`
digits, and so do the values by which photos are sorted.

Ranks are the same on every CPU: embeddings are put on a grid so fine that nothing changes and so coarse that every product and
every partial sum of a similarity is a whole number that float64 holds. Then no order of summation can change a bit.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitbloom.core.errors import BitBloomError
from bitbloom.evaluation import metrics
from bitbloom.tasks.captions.samples import split

if TYPE_CHECKING:
    from bitbloom.evaluation.metrics import Floats, Integers

Bools = NDArray[np.bool_]
Attributes = Mapping[str, Any]

ATTRIBUTES = ("species", "colour", "count")
"""What is read from a sentence and compared, where a sample's attributes name all three."""
NGRAMS = 4
GRID = 2**26
"""Steps of the grid in a unit. The partial sums of a similarity are at most GRID² = 2⁵²: whole numbers that float64 holds."""
TOLERANCE = 1e-3
"""By how much the length of an embedding may differ from 1: far more than rounding does, far less than GRID has room for."""


@dataclass(frozen=True)
class Agreement:
    """How written sentences agree with those of people.

    Attributes:
        bleu: BLEU-1 … BLEU-4 of all of them together (Papineni et al. 2002).
        rouge_l: mean ROUGE-L (Lin 2004), the best precision and the best recall among a photo's sentences, β = 1.2.
        cider_d: [n] CIDEr-D of each (Vedantam et al. 2015, arXiv:1411.5726), 0 to 10.
    """

    bleu: tuple[float, ...]
    rouge_l: float
    cider_d: Floats

    @property
    def numbers(self) -> dict[str, float]:
        """`bleu_1` … `bleu_4`, `rouge_l`, and the mean `cider_d`."""
        found = {f"bleu_{n}": value for n, value in enumerate(self.bleu, start=1)}
        return found | {"rouge_l": self.rouge_l, "cider_d": mean(self.cider_d)}


def words(sentence: str) -> str:
    """The words that are compared, with one space between them."""
    return " ".join(split(sentence))


def agreement(written: Sequence[str], truths: Sequence[Sequence[str]]) -> Agreement:
    """Compare each of n sentences with its photo's, all as `words` makes them.

    pycocoevalcap's class `Cider` is CIDEr-D: it clips what is repeated and punishes another length, which CIDEr does not. A
    rare word counts more than a common one by how many of these n photos have it, as in COCO's evaluation.

    Raises:
        BitBloomError: no sentences, or a photo without a true one.
    """
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    if not written or len(written) != len(truths) or not all(any(said) for said in truths):
        raise BitBloomError(f"{len(written)} sentences were written of {len(truths)} photos; each needs a true one with words")
    ours = {i: [sentence] for i, sentence in enumerate(written)}
    theirs = {i: [sentence for sentence in said if sentence] for i, said in enumerate(truths)}
    bleu, _ = Bleu(NGRAMS).compute_score(theirs, ours, verbose=0)
    _, rouge = Rouge().compute_score(theirs, ours)
    _, cider = Cider(n=NGRAMS).compute_score(theirs, ours)
    return Agreement(tuple(map(float, bleu)), mean(rouge), np.asarray(cider, dtype=np.float64))


def diversity(written: Sequence[str], learned: set[str]) -> dict[str, float | int]:
    """How much the sentences repeat: `distinct_words`, `distinct_share` of the sentences, and `seen_share`, word for word in
    the `learned` ones."""
    return {
        "distinct_words": len({word for sentence in written for word in sentence.split()}),
        "distinct_share": len(set(written)) / len(written),
        "seen_share": sum(sentence in learned for sentence in written) / len(written),
    }


def attribute_hits(written: Sequence[str], attributes: Sequence[Attributes], known: Sequence[Attributes]) -> Bools:
    """[n, 3] Whether each sentence names its photo's ATTRIBUTES.

    Args:
        written: n sentences.
        attributes: of the n photos.
        known: of any photos: the species and colours that can be named.
    """
    from bitbloom.data.sources.garden import sentences

    species = {str(row["species"]) for row in known}
    names = {form: name for name in sorted(species) for form in (name, sentences.plural(name))}
    colours = tuple(sorted({str(row["colour"]) for row in known}))
    hits = []
    for sentence, row in zip(written, attributes, strict=True):
        count, colour, kind = sentences.read(sentence, names, colours)
        hits.append((kind == row["species"], colour == row["colour"], count == row["count"]))
    return np.array(hits, dtype=np.bool_)


def ranks(queries: NDArray[np.float32], pool: NDArray[np.float32], wanted: Integers, own: Integers) -> Integers:
    """[q] How many of the pool come before the first right one; 0 is a hit. Of equals the first comes first.

    Args:
        queries: float32 [q, E], unit length.
        pool: float32 [p, E], unit length.
        wanted: [q] group of each query.
        own: [p] group of each of the pool, which is right for the queries of the same group.
    """
    places, found = np.arange(len(pool)), [np.zeros(0, dtype=np.int64)]
    for rows, similarity in _similarities(queries, pool):
        right = np.where(wanted[rows, None] == own[None], similarity, -np.inf)
        first = right.argmax(axis=1)[:, None]
        best = np.take_along_axis(right, first, axis=1)
        before = (similarity > best) | ((similarity == best) & (places < first))
        found.append(before.sum(axis=1))
    return np.concatenate(found)


def nearest(queries: NDArray[np.float32], pool: NDArray[np.float32], k: int) -> Integers:
    """[q, k] Places in the pool [p, E] of the k ≤ p most similar to each query [q, E], the most similar and the first first."""
    found = [np.zeros((0, k), dtype=np.int64)]
    for _, similarity in _similarities(queries, pool):
        places = np.zeros((len(similarity), k), dtype=np.int64)
        for column in places.T:
            column[:] = similarity.argmax(axis=1)
            np.put_along_axis(similarity, column[:, None], -np.inf, axis=1)
        found.append(places)
    return np.concatenate(found)


def _similarities(queries: NDArray[np.float32], pool: NDArray[np.float32]) -> Iterator[tuple[slice, Floats]]:
    """Cosines of some queries with the whole pool [b, p] in units of 1 / GRID², and which queries; never too many at a time."""
    most = max(1, metrics.CHUNK // max(1, len(pool)))
    columns = _whole(pool).T
    for start in range(0, len(queries), most):
        rows = slice(start, start + most)
        yield rows, _whole(queries[rows]) @ columns


def _whole(vectors: NDArray[np.float32]) -> Floats:
    """[n, E] The vectors in steps of the grid."""
    steps: Floats = np.rint(vectors.astype(np.float64) * GRID)
    return steps


def recall(ranked: Integers, k: int) -> float:
    """Share of the queries with a hit among the first k."""
    return mean(ranked < k)


def median_rank(ranked: Integers) -> float:
    """Median place of the first hit; 1 is the best."""
    ordered = np.sort(ranked) + 1
    middle = len(ordered) // 2
    return float(ordered[middle]) if len(ordered) % 2 else (int(ordered[middle - 1]) + int(ordered[middle])) / 2


def chance_recall(wanted: Integers, own: Integers, k: int) -> float:
    """`recall` of a ranking by lot, exactly: with r right ones among p, 1 - C(p - r, k) / C(p, k), on average."""
    among, queries, p = Counter(own.tolist()), Counter(wanted.tolist()), len(own)
    right: Counter[int] = Counter()
    for group, count in queries.items():
        right[among[group]] += count
    k = min(k, p)
    missed = sum(count * Fraction(math.comb(p - r, k), math.comb(p, k)) for r, count in right.items())
    return float(1 - Fraction(missed) / len(wanted))


def interval(hits: Integers, of: Integers, resamples: int) -> list[float]:
    """95 % percentile bootstrap interval of sum(hits) / sum(of): photos [n] are drawn, each with all that belongs to it.

    The photos are sorted first, so that their order does not matter; draws are integers.
    """
    order = np.lexsort((of, hits))
    hits, of, n = hits[order], of[order], len(hits)
    generator = np.random.Generator(np.random.PCG64(metrics.BOOTSTRAP_SEED))
    values: list[float] = []
    for start in range(0, resamples, max(1, metrics.CHUNK // n)):
        drawn = generator.integers(0, n, size=(min(max(1, metrics.CHUNK // n), resamples - start), n))
        values += (hits[drawn].sum(axis=1) / of[drawn].sum(axis=1)).tolist()
    return metrics.percentiles(values)


def mean(values: NDArray[Any]) -> float:
    """An exact sum, then one division."""
    return math.fsum(values.tolist()) / len(values)
