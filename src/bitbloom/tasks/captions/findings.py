"""Everything that is reported of a model that writes sentences about photos and finds one by the other.

A task's `evaluate` is one line:

    return captioning.evaluate(captioning.Found(…), dataset, history, config)
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitbloom.contracts import Evaluation
from bitbloom.core.errors import BitBloomError
from bitbloom.data.vocabulary import PADDING
from bitbloom.evaluation import metrics
from bitbloom.evaluation.report import photos, plots
from bitbloom.tasks.captions import metrics as caption_metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bitbloom.config.sections.evaluate import Evaluate
    from bitbloom.data.dataset import Dataset
    from bitbloom.evaluation.metrics import Integers

TOP = (1, 5, 10)
CURVE = 20
"""The recall curves end here."""
SEARCHES, SHOWN = 6, 5
"""Sentences on the sheet of searches, and photos that are shown of what each finds."""
WAYS = {"i2t": "From a photo to its sentences", "t2i": "From a sentence to its photo"}
COMPARED = ("bleu_4", "rouge_l", "cider_d")
CHANCE_SEED = 20_261
"""Of the PCG64 that draws the sentences of the baseline `chance`."""


@dataclass(frozen=True)
class Found:
    """What a model made of the test split: n photos in the order of `dataset.split("test")`, C sentences each at most.

    Attributes:
        images: float32 [n, E], unit length.
        texts: float32 [n, C, E], unit length, of each true sentence; what stands for an absent one is not looked at.
        learned: float32 [m, E], unit length, of the photos of `dataset.split("train")`, in its order.
        beam: n sentences, by beam search.
        greedy: n sentences, always the likeliest word next.
        scores: float [n] mean log-probability of a word of the beam sentence.
    """

    images: NDArray[np.float32]
    texts: NDArray[np.float32]
    learned: NDArray[np.float32]
    beam: Sequence[str]
    greedy: Sequence[str]
    scores: NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Photos:
    """The n photos of a split: ids, keys, their sentences as they are, and what is known of them."""

    ids: list[str]
    keys: list[str]
    captions: list[list[str]]
    attributes: list[dict[str, Any]]

    @classmethod
    def of(cls, dataset: Dataset, split: str) -> Photos:
        rows = dataset.samples.iloc[dataset.split(split)]
        captions, attributes = ([json.loads(cell) for cell in rows[name]] for name in ("captions", "attributes"))
        return cls(list(map(str, rows["id"])), list(rows["key"]), captions, attributes)

    @cached_property
    def words(self) -> list[list[str]]:
        """The sentences as they are compared."""
        return [[caption_metrics.words(caption) for caption in own] for own in self.captions]

    @cached_property
    def groups(self) -> Integers:
        """[n] Photos with the same attribute `group` show the same: what is right for one is right for all. Others are alone."""
        alone = [("id", name) for name in self.ids]
        names = [("group", str(row.get("group") or "")) for row in self.attributes]
        names = [name if name[1] else own for name, own in zip(names, alone, strict=True)]
        places = {name: place for place, name in enumerate(dict.fromkeys(names))}
        return np.array([places[name] for name in names], dtype=np.int64)


@dataclass(frozen=True)
class Judged:
    """What was found, beside what is true.

    Attributes:
        rows: [n] places of the test photos in the arrays.
        present: bool [n, C] which sentences there are.
        written: n beam sentences as they are compared.
        agreement: theirs with the true ones.
    """

    found: Found
    test: Photos
    train: Photos
    rows: Integers
    present: NDArray[np.bool_]
    written: list[str]
    agreement: caption_metrics.Agreement

    @cached_property
    def worst(self) -> list[int]:
        """Places of the photos, the lowest CIDEr-D first; of equals those first that the model was surest of, then by id."""
        low, sure = (
            [metrics.rounded(float(value)) for value in values] for values in (self.agreement.cider_d, self.found.scores)
        )
        return sorted(range(len(low)), key=lambda i: (low[i], -sure[i], self.test.ids[i]))


@dataclass(frozen=True)
class Retrieval:
    """One direction: queries of n photos (`owner` [q] names the photo) and the groups of queries and of the pool."""

    ranks: Integers
    owner: Integers
    wanted: Integers
    pool: Integers

    def numbers(self, name: str) -> dict[str, float]:
        """Recall among the first, 5 and 10, by chance too, and the median rank."""
        found = {f"{name}_recall_at_{k}": caption_metrics.recall(self.ranks, k) for k in TOP}
        found |= {f"chance_{name}_recall_at_{k}": caption_metrics.chance_recall(self.wanted, self.pool, k) for k in TOP}
        return found | {f"{name}_median_rank": caption_metrics.median_rank(self.ranks)}

    def intervals(self, name: str, resamples: int) -> dict[str, list[float]]:
        """Of the recalls. Photos are drawn, with all of their sentences: those are not independent of each other."""
        if not resamples:
            return {}
        of = np.bincount(self.owner)
        hits = {k: np.bincount(self.owner[self.ranks < k], minlength=len(of)) for k in TOP}
        return {f"{name}_recall_at_{k}": caption_metrics.interval(hits[k], of, resamples) for k in TOP}

    def first_place(self, photo: int) -> int:
        """Place of the first hit of a photo's first query; 1 is the best."""
        return int(self.ranks[np.searchsorted(self.owner, photo)]) + 1

    def curves(self) -> tuple[list[float], list[float]]:
        """Recall among the first 1 … CURVE, of the model and by chance."""
        ks = range(1, CURVE + 1)
        ours = [caption_metrics.recall(self.ranks, k) for k in ks]
        return ours, [caption_metrics.chance_recall(self.wanted, self.pool, k) for k in ks]


def evaluate(found: Found, dataset: Dataset, history: Mapping[str, Any], config: Evaluate) -> Evaluation:
    """Judge what a model wrote of the test split and found in it.

    `dataset.arrays` holds `images` uint8 [N, 3, S, S] and `words` int64 [N, C, W]; `dataset.samples` has `captions` (JSON list)
    and `attributes` (JSON). Where attributes name a `group`, any photo of the same group is a hit; where they name
    species, colour and count, sentences are read for them.

    Raises:
        BitBloomError: no test samples, or a shape, a length or a sentence that does not fit the split.
    """
    judged = judge(found, dataset)
    directions = _retrieval(judged)
    numbers, intervals = _attributes(judged, config.bootstrap)
    for name, direction in directions.items():
        numbers |= direction.numbers(name)
        intervals |= direction.intervals(name, config.bootstrap)
    baselines = _baselines(judged)
    numbers |= judged.agreement.numbers | _diversity(judged)
    numbers["greedy_cider_d"] = _compared(map(caption_metrics.words, found.greedy), judged.test)["cider_d"]
    numbers["nn_cider_d"] = baselines["nearest_neighbour"]["cider_d"]
    told = {"samples": len(judged.written), "confidence_intervals": intervals, "baselines": baselines}
    tables = {"sentences": _rows(judged, range(len(judged.written))), "worst": _rows(judged, judged.worst[: config.worst])}
    return Evaluation(metrics.rounded(numbers | told), _figures(judged, directions, dataset, history), tables)


def judge(found: Found, dataset: Dataset) -> Judged:
    """Put what was found beside what is true. Raises BitBloomError where the two do not fit."""
    test, train = Photos.of(dataset, "test"), Photos.of(dataset, "train")
    rows = dataset.split("test")
    present = np.asarray(dataset.arrays["words"][rows, :, 0]) != PADDING
    _check(found, test, train, present)
    written = [caption_metrics.words(sentence) for sentence in found.beam]
    return Judged(found, test, train, rows, present, written, caption_metrics.agreement(written, test.words))


def _check(found: Found, test: Photos, train: Photos, present: NDArray[np.bool_]) -> None:
    """Raises BitBloomError where what was found and the splits do not belong together."""
    n, side = len(test.ids), found.images.shape[-1]
    if n == 0 or len(train.ids) == 0:
        raise BitBloomError(f"evaluation needs test and training photos: there are {n} and {len(train.ids)}")
    needed = {"images": (n, side), "texts": (*present.shape, side), "learned": (len(train.ids), side), "scores": (n,)}
    for name, shape in needed.items():
        if getattr(found, name).shape != shape:
            raise BitBloomError(f"{name} have shape {getattr(found, name).shape}; the split and its sentences need {shape}")
    if len(found.beam) != n or len(found.greedy) != n:
        raise BitBloomError(f"{len(found.beam)} and {len(found.greedy)} sentences were written of {n} photos")
    for own, there, name in zip(test.captions, present, test.ids, strict=True):
        if not own or len(own) != there.sum() or not there[: len(own)].all():
            raise BitBloomError(f"{name}: {len(own)} sentences, but {there.sum()} rows of words: run prepare again")
    if not np.isfinite(found.scores).all():
        raise BitBloomError("scores hold NaN or infinity: training diverged, lower train.learning_rate")
    for name, vectors in (("images", found.images), ("texts", found.texts[present]), ("learned", found.learned)):
        lengths = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1))
        if not np.isfinite(lengths).all():
            raise BitBloomError(f"{name} hold NaN or infinity: training diverged, lower train.learning_rate")
        if np.abs(lengths - 1).max() > caption_metrics.TOLERANCE:
            raise BitBloomError(f"{name} are not of unit length: divide each embedding by its length before it is judged")


def _retrieval(judged: Judged) -> dict[str, Retrieval]:
    """From photos to all sentences of the split, and from sentences to all its photos."""
    images, texts, groups = judged.found.images, judged.found.texts[judged.present], judged.test.groups
    owner = np.nonzero(judged.present)[0]
    to_texts = caption_metrics.ranks(images, texts, groups, groups[owner])
    to_images = caption_metrics.ranks(texts, images, groups[owner], groups)
    return {
        "i2t": Retrieval(to_texts, np.arange(len(images)), groups, groups[owner]),
        "t2i": Retrieval(to_images, owner, groups[owner], groups),
    }


def _attributes(judged: Judged, resamples: int) -> tuple[dict[str, float], dict[str, list[float]]]:
    """`attribute_accuracy`, that of each attribute, and their intervals; nothing where attributes do not name them."""
    known = judged.test.attributes + judged.train.attributes
    if not all(name in row for row in known for name in caption_metrics.ATTRIBUTES):
        return {}, {}
    hits = caption_metrics.attribute_hits(judged.written, judged.test.attributes, known)
    named = {"attribute": hits.all(axis=1)} | dict(zip(caption_metrics.ATTRIBUTES, hits.T, strict=True))
    ones = np.ones(len(hits), dtype=np.int64)
    numbers = {f"{name}_accuracy": caption_metrics.mean(right) for name, right in named.items()}
    intervals = {
        f"{name}_accuracy": caption_metrics.interval(right.astype(np.int64), ones, resamples)
        for name, right in named.items()
        if resamples
    }
    return numbers, intervals


def _diversity(judged: Judged) -> dict[str, float]:
    return caption_metrics.diversity(judged.written, {sentence for own in judged.train.words for sentence in own})


def _baselines(judged: Judged) -> dict[str, dict[str, float]]:
    """Sentences of the training split, as they are: the first of the photo most like this one, the most frequent, any."""
    learned, n = judged.train.words, len(judged.written)
    said = [sentence for own in learned for sentence in own]
    counts = Counter(said)
    frequent = min(counts, key=lambda sentence: (-counts[sentence], sentence))
    drawn = np.random.Generator(np.random.PCG64(CHANCE_SEED)).integers(0, len(said), size=n)
    alike = caption_metrics.nearest(judged.found.images, judged.found.learned, 1)[:, 0]
    rules = {
        "nearest_neighbour": [learned[place][0] for place in alike.tolist()],
        "most_frequent": [frequent] * n,
        "chance": [said[place] for place in drawn.tolist()],
    }
    return {name: _compared(sentences, judged.test) for name, sentences in rules.items()}


def _compared(sentences: Iterable[str], test: Photos) -> dict[str, float]:
    numbers = caption_metrics.agreement(list(sentences), test.words).numbers
    return {name: numbers[name] for name in COMPARED}


def _rows(judged: Judged, places: Iterable[int]) -> list[dict[str, Any]]:
    """For each photo what was written of it, its first true sentence, and how the first agrees with all of its sentences."""
    return [
        {
            "id": judged.test.ids[i],
            "written": judged.found.beam[i],
            "truth": judged.test.captions[i][0],
            "cider_d": metrics.rounded(float(judged.agreement.cider_d[i])),
        }
        for i in places
    ]


def _figures(
    judged: Judged, directions: Mapping[str, Retrieval], dataset: Dataset, history: Mapping[str, Any]
) -> dict[str, tuple[str, Figure]]:
    images = dataset.arrays["images"]
    caption = "What the model wrote, and in grey a true sentence. Photos are sorted by how well the two agree."
    figures = {"captions_sheet": (caption, photos.captioned(_captioned(judged, images)))}
    if history.get("epochs"):
        caption = "Training, epoch by epoch. The dotted line marks the epoch with the best validation score."
        figures["curves"] = (caption, plots.curves(history))
    caption = "How often a right one is among the first, of all sentences and of all photos of the test split."
    ways = {name: directions[key].curves() for key, name in WAYS.items()}
    figures["retrieval"] = (caption, plots.retrieval(ways))
    caption = "Sentences, chosen blindly, and the photos found first for each. A frame marks those that are right."
    figures["search"] = (caption, photos.searches(_searches(judged, directions["t2i"], images)))
    return figures


def _captioned(judged: Judged, images: NDArray[np.uint8]) -> dict[str, list[photos.Captioned]]:
    """The photos with the best, the middle and the worst sentences."""
    shown = photos.CAPTIONED_ACROSS
    middle = max(0, (len(judged.worst) - shown) // 2)
    places = {
        "Best": judged.worst[::-1][:shown],
        "Median": judged.worst[::-1][middle : middle + shown],
        "Worst": judged.worst[:shown],
    }
    return {name: [_shown(judged, images, i) for i in chosen] for name, chosen in places.items()}


def _shown(judged: Judged, images: NDArray[np.uint8], i: int) -> photos.Captioned:
    """A photo with its sentences, without the full stop that some sources put on a line of its own."""
    truth = judged.test.captions[i][0].rstrip(" .")
    return photos.Captioned(images[judged.rows[i]], judged.found.beam[i], truth, float(judged.agreement.cider_d[i]))


def _searches(judged: Judged, way: Retrieval, images: NDArray[np.uint8]) -> list[photos.Search]:
    """The first sentence of a photo of each group, of those with the smallest keys: a key is a hash, so the choice is blind."""
    test = judged.test
    ordered = np.array(sorted(range(len(test.ids)), key=lambda i: (test.keys[i], test.ids[i])))
    _, first_of_group = np.unique(test.groups[ordered], return_index=True)
    chosen = ordered[np.sort(first_of_group)][:SEARCHES].tolist()
    places = caption_metrics.nearest(judged.found.texts[chosen, 0], judged.found.images, min(SHOWN, len(test.ids)))
    return [
        photos.Search(
            test.captions[i][0].rstrip(" ."),
            images[judged.rows[first]],
            test.groups[first] == test.groups[i],
            way.first_place(i),
        )
        for i, first in zip(chosen, places, strict=True)
    ]
