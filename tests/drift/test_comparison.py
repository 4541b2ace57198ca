"""Two-sample tests, comparison and estimated accuracy: silent without drift, loud with it, the same every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from bitbloom.core.errors import BitBloomError
from bitbloom.data.descriptors import image, text
from bitbloom.drift import accuracy, comparison, tests
from bitbloom.drift.comparison import compare
from bitbloom.drift.observations import Observations

CLASSES = ["daisy", "poppy", "tulip"]


def rows(seed, count=400, shift=0.0, embedded=0.0, wrong=0.1, split=None, classes=CLASSES):
    """Draw rows of two descriptors, embeddings of length 8, and calibrated predictions with a fraction of mistakes."""
    dice = np.random.default_rng(seed)
    right = dice.random(count) >= wrong
    truth = dice.choice(classes, count)
    labels = [true if good else CLASSES[(CLASSES.index(true) + 1) % 3] for true, good in zip(truth, right, strict=True)]
    confidence = np.where(right, dice.uniform(0.8, 1.0, count), dice.uniform(0.4, 0.8, count))
    features = {"brightness": dice.normal(0.5 + shift, 0.1, count), "detail": dice.normal(0, 1, count)}
    embeddings = dice.normal(embedded, 1, (count, 8))
    columns = {"label": labels, "confidence": confidence, "truth": list(truth), "split": [split] * count}
    return Observations.of("image", features, embeddings, id=[f"{seed}-{number}" for number in range(count)], **columns)


@pytest.fixture(scope="module")
def reference():
    return Observations.concatenate([rows(1, 800, split="train"), rows(2, split="val")])


def test_alarms_at_most_as_often_as_stated_without_drift(reference):
    assert sum(compare(reference, rows(seed, 120)).drifted for seed in range(100, 120)) <= 1


@pytest.mark.parametrize(
    ("change", "name"),
    [({"shift": 0.05}, "brightness"), ({"embedded": 0.3}, "embedding"), ({"classes": CLASSES[:2]}, "label")],
)
def test_finds_and_names_drift(reference, change, name):
    assert compare(reference, rows(3, 200, **change)).changed == [name]


def test_finds_fall_of_confidence(reference):
    found = compare(reference, rows(4, 300, wrong=0.5))
    assert found.changed == ["confidence"]
    assert found.accuracy.cbpe < found.accuracy.reference - 0.1
    assert found.accuracy.atc == pytest.approx(0.5, abs=0.1)
    assert found.accuracy.low < found.accuracy.realised < found.accuracy.high


def test_equal_inputs_give_equal_bytes(reference):
    assert compare(reference, rows(5)).to_json() == compare(reference, rows(5)).to_json()


@given(st.integers(0, 10_000), st.integers(50, 400), st.integers(50, 400), st.floats(0, 0.5))
def test_value_of_p_is_that_of_scipy(seed, n, m, shift):
    dice = np.random.default_rng(seed)
    first, second = dice.normal(size=n), dice.normal(shift, size=m)
    expected = stats.ks_2samp(first, second, method="asymp")
    distance, p = tests.kolmogorov_smirnov(first, second)
    assert distance == pytest.approx(expected.statistic)
    assert p == pytest.approx(expected.pvalue, rel=0.25, abs=1e-4)


@given(st.integers(0, 10_000), st.floats(0.1, 0.5))
def test_value_of_p_of_classes_is_that_of_the_chi_square_distribution(seed, share):
    dice = np.random.default_rng(seed)
    first, second = dice.choice(CLASSES, 400), dice.choice(CLASSES, 300, p=[share, (1 - share) / 2, (1 - share) / 2])
    table = [[int((side == name).sum()) for name in CLASSES] for side in (first, second)]
    expected = stats.chi2_contingency(table, correction=False).pvalue
    assert tests.classes(first, second)[1] == pytest.approx(expected, abs=5 * np.sqrt(expected / tests.PERMUTATIONS) + 0.005)


@pytest.mark.parametrize(
    ("current", "message"),
    [
        (rows(7, comparison.FEWEST - 1), "49 samples are too few .* at least 50"),
        (Observations.of("text", {"words": [1.0] * 60}), "kind image, the samples of kind text"),
        (Observations.of("image", {"detail": [1.0] * 60}, np.ones((60, 4))), "of another model"),
    ],
)
def test_rejects_rows_that_cannot_be_compared(reference, current, message):
    with pytest.raises(BitBloomError, match=message):
        compare(reference, current)


def test_farthest_rows_come_first(reference):
    several = Observations.concatenate([rows(8, 60), rows(9, 2, embedded=9.0)])
    assert set(comparison.drifted_most(reference, several, 2)) == {60, 61}


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), min_size=1))
def test_holm_is_between_value_and_bonferroni(values):
    found = tests.holm(values)
    assert all(p <= found[name] <= min(1.0, p * len(values)) + 1e-12 for name, p in values.items())
    ordered = sorted(values, key=values.__getitem__)
    assert [found[name] for name in ordered] == sorted(found.values())


@given(arrays.arrays(np.float32, st.integers(20, 60), elements=st.floats(-1, 1, width=32)))
def test_sample_has_no_distance_from_itself(sample):
    bins = tests.histograms(sample, sample)
    assert tests.population_stability(*bins) == 0
    assert tests.jensen_shannon(*bins) == pytest.approx(0, abs=1e-6)
    assert tests.kolmogorov_smirnov(sample, sample) == (0, 1)


def test_jensen_shannon_of_disjoint_samples_is_one():
    assert tests.jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx(1)


@given(st.integers(0, 40), st.integers(1, 40))
def test_interval_of_realised_accuracy_has_the_fraction(right, wrong):
    low, high = accuracy.wilson(right, right + wrong)
    assert 0 <= low <= right / (right + wrong) <= high <= 1


def test_one_rare_class_is_not_a_drift():
    distance, p = tests.classes(["a"] * 50 + ["b"], ["a"] * 50 + ["c"])
    assert distance == pytest.approx(1 / 51)
    assert p == pytest.approx(1)


def test_many_rare_classes_are_compared():
    names = [f"flower {number}" for number in range(102)]
    dice = np.random.default_rng(0)
    known = list(dice.choice(names, 1000))
    assert tests.classes(known, list(dice.choice(names[:50], 60)))[1] < 0.003
    assert np.mean([tests.classes(known, list(dice.choice(known, 60)))[1] < 0.05 for _ in range(40)]) <= 0.15


def test_single_class_has_no_drift():
    assert tests.classes(["a"] * 30, ["a"] * 60) == (0, 1)


def test_observations_survive_a_file(tmp_path):
    written = rows(10, 5)
    embeddings = np.array(written.embeddings, np.float32)
    embeddings[2] = np.nan
    some = Observations.of("image", written.features, embeddings, label=list(written.labels), content=[b"x", *[None] * 4])
    some.write(tmp_path / "date=2026-01-02" / "part.parquet")
    found = Observations.read([tmp_path / "date=2026-01-02" / "part.parquet"])
    assert found.table.equals(some.table)
    assert found.embedded.tolist() == [True, True, False, True, True]
    assert found.embeddings.dtype == np.float16 and found.embeddings.shape == (4, 8)
    assert found.kind == "image"


def test_names_file_without_observations(tmp_path):
    (tmp_path / "part.parquet").write_bytes(b"PAR1")
    with pytest.raises(BitBloomError, match=r"part\.parquet cannot be read as Parquet"):
        Observations.read([tmp_path / "part.parquet"])
    with pytest.raises(BitBloomError, match="is missing"):
        Observations.read([Path("nowhere.parquet")])


@given(st.text(max_size=80))
def test_text_and_its_cleaned_form_have_equal_numbers(words):
    from bitbloom.data import texts

    found = text.describe(words)
    assert found == text.describe(texts.clean(words))
    assert tuple(found) == text.NAMES
    assert all(np.isfinite(value) and value >= 0 for value in found.values())


@given(arrays.arrays(np.uint8, st.tuples(st.just(3), *[st.shared(st.integers(4, 40), key="side")] * 2)))
def test_numbers_of_photo_are_in_their_ranges(square):
    found = image.describe(square, 7)
    assert tuple(found) == image.NAMES
    assert all(0 <= found[name] <= 1 for name in ("brightness", "contrast", "saturation", "dark", "bright", "upright", "detail"))
    assert -1 <= found["warmth"] <= 1 and -1 <= found["greenness"] <= 1


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 4), st.just(3), *[st.shared(st.integers(1, 24), key="side")] * 2)))
def test_photos_together_have_the_numbers_of_each(squares):
    sizes = list(range(len(squares)))
    assert image.describe_all(squares, sizes) == [image.describe(*one) for one in zip(squares, sizes, strict=True)]


def test_blur_lowers_sharpness_and_turn_swaps_directions():
    square = np.random.default_rng(0).integers(0, 255, (3, 32, 32), dtype=np.uint8)
    square[:, ::2] = 0
    blurred = (square // 2 + np.roll(square, 1, axis=2) // 2).astype(np.uint8)
    before, after, turned = (image.describe(one, 1) for one in (square, blurred, np.rot90(square, axes=(1, 2))))
    assert after["sharpness"] < before["sharpness"]
    assert turned["upright"] == pytest.approx(1 - before["upright"])
