"""Cleaning and comparing short texts: properties for any text, and typical examples."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bitbloom.data import texts
from bitbloom.tasks.tweets import samples as tweets

PIECES = [
    "&amp;",
    "&amp;lt;",
    "Ã©",
    "â€™",
    "http://t.co/x",
    "@user",
    "%20",
    "😀",
    "👩‍🚒",
    "ﬃ",
    "\x00",
    "\u200b",
    " \n",
    "#tag",
    "ñ",
    "ЖЖ",
]
anything = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=12).map("".join))


@given(anything)
@example("&" + "amp;" * 30 + "lt;")
def test_cleaning_is_idempotent(text: str) -> None:
    assert texts.clean(texts.clean(text)) == texts.clean(text)


@given(anything)
@example("ﬃ" * 10)
@example("@a@b@c" * 5)
@example("ﷺ")
def test_cleaned_text_is_at_most_twice_as_long(text: str) -> None:
    assert len(texts.clean(text)) <= 2 * len(text)


@given(anything, st.sampled_from("😀🔥🌊🚒❤🌍"))
def test_keeps_emoji(text: str, emoji: str) -> None:
    assert texts.clean(f"{text} {emoji} flood").count(emoji) >= 1


@given(st.lists(st.text(string.ascii_letters + string.digits, min_size=1, max_size=8), min_size=1, max_size=8))
def test_key_ignores_case_punctuation_and_spaces(words: list[str]) -> None:
    assert texts.key(" ".join(words)) == texts.key("  ...".join(words).swapcase() + " !! http://t.co/x")


@given(anything)
@example("%25" * 3 + "20")
def test_cleaning_of_keywords_is_idempotent(text: str) -> None:
    assert texts.clean_keyword(texts.clean_keyword(text)) == texts.clean_keyword(text)


@pytest.mark.parametrize(
    ("typed", "cleaned"),
    [
        ("fire &amp; smoke", "fire & smoke"),
        ("fire &amp;amp; smoke", "fire & smoke"),
        ("it\u00e2\u20ac\u2122s burning", "it's burning"),
        ("cafÃ© evacuated", "café evacuated"),
        ("see http://t.co/abc and https://x.org/y?z=1", "see URL and URL"),
        ("@mum RT @city: storm", "USER RT USER: storm"),
        ("mail a@b.org now", "mail a@b.org now"),
        ("two\n\nlines\tand  spaces ", "two lines and spaces"),
        ("😱🔥 run", "😱🔥 run"),
        ("", ""),
    ],
)
def test_cleans_typical_texts(typed: str, cleaned: str) -> None:
    assert texts.clean(typed) == cleaned


def test_decodes_percent_encoded_keyword() -> None:
    assert texts.clean_keyword("body%20bag") == "body bag"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Flood in Leeds!", "flood in leeds"),
        ("Flood in Leeds http://t.co/a", "FLOOD in Leeds... http://t.co/b"),
        ("@anna flood in Leeds", "flood @bob in Leeds"),
    ],
)
def test_repeats_have_equal_keys(one: str, other: str) -> None:
    assert texts.key(one) == texts.key(other)


def test_texts_without_words_have_different_keys() -> None:
    assert texts.key("🔥") != texts.key("🌊")


def test_describes_row_by_cleaned_parts() -> None:
    row = {"text": "Fire &amp; smoke http://t.co/x", "keyword": "wild%20fires", "location": " Leeds "}
    found = tweets.describe(json.dumps(row).encode(), {})
    assert {name: found[name] for name in ("text", "keyword", "location", "normalised", "words", "characters", "decodable")} == {
        "text": "Fire & smoke URL",
        "keyword": "wild fires",
        "location": "Leeds",
        "normalised": "fire smoke",
        "words": 4,
        "characters": 16,
        "decodable": True,
    }


def test_describes_empty_row_as_undecodable() -> None:
    found = tweets.describe(json.dumps({"text": " \n ", "keyword": "", "location": ""}).encode(), {})
    assert found["decodable"] is False
    assert "nothing is left" in str(found["error"])


def test_joins_keyword_text_and_location() -> None:
    assert texts.joined("the town &amp; us", "wild%20fires", "") == "wild fires | the town & us"
    assert texts.joined("a", "b", "c") == "b | a | c"


@pytest.mark.parametrize(("text", "fraction"), [("flood", 1.0), ("наводнение", 0.0), ("12 !!", 1.0)])
def test_fraction_of_ascii_letters(text: str, fraction: float) -> None:
    assert texts.ascii_share(text) == fraction
