"""The corruption matrix of `captions`: each corruption fails one expectation, and the result lists the failing rows."""

from __future__ import annotations

import io
import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bitbloom.config.sections.gate import Gate
from bitbloom.data import photo_facts
from bitbloom.data.importing import import_data
from bitbloom.data.sources import SourceFile, coco_folder, garden_captions
from bitbloom.stages.ingest import describe_files
from bitbloom.tasks.captions import samples as captions
from bitbloom.validation.check import check
from bitbloom.validation.derived import sentences as caption_columns
from bitbloom.validation.nameless import NAME_NOTHING
from bitbloom.validation.verdict import PASSED
from support.corruption import (
    Case,
    Corruption,
    Matrix,
    broken_names,
    broken_photo,
    copy,
    given_splits,
    in_test,
    look_alike,
    profile,
    put,
    rows_by_name,
    wrong_types,
)
from support.synthetic_manifest import QUALITY

REAL = Path(__file__).parents[3] / "shared/data/captions.tar"
ROWS = 30
GATE = {"rows": [20, 40], "captions": [2, 3], "words": [3, 20]}
NOUNS = ["dog", "cat", "child", "man", "woman", "horse"]
VERBS = ["runs", "sits", "jumps", "stands", "plays"]
PLACES = ["grass", "snow", "water", "street", "sand"]
FOREIGN = "ein Vogel ruht auf einem Zaun"


@cache
def described() -> pd.DataFrame:
    """Return the manifest of ROWS photos with unique captions, and without new words in the last rows."""
    return pd.DataFrame(describe_files([sample(number) for number in range(ROWS)], Path(), "captions", "coco_folder"))


def manifest() -> pd.DataFrame:
    return described().copy()


def sample(number: int) -> SourceFile:
    pixels = np.random.default_rng(number).integers(60, 200, (36, 48, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    verb, place, under = VERBS[number % 5], PLACES[number % 5], PLACES[number // 6 - 2]
    said = [f"A {NOUNS[number % 6]} {verb} on the {place}.", f"{under}, and a {NOUNS[number % 6]} that {VERBS[number // 6 - 2]}"]
    return SourceFile(f"{number:03}.png", "", {"captions": said}, f"{number:03}", file.getvalue())


def said(row: int, *sentences: str) -> Corruption:
    """Replace the captions of a photo."""
    facts = captions.describe(b"", {"captions": list(sentences)})
    return put(row, **{column: value for column, value in facts.items() if column not in photo_facts.describe(b"")})


def all_say(sentence: str, rows: range) -> Corruption:
    """Give several photos the same caption in addition to their own."""

    def corrupt(table: pd.DataFrame) -> pd.DataFrame:
        for row in rows:
            table = said(row, sentence, json.loads(table.loc[row, "captions"])[0])(table)
        return table

    return corrupt


def newest_say(sentence: str) -> Corruption:
    """Replace the captions of the last six photos."""

    def corrupt(table: pd.DataFrame) -> pd.DataFrame:
        for row in range(24, ROWS):
            table = said(row, f"{sentence} {row}", f"{row} {sentence}")(table)
        return table

    return corrupt


def undecodable(row: int) -> Corruption:
    """Replace a row by that of a file that cannot be decoded."""
    return put(row, **photo_facts.describe(b"\xff\xd8\xff cut off"))


def ids(*rows: int) -> set[str]:
    return {f"{row:03}" for row in rows}


FIRST = {"000"}
DOG = "a dog runs on the grass"
CASES = {
    **broken_names("000", ROWS),
    **broken_photo("000"),
    "a column is missing": Case(
        "columns",
        lambda table: table.drop(columns="most_characters"),
        says="missing columns most_characters",
        unchecked={"type-most_characters", "most-characters"},
    ),
    "a column too many": Case("columns", lambda table: table.assign(url=""), says="unexpected columns url"),
    "sentences cut off": Case("form-captions", put(0, captions='["a dog runs", "a ca'), FIRST, '(["a dog runs", "a ca)'),
    "sentences that are numbers": Case("form-captions", put(0, captions="[7, 8]"), FIRST, "([7, 8])"),
    "the same file twice": Case("repeated-files", copy("sha256", 3, 8), {"008"}, "(003)"),
    "a broken file": Case("decodable", undecodable(0), FIRST, "(not an image of a known format"),
    "a photo without a sentence": Case("captions-given", said(0), FIRST, "(0)"),
    "a sentence lost": Case("captions-per-photo", said(0, DOG), FIRST, "(1)"),
    "the sentences of two photos": Case(
        "captions-per-photo", said(0, DOG, "so it runs", "dogs do run", "and a dog sat"), FIRST, "(4)"
    ),
    "an empty sentence": Case("fewest-words", said(0, DOG, ""), FIRST, "(0)"),
    "punctuation for a sentence": Case("fewest-words", said(0, DOG, "?!"), FIRST, "(0)"),
    "a word for a sentence": Case("fewest-words", said(0, DOG, "Dog."), FIRST, "(1)"),
    "a whole story": Case("most-words", said(0, DOG, "so the dog " * 7), FIRST, "(21)"),
    "a file in disguise": Case("most-characters", said(0, DOG, f"a dog {'iVBORwKGgo' * 50}"), FIRST, "(506)"),
    "a sentence that names nothing": Case("nameless", said(0, DOG, "A photo of the ..."), FIRST, "(a photo of the)"),
    "more of them than tolerated": Case(
        "nameless",
        lambda table: said(0, DOG, "it is a")(said(5, "in front of", DOG + " again")(table)),
        ids(0, 5),
        gate={"nameless": 1},
    ),
    "a placeholder": Case(
        "shared-captions",
        all_say("Sorry, no description yet", range(1, 5)),
        ids(1, 2, 3, 4),
        "(sorry no description yet, also of 002)",
    ),
    "another script": Case(
        "script",
        said(0, DOG, "собака бежит по траве"),
        FIRST,
        "(0.0)",
        gate={"ascii_rows": 1.0, "languages": ["en", "", "cyrillic"]},
    ),
    "a wrong encoding": Case("mojibake", said(0, DOG, "a dog on a caf\ufffd terrace"), FIRST),
    "another language in the newest rows": Case(
        "vocabulary-drift", newest_say(FOREIGN), says="at most 0.35", gate={"languages": ["en", "", "de"]}
    ),
    "a near-duplicate": Case("near-duplicates", look_alike(0, 1), {"001"}, "(000)"),
    "another language": Case("language", put(0, language="de"), FIRST, "(de)"),
    "a wrong decoding": Case("damage", put(0, damage="donÛªt"), FIRST, "(donÛªt)"),
    "a zero-width space": Case("invisible", put(0, invisible="U+200B"), FIRST, "(U+200B)"),
    "markup": Case("residue", put(0, residue="<p>the"), FIRST, "(<p>the)"),
    "an address of e-mail": Case("private", put(0, private="jo@example.com"), FIRST, "(jo@example.com)"),
    "the same sentence twice": Case("said-twice", said(0, DOG, "A dog runs on the grass!"), FIRST, f"({DOG})"),
    "a sample in two splits": Case("split-leaks", given_splits(copy("key", 0, 3)), {"003"}, "(000)"),
    "darker photos in one split": Case(
        "split-values", given_splits(in_test(brightness=0.2)), {f"{row:03}" for row in range(ROWS) if row % 5 >= 3}, "in test"
    ),
    "fewer rows than in the profile": Case("profile-rows", lambda table: table, says="value 30", profile=profile(80)),
    "wider photos than in the profile": Case(
        "profile-values", lambda table: table, ids(*range(ROWS)), "width: median 48, 24", profile=profile(ROWS, width=24)
    ),
    "words that the profile lacks": Case(
        "profile-words", lambda table: table, says="at most 0.35", profile=profile(ROWS, vocabulary=["other"])
    ),
    "too few rows": Case("row-count", lambda table: table[:22], says="value 22", gate={"rows": [25, 40], "new_words": None}),
    "too many rows": Case("row-count", lambda table: table, says="at most 29", gate={"rows": [20, 29]}),
}


FACTS = ("format", "thumbnail", "language", "damage", "invisible", "residue", "private")
TEXT = (
    "path",
    "label",
    "attributes",
    "source",
    "sha256",
    "mode",
    "error",
    "key",
    "perceptual_hash",
    "captions",
    "normalised",
    *FACTS,
)
WHOLE = ("bytes", "width", "height", "sentences", "fewest_words", "most_words", "most_characters", "orientation")
REAL_NUMBERS = ("aspect", "brightness", "contrast", "least_ascii_share", *QUALITY)
CASTS = {**dict.fromkeys(WHOLE, "float64"), **dict.fromkeys(REAL_NUMBERS, "float32"), "decodable": "int64", "complete": "int64"}
MATRIX = Matrix("captions", manifest, GATE, CASES, wrong_types(TEXT, CASTS, "001"), never_null={"error", *WHOLE})


@pytest.mark.slow  # takes seconds per case: Great Expectations reads the whole suite
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_corruption_fails_only_its_expectation(case: Case) -> None:
    MATRIX.assert_fails_alone(case)


def test_valid_manifest_passes() -> None:
    verdict = MATRIX.check(manifest())
    assert {result.outcome for result in verdict.checks} == {PASSED}
    assert verdict.left_out == ["profile-rows", "profile-values", "profile-words"]


def test_wrong_type_fails_only_its_expectation() -> None:
    MATRIX.assert_wrong_types_fail_alone()


def test_null_fails_only_its_expectation() -> None:
    MATRIX.assert_nulls_fail_alone()


def test_every_expectation_has_a_corruption() -> None:
    MATRIX.assert_complete()


def test_drift_of_the_vocabulary_stops_the_build() -> None:
    drifted = newest_say(FOREIGN)(manifest())
    assert not MATRIX.check(drifted).passed
    assert MATRIX.check(drifted, new_words=1.0).passed


def test_tolerated_shared_captions_pass_and_are_reported() -> None:
    verdict = MATRIX.check(all_say("a bird on a fence", range(7, 10))(manifest()), shared_captions=0.1)
    assert verdict.passed
    [result] = [one for one in verdict.checks if one.name == "shared-captions"]
    assert {row["id"] for row in result.rows} == ids(7, 8, 9)


def test_null_bound_omits_expectation() -> None:
    verdict = MATRIX.check(all_say("a bird on a fence", range(ROWS))(manifest()), shared_captions=None)
    assert verdict.passed
    assert "shared-captions" in verdict.left_out


LINES = st.lists(st.sampled_from(["a dog", "two dogs", "a red car", ""]), max_size=3)


@given(st.lists(LINES, min_size=1, max_size=6).flatmap(lambda rows: st.permutations(list(enumerate(rows)))))
def test_shared_caption_names_first_other_photo(rows: list[tuple[int, list[str]]]) -> None:
    table = pd.DataFrame({"id": [str(number) for number, _ in rows], "normalised": ["\n".join(lines) for _, lines in rows]})
    found = caption_columns.sentence_shared_with(table, Gate())
    for (number, lines), reason in zip(rows, found, strict=True):
        others = {line: [other for other, has in sorted(rows) if other != number and line in has] for line in lines if line}
        expected = [f"{line}, also of {having[0]}" for line, having in others.items() if having]
        assert (None if pd.isna(reason) else reason) == next(iter(expected), None)


@given(st.lists(st.sampled_from(sorted(NAME_NOTHING)), min_size=1, max_size=6), st.data())
def test_caption_with_another_word_names_something(words: list[str], data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(words)))
    for sentence, names_nothing in ((words, True), ([*words[:position], "Zebra", *words[position:]], False)):
        facts = captions.describe(b"", {"captions": [f"{' '.join(sentence).upper()} ."]})
        found = caption_columns.nameless(pd.DataFrame([facts]), Gate())
        assert found.notna().tolist() == [names_nothing]


@given(st.lists(st.text(max_size=30), min_size=1, max_size=4))
def test_words_of_every_caption_have_their_own_line(sentences: list[str]) -> None:
    facts = captions.describe(b"", {"captions": sentences})
    lines = str(facts["normalised"]).split("\n")
    assert len(lines) == facts["sentences"] == len(sentences)
    assert min(len(line.split(" ")) if line else 0 for line in lines) == facts["fewest_words"]


def test_synthetic_photos_with_captions_pass(tmp_path: Path) -> None:
    files = garden_captions.fetch(garden_captions.Config(images=48, size=32), tmp_path)
    table = pd.DataFrame(describe_files(files, tmp_path, "captions", "garden_captions"))
    verdict = check(table, MATRIX.suite, Gate(rows=[48, 48], captions=[3, 3], words=[5, 20], new_words=0.2))
    assert verdict.passed, verdict.in_words()


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_file(), reason="the captioned photos are not available beside this checkout")
def test_real_photos_have_one_caption_that_names_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "data/external/captions-folder"
    import_data(REAL, folder, coco_folder)
    (tmp_path / "raw").mkdir()
    files = coco_folder.fetch(coco_folder.Config(path=str(folder)), tmp_path / "raw")
    table = pd.DataFrame(describe_files(files, tmp_path / "raw", "captions", "coco_folder"))
    assert rows_by_name(check(table, MATRIX.suite, Gate())) == {
        "nameless": {"photos/2428275562_4bde2bc5ea.jpg"},
        "margins": {"photos/1469358746_2a879abaf3.jpg", "photos/2344898759_5674382bcd.jpg"},  # skies of one colour
        "said-twice": {
            "photos/2335619125_2e2034f2c3.jpg",
            "photos/3337046794_296bd2c7e0.jpg",
            "photos/3730457171_e66dde8c91.jpg",
        },
    }
    assert check(table, MATRIX.suite, Gate(nameless=1)).passed
