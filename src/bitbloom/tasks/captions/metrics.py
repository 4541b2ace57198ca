"""Metrics of generated captions, and of retrieval between photos and captions.

    agreement(["a dog runs"], [["a dog is running", "the dog runs fast"]]).numbers   # BLEU, ROUGE-L, CIDEr-D

BLEU, ROUGE-L and CIDEr-D are those of COCO (pycocoevalcap), on the words of `samples.captions.split`. COCO's Java tokenizer
is not used: it splits `man's` into two words. The metrics take logarithms and powers, so outputs, and the values by which photos
are sorted, are rounded to `metrics.DIGITS` digits.

Ranks are the same on every CPU: embeddings are rounded to a grid. It is fine enough not to change the ranks, and coarse enough
that every product and every partial sum of a similarity is an integer that float64 represents exactly. Then the order of
summation cannot change a bit.
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
"""Attributes that are read from a sentence and compared, if a sample has all three."""
NGRAMS = 4
GRID = 2**26
"""Grid steps per unit. Partial sums of a similarity are at most GRID² = 2⁵²: integers that float64 represents exactly."""
TOLERANCE = 1e-3
"""Largest deviation of an embedding's length from 1: far above rounding errors, far below the limit of GRID."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of generated sentences with reference captions.

    Attributes:
        bleu: BLEU-1 … BLEU-4 of the corpus (Papineni et al. 2002).
        rouge_l: mean ROUGE-L (Lin 2004), with the best precision and the best recall among a photo's captions, β = 1.2.
        cider_d: [n] CIDEr-D of each sentence (Vedantam et al. 2015, arXiv:1411.5726), 0 to 10.
    """

    bleu: tuple[float, ...]
    rouge_l: float
    cider_d: Floats

    @property
    def numbers(self) -> dict[str, float]:
        """Return `bleu_1` … `bleu_4`, `rouge_l`, and the mean `cider_d`."""
        found = {f"bleu_{n}": value for n, value in enumerate(self.bleu, start=1)}
        return found | {"rouge_l": self.rouge_l, "cider_d": mean(self.cider_d)}


def words(sentence: str) -> str:
    """Return the words of a sentence for comparison, separated by one space."""
    return " ".join(split(sentence))


def agreement(written: Sequence[str], truths: Sequence[Sequence[str]]) -> Agreement:
    """Compare each of n sentences with the captions of its photo, all as returned by `words`.

    pycocoevalcap's class `Cider` is CIDEr-D: unlike CIDEr, it clips repetitions and penalises a different length. Words are
    weighted by their document frequency in these n photos, as in COCO's evaluation.

    Raises:
        BitBloomError: there are no sentences, or a photo has no caption.
    """
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    if not written or len(written) != len(truths) or not all(any(captions) for captions in truths):
        raise BitBloomError(
            f"{len(written)} sentences for {len(truths)} photos: each photo needs one sentence, and a caption with words"
        )
    generated = {i: [sentence] for i, sentence in enumerate(written)}
    references = {i: [caption for caption in captions if caption] for i, captions in enumerate(truths)}
    bleu, _ = Bleu(NGRAMS).compute_score(references, generated, verbose=0)
    _, rouge = Rouge().compute_score(references, generated)
    _, cider = Cider(n=NGRAMS).compute_score(references, generated)
    return Agreement(tuple(map(float, bleu)), mean(rouge), np.asarray(cider, dtype=np.float64))


def diversity(written: Sequence[str], known: set[str]) -> dict[str, float | int]:
    """Return `distinct_words`, `distinct_share` (fraction of distinct sentences) and `seen_share` (fraction that occurs literally
    in the `known` captions)."""
    return {
        "distinct_words": len({word for sentence in written for word in sentence.split()}),
        "distinct_share": len(set(written)) / len(written),
        "seen_share": sum(sentence in known for sentence in written) / len(written),
    }


def attribute_hits(written: Sequence[str], attributes: Sequence[Attributes], known: Sequence[Attributes]) -> Bools:
    """Return whether each sentence has the ATTRIBUTES of its photo, [n, 3].

    Args:
        written: n sentences.
        attributes: attributes of the n photos.
        known: attributes of any photos; they define the known species and colours.
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
    """Return the number of candidates before the first match, [q]; 0 is the best. Ties keep the order of the pool.

    Args:
        queries: float32 [q, E], unit length.
        pool: float32 [p, E], unit length.
        wanted: [q] group of each query.
        own: [p] group of each candidate, which matches the queries of the same group.
    """
    positions, found = np.arange(len(pool)), [np.zeros(0, dtype=np.int64)]
    for rows, similarity in _similarities(queries, pool):
        matches = np.where(wanted[rows, None] == own[None], similarity, -np.inf)
        first = matches.argmax(axis=1)[:, None]
        best = np.take_along_axis(matches, first, axis=1)
        before = (similarity > best) | ((similarity == best) & (positions < first))
        found.append(before.sum(axis=1))
    return np.concatenate(found)


def nearest(queries: NDArray[np.float32], pool: NDArray[np.float32], k: int) -> Integers:
    """Return the positions in the pool [p, E] of the k ≤ p most similar to each query [q, E], best first, [q, k]."""
    found = [np.zeros((0, k), dtype=np.int64)]
    for _, similarity in _similarities(queries, pool):
        positions = np.zeros((len(similarity), k), dtype=np.int64)
        for column in positions.T:
            column[:] = similarity.argmax(axis=1)
            np.put_along_axis(similarity, column[:, None], -np.inf, axis=1)
        found.append(positions)
    return np.concatenate(found)


def _similarities(queries: NDArray[np.float32], pool: NDArray[np.float32]) -> Iterator[tuple[slice, Floats]]:
    """Iterate over blocks of queries, with their cosines to the pool, [b, p] in units of 1 / GRID²."""
    most = max(1, metrics.CHUNK // max(1, len(pool)))
    columns = _on_grid(pool).T
    for start in range(0, len(queries), most):
        rows = slice(start, start + most)
        yield rows, _on_grid(queries[rows]) @ columns


def _on_grid(vectors: NDArray[np.float32]) -> Floats:
    """Round vectors [n, E] to grid steps."""
    steps: Floats = np.rint(vectors.astype(np.float64) * GRID)
    return steps


def recall(ranked: Integers, k: int) -> float:
    """Return the fraction of queries with a match among the first k."""
    return mean(ranked < k)


def median_rank(ranked: Integers) -> float:
    """Return the median rank of the first match; 1 is the best."""
    ordered = np.sort(ranked) + 1
    middle = len(ordered) // 2
    return float(ordered[middle]) if len(ordered) % 2 else (int(ordered[middle - 1]) + int(ordered[middle])) / 2


def chance_recall(wanted: Integers, own: Integers, k: int) -> float:
    """Return the expected `recall` of a random ranking: the mean of 1 - C(p - r, k) / C(p, k) for r matches among p."""
    among, queries, p = Counter(own.tolist()), Counter(wanted.tolist()), len(own)
    matching: Counter[int] = Counter()
    for group, count in queries.items():
        matching[among[group]] += count
    k = min(k, p)
    missed = sum(count * Fraction(math.comb(p - r, k), math.comb(p, k)) for r, count in matching.items())
    return float(1 - Fraction(missed) / len(wanted))


def interval(hits: Integers, of: Integers, resamples: int) -> list[float]:
    """Return the 95 % percentile bootstrap interval of sum(hits) / sum(of), resampled over the n photos.

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
    """Return the mean by an exact sum and one division."""
    return math.fsum(values.tolist()) / len(values)
