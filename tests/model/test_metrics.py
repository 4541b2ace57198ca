"""Properties of the metrics in metrics.json."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.evaluation import metrics
from bitbloom.tasks.tweets import evaluate as tweets

LAW = settings(max_examples=40)


@st.composite
def predictions(draw, most=40):
    """Draw logits [n, K] on a coarse grid, with ties, and labels [n]."""
    classes = draw(st.integers(2, 9))
    n = draw(st.integers(1, most))
    seed = draw(st.integers(0, 2**32 - 1))
    spread = draw(st.sampled_from([1, 4, 24]))  # scikit-learn clips the probabilities of larger logits
    generator = np.random.default_rng(seed)
    logits = generator.integers(-spread, spread + 1, size=(n, classes)).astype(np.float32) / 2
    return torch.from_numpy(logits), generator.integers(0, classes, size=n)


def report(logits, labels, bootstrap=20, bins=10):
    names = [f"class {i}" for i in range(logits.shape[1])]
    return metrics.classification(metrics.compare(logits, labels), names, bootstrap, bins)


@LAW
@given(predictions(), st.randoms(use_true_random=False))
def test_metrics_do_not_depend_on_order_of_samples(case, random):
    logits, labels = case
    order = list(range(len(labels)))
    random.shuffle(order)
    assert canonical.json_text(report(logits, labels)) == canonical.json_text(report(logits[order], labels[order]))


@LAW
@given(predictions())
def test_metrics_stay_within_their_bounds(case):
    found = report(*case)
    for key in ("accuracy", "top5_accuracy", "macro_f1", "expected_calibration_error"):
        assert 0 <= found[key] <= 1
    assert found["log_loss"] >= 0
    assert found["top5_accuracy"] >= found["accuracy"]
    for low, high in found["confidence_intervals"].values():
        assert 0 <= low <= high <= 1
    assert sum(map(sum, found["confusion"])) == found["samples"] == len(case[1])


@LAW
@given(predictions())
def test_perfect_predictions_get_perfect_scores(case):
    logits, labels = case
    perfect = torch.full_like(logits, -50.0)
    perfect[torch.arange(len(labels)), torch.from_numpy(labels)] = 50.0
    found = report(perfect, labels)
    assert found["accuracy"] == found["top5_accuracy"] == found["macro_f1"] == 1
    assert found["log_loss"] == found["expected_calibration_error"] == 0
    assert found["confidence_intervals"] == {"accuracy": [1, 1], "macro_f1": [1, 1]}


@LAW
@given(predictions())
def test_metrics_agree_with_scikit_learn(case):
    import sklearn.metrics as reference

    logits, labels = case
    every = list(range(logits.shape[1]))
    predicted = logits.numpy().argmax(axis=1)
    probabilities = torch.softmax(logits.double(), dim=1).numpy()
    found = report(logits, labels)
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(labels, predicted), rel=1e-5)
    assert found["macro_f1"] == pytest.approx(reference.f1_score(labels, predicted, average="macro"), rel=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert found["log_loss"] == pytest.approx(reference.log_loss(labels, probabilities, labels=every), rel=1e-4, abs=1e-6)


@LAW
@given(predictions())
def test_class_scores_are_exact_quotients_of_counts(case):
    logits, labels = case
    pairs = list(zip(labels.tolist(), logits.numpy().argmax(axis=1).tolist(), strict=True))
    k = logits.shape[1]
    known, named_classes = (np.array(column) for column in zip(*pairs, strict=True))
    counts = metrics.confusion(known, named_classes, k)
    assert counts.tolist() == [[pairs.count((label, predicted)) for predicted in range(k)] for label in range(k)]
    for i, row in enumerate(metrics.per_class(known, named_classes, [str(i) for i in range(k)])):
        hits, support, named = pairs.count((i, i)), sum(label == i for label, _ in pairs), sum(got == i for _, got in pairs)
        assert row["precision"] == (hits / named if named else 0)
        assert row["recall"] == (hits / support if support else 0)
        assert row["f1"] == (2 * hits / (support + named) if support + named else 0)
        assert row["support"] == support


@LAW
@given(st.integers(1, 20), st.lists(st.integers(1, 20), min_size=1, max_size=6))
def test_calibrated_bins_have_no_calibration_error(bins, tops):
    confidence, correct = [], []
    for top in tops:  # 20 predictions with confidence top / 20, of which `top` are correct
        confidence += [top / 20] * 20
        correct += [True] * top + [False] * (20 - top)
    error = metrics.calibration_error(np.array(confidence), np.array(correct), bins)
    assert error == pytest.approx(0, abs=1e-12)


def test_confident_errors_have_largest_calibration_error():
    assert metrics.calibration_error(np.ones(7), np.zeros(7, dtype=bool), 10) == 1


def test_confidence_on_bin_edge_counts_once():
    rows = metrics.calibration(np.array([0.0, 0.1, 0.5, 1.0]), np.array([True] * 4), 10)
    assert [row["count"] for row in rows] == [1, 1, 0, 0, 0, 1, 0, 0, 0, 1]


@pytest.mark.parametrize("classes", [2, 3, 4, 5])
def test_top5_of_at_most_five_classes_is_one(classes):
    logits = torch.zeros(classes, classes)
    assert report(logits, np.arange(classes))["top5_accuracy"] == 1


def test_ties_go_to_first_class():
    judged = metrics.compare(torch.zeros(3, 7), np.array([0, 4, 6]))
    assert judged.predicted.tolist() == [0, 0, 0]
    assert judged.rank.tolist() == [0, 4, 6]


def test_huge_logits_do_not_overflow():
    judged = metrics.compare(torch.tensor([[3e38, -3e38]]), np.array([0]))
    assert judged.loss.tolist() == [0.0]
    assert judged.confidence.tolist() == [1.0]


def test_interval_surrounds_the_accuracy_and_narrows_with_more_samples():
    def width(n):
        labels = np.zeros(n, dtype=np.int64)
        predicted = (np.arange(n) % 4 == 0).astype(np.int64)  # three of four are correct
        judged = metrics.Predictions(2, labels, predicted, predicted, np.ones(n), np.zeros(n))
        low, high = metrics.intervals(judged, 400)["accuracy"]
        assert low < 0.75 < high
        return high - low

    assert width(1000) < width(40) / 3


def test_bootstrap_does_not_depend_on_chunk_size(monkeypatch):
    labels = np.arange(30) % 3
    judged = metrics.Predictions(3, labels, (labels * 2) % 3, labels, np.ones(30), np.ones(30))
    whole = metrics.intervals(judged, 50)
    monkeypatch.setattr(metrics, "CHUNK", 70)
    assert metrics.intervals(judged, 50) == whole


def test_omits_intervals_without_resamples():
    assert report(torch.zeros(4, 2), np.array([0, 1, 0, 1]), bootstrap=0)["confidence_intervals"] == {}


def test_majority_is_most_frequent_training_class():
    assert metrics.majority(np.array([2, 1, 1, 0]), 3, classes=4).tolist() == [1, 1, 1]


def test_nearest_mean_colour_predicts_only_seen_classes():
    images = np.zeros((4, 3, 5, 5), dtype=np.uint8)
    images[[0, 2], 0] = 200
    images[[1, 3], 2] = [[[180]], [[220]]]
    train, test = (metrics.mean_colours(images, np.array(positions)) for positions in ([0, 1], [2, 3]))
    assert test[1].tolist() == [0, 0, 220]
    assert metrics.nearest_mean(train, np.array([0, 2]), test, classes=3).tolist() == [0, 2]


@LAW
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_rounding_is_idempotent_and_accurate(value):
    once = metrics.rounded(value)
    assert metrics.rounded(once) == once
    assert math.isclose(once, value, rel_tol=1e-5, abs_tol=1e-300)
    assert math.copysign(1, metrics.rounded(-0.0)) == 1


@pytest.mark.parametrize(
    ("logits", "labels", "words"),
    [
        (torch.zeros(2, 3), [0], "got"),
        (torch.zeros(0, 3), [], "n > 0"),
        (torch.zeros(2), [0, 1], "got"),
        (torch.zeros(2, 3), [0, 3], "same classes"),
        (torch.zeros(2, 3), [0, -1], "same classes"),
        (torch.tensor([[0.0, math.nan]]), [0], "diverged"),
    ],
)
def test_rejects_invalid_outputs(logits, labels, words):
    with pytest.raises(BitBloomError, match=words):
        metrics.compare(logits, np.array(labels, dtype=np.int64))


def test_rejects_names_that_do_not_fit_outputs():
    with pytest.raises(BitBloomError, match="3 outputs"):
        metrics.classification(metrics.compare(torch.zeros(1, 3), np.array([0])), ["a", "b"], 10, 10)


@LAW
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30))
def test_f1_is_that_of_the_positive_class(pairs):
    labels, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    hits = pairs.count((1, 1))
    named = sum(label == 1 for label, _ in pairs) + sum(got == 1 for _, got in pairs)
    found = tweets.f1(labels, predicted, ["calm", tweets.POSITIVE, "other"])
    assert found == (metrics.rounded(2 * hits / named) if named else 0)
