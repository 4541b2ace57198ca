"""The search for close hashes: equal to the comparison of all pairs."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitbloom.data import hamming

CENTRES = st.sampled_from([0, (1 << 64) - 1, 0x0123456789ABCDEF, 0xFFFF0000FFFF0000])
HASHES = st.builds(
    lambda centre, flipped: centre ^ sum(1 << bit for bit in flipped), CENTRES, st.sets(st.integers(0, 63), max_size=12)
)


def exhaustive(hashes: list[int], bits: int) -> list[tuple[int, int]]:
    return [(i, j) for i, j in combinations(range(len(hashes)), 2) if (hashes[i] ^ hashes[j]).bit_count() <= bits]


@given(st.lists(st.one_of(HASHES, st.integers(0, (1 << 64) - 1)), max_size=40), st.integers(0, 16), st.data())
def test_close_pairs_equal_the_exhaustive_ones_for_any_bands(hashes: list[int], bits: int, data: st.DataObject) -> None:
    bands = data.draw(st.integers(max(1, bits // 2), bits + 1))
    found = [
        pair
        for first, second in hamming.pairs(np.array(hashes, dtype=np.uint64), bits, bands)
        for pair in zip(first.tolist(), second.tolist(), strict=True)
    ]
    assert sorted(found) == exhaustive(hashes, bits)


@given(st.lists(HASHES, max_size=40), st.integers(0, 12))
def test_chosen_bands_find_the_same_pairs_and_rows(hashes: list[int], bits: int) -> None:
    given = np.array(hashes, dtype=np.uint64)
    expected = exhaustive(hashes, bits)
    assert hamming.sorted_pairs(given, bits) == expected
    assert np.flatnonzero(hamming.near_another(given, bits)).tolist() == sorted({one for pair in expected for one in pair})


def test_pairs_are_the_same_in_small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = np.array([0, 1, 3, 0, 7, 1 << 63, 0, 1], dtype=np.uint64)
    whole = hamming.sorted_pairs(hashes, 2)
    monkeypatch.setattr(hamming, "BLOCK", 3)
    assert hamming.sorted_pairs(hashes, 2) == whole == exhaustive(hashes.tolist(), 2)


def test_compares_few_pairs_of_many_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = np.random.default_rng(5).integers(0, 1 << 64, 20_000, dtype=np.uint64)
    compared = 0
    products = hamming._products

    def counted(*given: hamming.Positions) -> object:
        nonlocal compared
        for left, right in products(*given):
            compared += len(left)
            yield left, right

    monkeypatch.setattr(hamming, "_products", counted)
    assert hamming.sorted_pairs(hashes, 4) == []
    assert compared < 20 * len(hashes)
