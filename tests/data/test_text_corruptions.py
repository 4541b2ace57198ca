"""The corruption matrix of `tweets`: each corruption fails one expectation, and the result lists the failing rows."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from bitbloom.core import canonical
from bitbloom.data import texts
from bitbloom.data.sources import SourceFile
from bitbloom.stages.ingest import describe_files
from bitbloom.tasks.tweets import samples as tweets
from bitbloom.validation.verdict import PASSED
from support.corruption import (
    Case,
    Corruption,
    Matrix,
    broken_names,
    copy,
    given_splits,
    in_test,
    profile,
    put,
    rows_by_name,
    wrong_types,
)

LABELS = ["disaster", "not disaster"]
GATE = {"labels": LABELS, "rows": [20, 40], "class_rows": 5, "imbalance": 3.0, "new_words": 0.3}
WORDS = ["the", "flood", "party", "swept", "through", "our", "old", "market", "town", "again"]


def manifest(rows: int = 30) -> pd.DataFrame:
    """Return the manifest of texts without new words in the last rows."""
    return pd.DataFrame(describe_files([sample(number) for number in range(rows)], Path(), "tweets", "tweets_csv"))


def sample(number: int) -> SourceFile:
    words = WORDS[number % 10 :] + WORDS[: number % 10]
    row = {"text": " ".join([*words[: 4 + number % 3], words[number // 10 - 3]]), "keyword": words[0], "location": "Leeds"}
    return SourceFile("train.csv", LABELS[number % 2], {}, f"{number:03}", canonical.json_line(row).encode())


def shouted(source: int, to: int) -> Corruption:
    """Copy the text of one row to another, in capitals and with an address."""

    def corrupt(table: pd.DataFrame) -> pd.DataFrame:
        row = {"text": f"{table.loc[source, 'text'].upper()}!! http://t.co/x", "keyword": "", "location": ""}
        return put(to, normalised=tweets.describe(json.dumps(row).encode(), {})["normalised"])(table)

    return corrupt


def newest(words: str) -> Corruption:
    """Replace the words of the last six rows."""

    def corrupt(table: pd.DataFrame) -> pd.DataFrame:
        for row in range(24, 30):
            table = put(row, normalised=f"{words} {row}")(table)
        return table

    return corrupt


def first(column: str, rows: int, value: str = "") -> Corruption:
    """Set a value in the first rows of a column."""
    return lambda table: table.assign(**{column: [value] * rows + list(table[column])[rows:]})


FIRST = {"000"}
OPEN: dict[str, object] = {"labels": None, "class_rows": 1}
FACTS = ("language", "damage", "invisible", "residue", "private")
CASES = {
    **broken_names("000", 30),
    "a column is missing": Case(
        "columns",
        lambda table: table.drop(columns="words"),
        says="missing columns words",
        unchecked={"type-words", "words"},
    ),
    "a misspelt label": Case("labels-declared", put(0, label="disastre"), FIRST, "(disastre)"),
    "a declared class without rows": Case(
        "labels-present", lambda table: table, says="missing rumour", gate={"labels": [*LABELS, "rumour"]}
    ),
    "a rare class": Case(
        "class-rows",
        lambda table: table[(table["label"] == "disaster") | (table.index < 8)],
        {"001", "003", "005", "007"},
        gate={"rows": [10, 40], "imbalance": 9.0, "new_words": None},
    ),
    "one class much bigger": Case(
        "class-balance",
        lambda table: table[(table["label"] == "disaster") | (table.index < 10)],
        {"001", "003", "005", "007", "009"},
        gate={"rows": [10, 40], "imbalance": 2.0, "new_words": None},
    ),
    "too few rows": Case("row-count", lambda table: table[:22], says="value 22", gate={"rows": [25, 40], "new_words": None}),
    "too many rows": Case("row-count", lambda table: table, says="at most 29", gate={"rows": [20, 29]}),
    "nothing is left of a text": Case("readable", put(0, decodable=False, error="nothing is left"), FIRST, "(nothing is left)"),
    "the same words twice": Case("repeated-texts", shouted(2, 8), {"008"}, "(002)"),
    "the same words under two labels": Case(
        "conflicting-texts", copy("normalised", 3, 8), {"003", "008"}, "disaster, not disaster", gate={"repeats": 1}
    ),
    "hardly a letter": Case("characters", put(0, characters=2), FIRST, "(2)"),
    "a whole page": Case("characters", put(0, characters=401), FIRST, "(401)"),
    "a list of words": Case("words", put(0, words=101), FIRST, "(101)"),
    "another script": Case("script", put(0, ascii_share=0.1), FIRST, gate={"ascii_rows": 1.0}),
    "keywords lost": Case("keyword-given", first("keyword", 20), {f"{row:03}" for row in range(20)}),
    "locations lost": Case("location-given", first("location", 28), {f"{row:03}" for row in range(28)}),
    "a wrong encoding": Case("mojibake", put(0, text="the flood \ufffd\ufffd the market"), FIRST),
    "another language": Case("language", put(0, language="de"), FIRST, "(de)"),
    "a wrong decoding": Case("damage", put(0, damage="donÛªt"), FIRST, "(donÛªt)"),
    "a zero-width space": Case("invisible", put(0, invisible="U+200B"), FIRST, "(U+200B)"),
    "markup": Case("residue", put(0, residue="<p>the"), FIRST, "(<p>the)"),
    "an address of e-mail": Case("private", put(0, private="jo@example.com"), FIRST, "(jo@example.com)"),
    "only an address": Case("wordless", put(0, normalised=""), FIRST),
    "the label in the text": Case("label-in-text", put(0, text="label: disaster the flood"), FIRST, "(label: disaster)"),
    "keywords of other rows": Case(
        "keyword-in-text", first("keyword", 20, "volcano"), {f"{row:03}" for row in range(20)}, "(volcano)"
    ),
    "a text as the location": Case("location", put(0, location="the flood " * 11), FIRST),
    "a label in capitals": Case("labels-alike", put(0, label="Disaster"), FIRST, "(disaster)", gate={**OPEN, "imbalance": 99.0}),
    "a sample in two splits": Case("split-leaks", given_splits(copy("key", 0, 3)), {"003"}, "(000)"),
    "a class in one split only": Case(
        "split-labels",
        lambda table: given_splits()(table).assign(
            attributes=lambda given: given["attributes"].where(given["label"].ne("disaster"), '{"split": "train"}')
        ),
        {f"{row:03}" for row in range(0, 30, 2)},
        "of all",
        gate={"split_ratio": 1.2},
    ),
    "longer texts in one split": Case(
        "split-values", given_splits(in_test(words=20)), {f"{row:03}" for row in range(30) if row % 5 >= 3}, "words: median 20"
    ),
    "fewer rows than in the profile": Case("profile-rows", lambda table: table, says="value 30", profile=profile(80)),
    "a class of the profile is missing": Case(
        "profile-labels",
        lambda table: table,
        says="missing rumour",
        profile=profile(30, {"disaster": 15, "not disaster": 15, "rumour": 1}),
    ),
    "a class grew since the profile": Case(
        "profile-classes",
        lambda table: table,
        {f"{row:03}" for row in range(1, 30, 2)},
        "in the profile",
        profile=profile(3000, {"disaster": 2997, "not disaster": 3}),
        gate={"drift_rows": 999.0},
    ),
    "longer texts than in the profile": Case(
        "profile-values", lambda table: table, {f"{row:03}" for row in range(30)}, "words: median", profile=profile(30, words=2)
    ),
    "words that the profile lacks": Case(
        "profile-words", lambda table: table, says="at most 0.3", profile=profile(30, vocabulary=["other"])
    ),
    "another language in the newest rows": Case("vocabulary-drift", newest("eine Flut riss den Markt fort"), says="at most 0.3"),
}


TEXT = ("path", "label", "attributes", "source", "sha256", "error", "text", "keyword", "location", "normalised", "key", *FACTS)
WHOLE = ("bytes", "characters", "words")
CASTS = {**dict.fromkeys(WHOLE, "float64"), "ascii_share": "float32", "decodable": "int64"}
MATRIX = Matrix("tweets", manifest, GATE, CASES, wrong_types(TEXT, CASTS, "001"), never_null={"error", *WHOLE})


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_corruption_fails_only_its_expectation(case: Case) -> None:
    MATRIX.assert_fails_alone(case)


def test_valid_manifest_passes() -> None:
    assert {result.outcome for result in MATRIX.check(manifest()).checks} == {PASSED}


def test_wrong_type_fails_only_its_expectation() -> None:
    MATRIX.assert_wrong_types_fail_alone()


def test_null_fails_only_its_expectation() -> None:
    MATRIX.assert_nulls_fail_alone()


def test_every_expectation_has_a_corruption() -> None:
    MATRIX.assert_complete()


def test_drift_of_the_vocabulary_stops_the_build() -> None:
    drifted = newest("eine Flut riss den Markt fort")(manifest())
    assert not MATRIX.check(drifted).passed
    assert MATRIX.check(drifted, new_words=1.0).passed


def test_drift_considers_only_newest_rows() -> None:
    table = manifest()
    table = put(3, normalised=texts.normalised("eine Flut riss den Markt fort"))(table)
    assert rows_by_name(MATRIX.check(table)) == {}
