"""Laws of confident learning."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitbloom.audit import confident, probabilities
from bitbloom.core.errors import BitBloomError

SEEDS = st.integers(0, 2**32 - 1)


def estimated(seed: int, samples: int = 60, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Random probabilities that tend to agree with random labels."""
    dice = np.random.default_rng(seed)
    labels = dice.integers(0, classes, samples)
    weights = dice.gamma(0.7, size=(samples, classes))
    weights[np.arange(samples), labels] += dice.gamma(2.0, size=samples)
    return weights / weights.sum(axis=1, keepdims=True), labels


def keys(samples: int) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(samples)]


def test_the_example_of_the_definition():
    """Class 0 is reached from 0.65, the mean of 0.9, 0.9, 0.6 and 0.2; class 1 from 0.725."""
    found = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.1, 0.9], [0.45, 0.55]])
    labels = np.array([0, 0, 0, 0, 1, 1])
    assert confident.thresholds(found, labels).tolist() == pytest.approx([0.65, 0.725])
    assert confident.confident_joint(found, labels).tolist() == [[2, 1], [0, 1]]
    assert np.allclose(confident.joint(found, labels), [[8 / 3, 4 / 3], [0, 2]])
    assert confident.wrong_labels(found, labels) == 1
    assert confident.suggested(found, labels).tolist() == [1, 1, 1, 1, 0, 0]
    assert confident.ranking(confident.margins(found, labels), list("abcdef")) == [3, 5, 2, 0, 1, 4]
    assert confident.self_confidence(found, labels).tolist() == [0.9, 0.9, 0.6, 0.2, 0.9, 0.55]


@given(SEEDS)
def test_order_of_samples_does_not_count(seed):
    found, labels = estimated(seed)
    order = np.random.default_rng(seed).permutation(len(labels))
    ids = [f"{number:03}" for number in range(len(labels))]
    assert np.array_equal(confident.confident_joint(found, labels), confident.confident_joint(found[order], labels[order]))
    assert confident.wrong_labels(found, labels) == confident.wrong_labels(found[order], labels[order])
    moved = [ids[at] for at in order]
    for score in (confident.margins, confident.adjusted_confidence):
        ranked = [ids[at] for at in confident.ranking(score(found, labels), ids)]
        again = [moved[at] for at in confident.ranking(score(found[order], labels[order]), moved)]
        assert again == ranked


@given(SEEDS)
def test_names_of_classes_do_not_count(seed):
    found, labels = estimated(seed)
    names = np.random.default_rng(seed).permutation(found.shape[1])  # class c is now called names[c]
    other = np.empty_like(found)
    other[:, names] = found
    renamed = names[labels]
    before, after = confident.confident_joint(found, labels), confident.confident_joint(other, renamed)
    assert np.array_equal(after[np.ix_(names, names)], before)
    assert np.allclose(confident.margins(other, renamed), confident.margins(found, labels))
    assert np.allclose(confident.adjusted_confidence(other, renamed), confident.adjusted_confidence(found, labels))
    assert np.array_equal(confident.suggested(other, renamed), names[confident.suggested(found, labels)])


@given(SEEDS)
def test_joint_keeps_the_number_of_each_given_label(seed):
    found, labels = estimated(seed)
    assert np.allclose(confident.joint(found, labels).sum(axis=1), np.bincount(labels, minlength=found.shape[1]))
    assert 0 <= confident.wrong_labels(found, labels) <= len(labels)


@given(SEEDS)
def test_margin_is_below_one_half_exactly_where_another_class_is_likelier(seed):
    found, labels = estimated(seed)
    scores = confident.margins(found, labels)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert np.array_equal(scores < 0.5, found.max(axis=1) > confident.self_confidence(found, labels))


def test_class_without_samples_is_never_confident():
    found, labels = np.array([[0.2, 0.2, 0.6], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1]]), np.array([0, 0, 1])
    assert confident.confident_joint(found, labels)[:, 2].tolist() == [0, 0, 0]


def test_equal_scores_are_ranked_by_id():
    assert confident.ranking(np.array([0.5, 0.1 + 1e-9, 0.1]), ["c", "b", "a"]) == [2, 1, 0]


@settings(max_examples=8)  # five regressions each
@given(st.integers(0, 1000), st.integers(1, 12))
def test_flipped_labels_of_separable_classes_are_ranked_first(seed, flips):
    dice = np.random.default_rng(seed)
    truth = np.arange(120) % 3
    features = (np.eye(3)[truth] * 4 + dice.normal(0, 0.1, (120, 3))).astype(np.float32)
    wrong = dice.choice(120, flips, replace=False)
    labels = truth.copy()
    labels[wrong] = (truth[wrong] + dice.integers(1, 3, flips)) % 3
    found = probabilities.out_of_sample(features, labels, keys(120))
    for scores in (confident.margins(found, labels), confident.adjusted_confidence(found, labels)):
        ranked = confident.ranking(scores, [f"{number:03}" for number in range(120)])
        assert set(ranked[:flips]) == set(wrong.tolist())
    assert np.array_equal(confident.suggested(found, labels)[wrong], truth[wrong])


def test_equal_keys_are_in_one_fold_and_labels_are_spread():
    labels = np.array([0, 1] * 50)
    parts = probabilities.folds(labels, keys(100))
    assert [np.bincount(labels[parts == fold]).tolist() for fold in range(probabilities.FOLDS)] == [[10, 10]] * 5
    repeated = probabilities.folds(labels, [keys(10)[number % 10] for number in range(100)])
    assert np.array_equal(repeated[:10], repeated[90:])


def test_single_label_cannot_be_audited():
    with pytest.raises(BitBloomError, match="at least two labels"):
        probabilities.out_of_sample(np.ones((9, 2), np.float32), np.zeros(9, np.int64), keys(9))


def test_class_of_one_sample_gets_no_probability_where_it_was_not_seen():
    features = np.eye(3, dtype=np.float32)[[0] * 10 + [1] * 10 + [2]]
    labels = np.array([0] * 10 + [1] * 10 + [2])
    found = probabilities.out_of_sample(features, labels, keys(21))
    assert found[20, 2] == 0.0
    assert np.allclose(found.sum(axis=1), 1.0)
