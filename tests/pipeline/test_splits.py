"""Splits: a sample's key decides its split, and near-duplicates share a split."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitbloom.core.errors import BitBloomError
from bitbloom.data import splits

keys = st.lists(
    st.binary(min_size=1, max_size=8).map(lambda data: hashlib.sha256(data).hexdigest()), min_size=1, max_size=40, unique=True
)
percents = (
    st.tuples(st.integers(0, 100), st.integers(0, 100)).map(sorted).map(lambda cut: [cut[0], cut[1] - cut[0], 100 - cut[1]])
)


@st.composite
def alike(draw):
    """Keys, and pairs of near-duplicates."""
    drawn = draw(keys)
    places = st.integers(0, len(drawn) - 1)
    pairs = (
        draw(st.lists(st.tuples(places, places).filter(lambda pair: pair[0] != pair[1]), max_size=20)) if len(drawn) > 1 else []
    )
    return drawn, pairs


def assigned(some, pairs, parts):
    return splits.assign([f"photo-{number}" for number in range(len(some))], some, pairs, parts)


@given(alike(), keys, percents)
def test_added_data_keeps_splits_and_only_excludes_samples(some, more, parts):
    before_keys, pairs = some
    added = before_keys + [key for key in more if key not in before_keys]
    everywhere = [*pairs, *((0, place) for place in range(len(before_keys), len(added)))]
    before, after = assigned(before_keys, pairs, parts), assigned(added, everywhere, parts)
    count = len(before_keys)
    assert list(after["split"][:count]) == list(before["split"])
    assert all(later or not earlier for earlier, later in zip(before["excluded"], after["excluded"][:count], strict=True))


@given(alike(), percents)
def test_included_near_duplicates_share_a_split(some, parts):
    found = assigned(*some, parts)
    for one, other in some[1]:
        if not found["excluded"][one] and not found["excluded"][other]:
            assert found["split"][one] == found["split"][other]


@given(alike(), percents)
def test_excludes_from_lower_split_with_a_reason(some, parts):
    found = assigned(*some, parts)
    for row in found.itertuples():
        assert row.excluded == bool(row.reason)
        assert not (row.excluded and row.split == "test")


def test_reason_names_the_other_sample_and_its_split():
    low, high = "0" * 64, "f" * 64
    found = splits.assign(["one.jpg", "two.jpg"], [low, high], [(1, 0)], [70, 10, 20])
    assert list(found["split"]) == ["train", "test"]
    assert list(found["reason"]) == ["near-duplicate of two.jpg in test", ""]


@given(keys, percents)
def test_split_of_zero_percent_is_empty(some, parts):
    found = {splits.split_of(key, parts) for key in some}
    assert all(parts[splits.SPLITS.index(name)] > 0 for name in found)
    assert {splits.split_of(key, [0, 0, 100]) for key in some} == {"test"}
    assert {splits.split_of(key, [100, 0, 0]) for key in some} == {"train"}


def test_split_sizes_follow_the_percentages():
    drawn = [splits.split_of(hashlib.sha256(str(number).encode()).hexdigest(), [70, 10, 20]) for number in range(4000)]
    assert [drawn.count(name) / 40 for name in splits.SPLITS] == pytest.approx([70, 10, 20], abs=2.5)


@pytest.mark.parametrize("parts", [[70, 30], [70, 10, 10], [110, -20, 10], [25, 25, 25, 25], []])
def test_rejects_percentages_that_do_not_sum_to_100(parts):
    with pytest.raises(BitBloomError, match="the percentages of train, val, test, 100 in total"):
        splits.split_of("0" * 64, parts)


def test_given_splits_are_honoured():
    some = [hashlib.sha256(number.to_bytes(2)).hexdigest() for number in range(300)]
    given = ["train"] * 200 + ["test"] * 100
    found = splits.with_given(some, given, [80, 10, 10])
    assert found[200:] == ["test"] * 100
    assert set(found[:200]) == {"train", "val"}, "a split that is given for no sample is taken from train"
    assert 10 <= found.count("val") <= 40


@given(alike(), percents, st.data())
def test_leaks_between_given_splits_are_found_and_left_out(some, parts, data):
    known, pairs = some
    places = data.draw(st.lists(st.sampled_from(splits.SPLITS), min_size=len(known), max_size=len(known)))
    found = splits.assign([str(number) for number in range(len(known))], known, pairs, parts, places)
    crossing = [(one, other) for one, other in pairs if places[one] != places[other]]
    assert sum(splits.leaks(pairs, places).values()) == len(crossing)
    for one, other in crossing:
        low = min((one, other), key=lambda place: splits.RANK[places[place]])
        if found["split"][one] == places[one] and found["split"][other] == places[other]:
            assert found["excluded"][low]


def test_samples_without_a_given_split_are_no_leak():
    assert splits.leaks([(0, 1), (1, 2), (2, 3)], ["", "train", "train", "test"]) == {("train", "test"): 1}
