"""Properties of the metrics of captions and retrieval."""

from __future__ import annotations

import json
import math
import statistics
import tarfile
from collections import Counter
from fractions import Fraction
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitbloom.core.errors import BitBloomError
from bitbloom.data.sources.garden import sentences
from bitbloom.data.sources.garden.randomness import Dice
from bitbloom.evaluation import metrics
from bitbloom.tasks.captions import metrics as caption_metrics

CAPTIONS = Path(__file__).parents[3] / "shared/data/captions.tar"
LAW = settings(max_examples=40)
WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "e", "f"]), min_size=1, max_size=7).map(" ".join)
PHOTOS = st.lists(st.tuples(WORDS, st.lists(WORDS, min_size=1, max_size=3)), min_size=1, max_size=6)


@st.composite
def pools(draw):
    """Draw queries [q, 3] and a pool [p, 3] on a coarse grid, with ties, and their groups: each query has a match."""
    q, p = draw(st.integers(1, 6)), draw(st.integers(1, 8))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    vectors = generator.integers(-1, 2, size=(q + p, 3)) + np.array([2, 0, 0])
    own = generator.integers(0, 3, size=p)
    unit = (vectors / np.sqrt(np.square(vectors).sum(axis=1, keepdims=True))).astype(np.float32)
    return unit[:q], unit[q:], generator.choice(own, size=q), own


def cider_d(written, truths):
    """Compute CIDEr-D by its definition (Vedantam et al. 2015, section 5), n = 1…4, σ = 6."""

    def grams(sentence, n):
        words = sentence.split()
        return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))

    def weigh(sentence, n):
        return {g: c * math.log(len(truths) / max(1, holders[n][g])) for g, c in grams(sentence, n).items()}

    def norm(weights):
        return math.sqrt(sum(value * value for value in weights.values()))

    holders = {n: Counter(g for said in truths for g in {g for s in said for g in grams(s, n)}) for n in range(1, 5)}
    found = []
    for sentence, said in zip(written, truths, strict=True):
        total = 0.0
        for true in said:
            gap = max(0, len(sentence.split()) - 1) - max(0, len(true.split()) - 1)
            for n in range(1, 5):
                ours, theirs = weigh(sentence, n), weigh(true, n)
                clipped = sum(min(value, theirs.get(g, 0)) * theirs.get(g, 0) for g, value in ours.items())
                lengths = norm(ours) * norm(theirs)
                total += math.exp(-(gap**2) / 72) * (clipped / lengths if lengths else clipped)
        found.append(10 * total / 4 / len(said))
    return found


@LAW
@given(PHOTOS)
def test_cider_equals_definition_of_cider_d(photos):
    written, truths = zip(*photos, strict=True)
    assert caption_metrics.agreement(written, truths).cider_d == pytest.approx(cider_d(written, truths), abs=1e-9)


def test_repetition_lowers_scores():
    truths = [["one red rose"], ["two dogs run"], ["a cat sleeps"]]
    plain, repeated = (
        caption_metrics.agreement([written, "two dogs run", "a cat sleeps"], truths)
        for written in ("one red rose", "one red rose rose rose rose")
    )
    assert repeated.cider_d[0] < plain.cider_d[0]
    assert repeated.bleu[0] < plain.bleu[0] == pytest.approx(1)


def test_bleu_clips_counts_by_references():
    found = caption_metrics.agreement(["the the the"], [["the cat runs", "the dog"]])
    assert found.bleu[0] == pytest.approx(1 / 3)


def test_rouge_uses_longest_common_subsequence():
    found = caption_metrics.agreement(["a dog runs fast"], [["a big dog runs"]])  # a dog runs: precision and recall 3/4
    assert found.rouge_l == pytest.approx(3 / 4)


@LAW
@given(PHOTOS, st.randoms(use_true_random=False))
def test_scores_do_not_depend_on_order_of_photos(photos, random):
    shuffled = random.sample(photos, len(photos))
    one, other = (caption_metrics.agreement(*zip(*order, strict=True)).numbers for order in (photos, shuffled))
    assert metrics.rounded(one) == metrics.rounded(other)


@LAW
@given(PHOTOS)
def test_scores_stay_within_bounds(photos):
    numbers = caption_metrics.agreement(*zip(*photos, strict=True)).numbers
    assert 0 <= numbers["cider_d"] <= 10 + 1e-9
    assert all(0 <= value <= 1 + 1e-9 for name, value in numbers.items() if name != "cider_d")


def test_empty_sentence_scores_zero():
    found = caption_metrics.agreement(["", "a dog"], [["a cat"], ["a dog"]])
    assert found.cider_d[0] == 0
    assert math.isfinite(found.rouge_l)


@pytest.mark.parametrize(("written", "truths"), [([], []), (["a"], [[]]), (["a"], [[""]]), (["a", "b"], [["a"]])])
def test_rejects_photos_without_reference(written, truths):
    with pytest.raises(BitBloomError, match="a caption with words"):
        caption_metrics.agreement(written, truths)


@pytest.mark.realdata
def test_human_agreement_matches_published_values_of_coco():
    """Chen et al. 2015 (arXiv:1504.00325): one annotator against others has BLEU-4 0.217, ROUGE-L 0.484, CIDEr-D 0.854."""
    if not CAPTIONS.exists():
        pytest.skip("the captioned photos are not available beside this checkout")
    with tarfile.open(CAPTIONS) as tar:
        tree = json.load(tar.extractfile("captions/captions.json"))
    said = {}
    for annotation in tree["annotations"]:
        said.setdefault(annotation["image_id"], []).append(caption_metrics.words(annotation["caption"]))
    photos = list(said.values())
    people = caption_metrics.agreement([own[0] for own in photos], [own[1:] for own in photos]).numbers
    strangers = caption_metrics.agreement([own[0] for own in [*photos[1:], photos[0]]], photos).numbers
    assert people["bleu_4"] == pytest.approx(0.217, abs=0.03)
    assert people["rouge_l"] == pytest.approx(0.484, abs=0.03)
    assert people["cider_d"] == pytest.approx(0.854, abs=0.15)
    assert strangers["cider_d"] < 0.1 * people["cider_d"]


@LAW
@given(pools())
def test_rank_is_position_of_first_match_in_stable_order(case):
    queries, pool, wanted, own = case
    exact = np.rint(queries * 2.0**26).astype(object) @ np.rint(pool * 2.0**26).astype(object).T  # integers of any size
    for i, rank in enumerate(caption_metrics.ranks(queries, pool, wanted, own)):
        order = sorted(range(len(pool)), key=lambda position, i=i: (-exact[i, position], position))
        assert [own[position] == wanted[i] for position in order].index(True) == rank


@LAW
@given(st.integers(0, 2**32 - 1), st.permutations(range(48)))
def test_ranks_do_not_depend_on_order_of_summation(seed, order):
    """Nearly equal vectors are summed in another order and in other blocks, as on another CPU or with another BLAS."""
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(1, 48)) + generator.normal(size=(40, 48)) * 1e-7
    unit = (vectors / np.sqrt(np.square(vectors).sum(axis=1, keepdims=True))).astype(np.float32)
    own = np.arange(20)
    ranks = caption_metrics.ranks(unit[:20], unit[20:], own, own)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "CHUNK", 30)
        assert (caption_metrics.ranks(unit[:20][:, order], unit[20:][:, order], own, own) == ranks).all()


@LAW
@given(pools(), st.integers(1, 8))
def test_nearest_are_sorted_by_similarity_and_stable(case, k):
    queries, pool, *_ = case
    exact = np.rint(queries * 2.0**26).astype(object) @ np.rint(pool * 2.0**26).astype(object).T
    found = caption_metrics.nearest(queries, pool, min(k, len(pool)))
    for row, similarity in zip(found, exact, strict=True):
        assert row.tolist() == sorted(range(len(pool)), key=lambda position: (-similarity[position], position))[:k]


@LAW
@given(st.lists(st.integers(0, 2), min_size=1, max_size=5), st.integers(1, 6))
def test_chance_recall_is_mean_over_all_orders(own, k):
    wanted = np.array(own + own[:1])
    orders = list(permutations(own))
    hits = sum(Fraction(sum(group in order[:k] for order in orders), len(orders)) for group in wanted.tolist())
    assert caption_metrics.chance_recall(wanted, np.array(own), k) == float(hits / len(wanted))


@LAW
@given(st.lists(st.integers(0, 50), min_size=1))
def test_median_rank_counts_from_one(ranks):
    assert caption_metrics.median_rank(np.array(ranks)) == statistics.median(ranks) + 1


@LAW
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_interval_does_not_depend_on_order(photos, random):
    hits, of = np.array([(min(a, b + 1), b + 1) for a, b in photos]).T
    order = random.sample(range(len(hits)), len(hits))
    low, high = caption_metrics.interval(hits, of, 200)
    assert [low, high] == caption_metrics.interval(hits[order], of[order], 200)
    assert 0 <= low <= high <= 1


def test_interval_contains_the_fraction_and_narrows_with_more_photos():
    hits, of = np.tile([[0, 2, 5], [5, 4, 5]], 8)
    low, high = caption_metrics.interval(hits, of, 500)
    narrow = caption_metrics.interval(np.tile(hits, 16), np.tile(of, 16), 500)
    assert low < narrow[0] < 0.5 < narrow[1] < high


def test_interval_of_all_hits_has_no_width():
    assert caption_metrics.interval(np.array([3, 1]), np.array([3, 1]), 100) == [1, 1]


@LAW
@given(st.integers(0, 10_000), st.integers(1, 3), st.sampled_from(["daisy", "iris", "rose"]), st.sampled_from(["red", "white"]))
def test_finds_all_attributes_in_generated_captions(seed, count, species, colour):
    seen = {"count": count, "colour": colour, "species": species, "background": "grass", "view": "from above"}
    written = sentences.write(seen, Dice(seed, 0))
    others = [{"species": name, "colour": shade, "count": 1} for name in ("daisy", "iris", "rose") for shade in ("red", "white")]
    assert caption_metrics.attribute_hits(written, [seen] * len(written), others).all()


def test_attributes_are_scored_independently():
    seen = {"species": "daisy", "colour": "white", "count": 2}
    known = [seen, {"species": "iris", "colour": "red", "count": 1}]
    written = ["two white irises", "two red daisies", "one white daisy", "a meadow", ""]
    hits = caption_metrics.attribute_hits(written, [seen] * 5, known)
    assert hits.tolist() == [[False, True, True], [True, False, True], [True, True, False], [False] * 3, [False] * 3]


def test_diversity_counts_repetitions():
    found = caption_metrics.diversity(["a dog", "a dog", "a cat", "two cats"], {"a dog", "two dogs"})
    assert found == {"distinct_words": 5, "distinct_share": 0.75, "seen_share": 0.5}


def test_ignores_punctuation_and_case():
    assert caption_metrics.words("A man's Dog , running .") == "a man's dog running"
