"""Beam search compared with a search of all sentences, in small languages whose scores depend on all words before."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitbloom.data.vocabulary import END, SPECIAL, START
from bitbloom.models.decoding import Sentence, search

WORDS = 3
"""Words of a language besides SPECIAL."""
ALL = 10_000
"""A width above the number of sentences of each of these languages."""


@dataclass(frozen=True)
class Language:
    """Random log-probabilities for each prefix of a sentence: multiples of 1/8, so that sums are exact and often equal."""

    seed: int
    length: int
    steps: int = 64

    def scores(self, prefix: tuple[int, ...]) -> np.ndarray:
        generator = np.random.default_rng([self.seed, *prefix])
        return -generator.integers(0, self.steps, len(SPECIAL) + WORDS).astype(np.float32) / 8

    def step(self, words, position, state):
        """The state [beams, length] has the words so far: a row of another beam gives the scores of another sentence."""
        state = state.copy()
        state[:, position] = words
        return np.stack([self.scores(tuple(row[: position + 1])) for row in state.tolist()]), state

    @property
    def start(self) -> np.ndarray:
        return np.zeros((1, self.length), np.int64)

    def search(self, width: int) -> list[Sentence]:
        return search(self.step, self.start, width, self.length)

    def score(self, words: tuple[int, ...]) -> float:
        """Mean log-probability of the words, and of END unless the sentence has the maximum length."""
        complete = words if len(words) == self.length else (*words, END)
        scores = [float(self.scores((START, *complete[:at]))[word]) for at, word in enumerate(complete)]
        return sum(scores) / len(scores)

    def all(self) -> list[Sentence]:
        """All sentences, best first."""
        words = range(len(SPECIAL), len(SPECIAL) + WORDS)
        sentences = itertools.chain.from_iterable(itertools.product(words, repeat=n) for n in range(1, self.length + 1))
        found = [Sentence(list(sentence), self.score(sentence)) for sentence in sentences]
        return sorted(found, key=lambda one: (-one.score, one.words))

    def greedy(self) -> list[int]:
        """The path of the likeliest words; of equal ones, the lowest number."""
        words: list[int] = []
        while len(words) < self.length:
            scores = self.scores((START, *words))
            choices = [*range(len(SPECIAL), len(scores))] if not words else [END, *range(len(SPECIAL), len(scores))]
            best = max(choices, key=lambda word: (scores[word], -word))
            if best == END:
                break
            words.append(best)
        return words


languages = st.builds(Language, st.integers(0, 2**32), st.integers(1, 4), st.sampled_from([1, 3, 64]))


@given(languages)
def test_wide_beam_finds_every_sentence_in_order(language):
    assert language.search(ALL) == language.all()


@given(languages)
def test_beam_of_one_follows_the_likeliest_word(language):
    [found] = language.search(1)
    assert found == Sentence(language.greedy(), language.score(tuple(language.greedy())))


@given(languages, st.integers(1, 40))
def test_sentences_are_distinct_and_sorted_and_have_exact_scores(language, width):
    found = language.search(width)
    assert len(found) == min(width, len(language.all()))
    assert len({tuple(one.words) for one in found}) == len(found)
    assert found == sorted(found, key=lambda one: (-one.score, one.words))
    assert [one.score for one in found] == [language.score(tuple(one.words)) for one in found]


@given(languages, st.integers(1, 8))
def test_sentences_have_no_special_words_and_a_valid_length(language, width):
    for one in language.search(width):
        assert 1 <= len(one.words) <= language.length
        assert min(one.words) >= len(SPECIAL)


@given(languages, st.integers(1, 8))
def test_searches_tensors_of_pytorch_like_arrays(language, width):
    def step(words, position, state):
        scores, after = language.step(words, position, state.numpy())
        return scores, torch.from_numpy(after)

    assert search(step, torch.from_numpy(language.start), width, language.length) == language.search(width)


def test_finds_the_best_sentence_after_a_less_likely_word():
    a, b = len(SPECIAL), len(SPECIAL) + 1
    chances = {(): {a: 0.6, b: 0.4}, (a,): {END: 0.3, a: 0.3, b: 0.4}, (a, b): {END: 0.5, b: 0.5}, (b,): {END: 0.9, a: 0.1}}

    def step(words, position, state):
        state = np.concatenate([state[:, 1:], words[:, None]], axis=1)
        scores = np.full((len(words), len(SPECIAL) + 2), -20.0, np.float32)
        for row, words_so_far in zip(scores, state.tolist(), strict=True):
            for word, chance in chances.get(tuple(one for one in words_so_far if one > END), {END: 1.0}).items():
                row[word] = np.log(chance)
        return scores, state

    start = np.zeros((1, 4), np.int64)
    assert search(step, start, 1, 4)[0].words == [a, b]
    assert search(step, start, 2, 4)[0] == Sentence([b], pytest.approx((np.log(0.4) + np.log(0.9)) / 2))


def test_runs_the_model_only_for_unfinished_beams():
    rows = []

    def step(words, position, state):
        rows.append(len(words))
        scores = np.full((len(words), len(SPECIAL) + 2), -1.0, np.float32)
        scores[:, END] = -0.5
        return scores, state

    search(step, np.zeros((1, 1)), 2, 9)
    assert rows == [1, 2]


def test_orders_equal_words_by_number():
    def step(words, position, state):
        return np.zeros((len(words), len(SPECIAL) + WORDS), np.float32), state

    first = len(SPECIAL)
    assert [one.words for one in search(step, np.zeros((1, 1)), 3, 1)] == [[first], [first + 1], [first + 2]]
