"""The corruption matrix of `petals`: each corruption fails one expectation, and the result lists the failing rows."""

from __future__ import annotations

import pytest

from bitbloom.validation.verdict import PASSED
from support.corruption import (
    Case,
    Corruption,
    Matrix,
    broken_names,
    broken_photo,
    cast,
    copy,
    given_splits,
    in_test,
    look_alike,
    profile,
    put,
    wrong_types,
)
from support.synthetic_manifest import LABELS, QUALITY, manifest

GATE = {"labels": LABELS, "rows": [30, 40], "class_rows": 5, "imbalance": 3.0}


def keep(**numbers: int) -> Corruption:
    """Keep only these numbers of rows of some labels."""
    return lambda table: table[table.groupby("label").cumcount() < table["label"].map(numbers).fillna(len(table))]


def ids(label: str, number: int = 12) -> set[str]:
    return {f"{label}/{position:03}.jpg" for position in range(number)}


def undecodable(row: int) -> Corruption:
    """Replace a row by that of a file that cannot be decoded."""
    nothing = {"width": 0, "height": 0, "mode": "", "aspect": 0.0, "brightness": 0.0, "contrast": 0.0, "perceptual_hash": ""}
    return put(row, decodable=False, error="truncated after 812 bytes", **nothing)


FIRST = {"daisy/000.jpg"}
EVERY_ID = set(manifest()["id"])
TESTED = {row for position, row in enumerate(manifest()["id"]) if position % 5 >= 3}
OPEN: dict[str, object] = {"labels": None, "class_rows": 1}
READS_LABEL = {
    "not-null-label",
    "labels-declared",
    "labels-present",
    "class-rows",
    "class-balance",
    "label-conflicts",
    "labels-alike",
    "split-labels",
}

CASES = {
    **broken_names("daisy/000.jpg", 36),
    **broken_photo("daisy/000.jpg"),
    "a column is missing": Case(
        "columns",
        lambda table: table.drop(columns="contrast"),
        says="missing columns contrast",
        unchecked={"type-contrast", "not-null-contrast", "contrast"},
    ),
    "a column too many": Case("columns", lambda table: table.assign(colour="red"), says="unexpected columns colour"),
    "a label is a number": Case("type-label", put(0, label=7), FIRST, "(7)", unchecked=READS_LABEL),
    "a label is null": Case("not-null-label", put(0, label=None), FIRST),
    "the same file twice": Case("repeated-files", copy("sha256", 3, 8), {"daisy/008.jpg"}, "(daisy/003.jpg)"),
    "more repeats than tolerated": Case(
        "repeated-files",
        lambda table: copy("sha256", 3, 8)(copy("sha256", 3, 9)(table)),
        {"daisy/008.jpg", "daisy/009.jpg"},
        gate={"repeats": 1},
    ),
    "a misspelt label": Case("labels-declared", put(0, label="dasiy"), FIRST, "(dasiy)"),
    "a declared class without photos": Case(
        "labels-present", lambda table: table, says="missing lily", gate={"labels": ["lily", *LABELS]}
    ),
    "a rare class": Case("class-rows", keep(rose=4), ids("rose", 4), "(4.0)", gate={"rows": [28, 40]}),
    "one class much bigger": Case("class-balance", keep(rose=7), ids("rose", 7), "at most 1.5", gate={"imbalance": 1.5}),
    "a broken file": Case("decodable", undecodable(0), FIRST, "(truncated after 812 bytes)"),
    "the same look under two labels": Case(
        "label-conflicts", copy("perceptual_hash", 0, 14), {"daisy/000.jpg", "rose/002.jpg"}, "(rose/002.jpg)"
    ),
    "the same pixels under two labels": Case(
        "label-conflicts", copy("key", 0, 14), {"daisy/000.jpg", "rose/002.jpg"}, "(daisy/000.jpg)"
    ),
    "nearly the same look under two labels": Case(
        "label-conflicts",
        lambda table: put(14, perceptual_hash="00ff00ff00ff00f1")(put(0, perceptual_hash="00ff00ff00ff00ff")(table)),
        {"daisy/000.jpg", "rose/002.jpg"},
        gate={"conflict_bits": 3},
    ),
    "a near-duplicate": Case("near-duplicates", look_alike(0, 1), {"daisy/001.jpg"}, "(daisy/000.jpg)"),
    "a label in capitals": Case("labels-alike", put(0, label="Daisy"), FIRST, "(daisy)", gate={**OPEN, "imbalance": 99.0}),
    "a sample in two splits": Case("split-leaks", given_splits(copy("key", 0, 3)), {"daisy/003.jpg"}, "(daisy/000.jpg)"),
    "a class in one split only": Case(
        "split-labels",
        lambda table: given_splits()(table).assign(
            attributes=lambda given: given["attributes"].where(given["label"].ne("rose"), '{"split": "train"}')
        ),
        ids("rose"),
        "of test",
        gate={"split_ratio": 1.2},
    ),
    "darker photos in one split": Case(
        "split-values", given_splits(in_test(brightness=0.2)), TESTED, "brightness: median 0.2 in test"
    ),
    "fewer rows than in the profile": Case("profile-rows", lambda table: table, says="value 36", profile=profile(80)),
    "a class of the profile is missing": Case(
        "profile-labels",
        lambda table: table,
        says="missing lily",
        profile=profile(36, {"daisy": 12, "rose": 12, "tulip": 12, "lily": 1}),
    ),
    "a class shrank since the profile": Case(
        "profile-classes",
        keep(rose=6),
        ids("rose", 6),
        "in the profile",
        profile=profile(36, {"daisy": 100, "rose": 1000, "tulip": 100}),
    ),
    "wider photos than in the profile": Case(
        "profile-values", lambda table: table, EVERY_ID, "width: median 96, 48", profile=profile(36, width=48)
    ),
    "too few rows": Case("row-count", keep(daisy=9, rose=9, tulip=9), says="value 27"),
    "too many rows": Case("row-count", lambda table: table, says="at most 35", gate={"rows": [30, 35]}),
}


TEXT = ("path", "label", "attributes", "source", "sha256", "mode", "error", "key", "perceptual_hash", "format", "thumbnail")
MEASURES = ("aspect", "brightness", "contrast", *QUALITY)
CASTS = {
    "bytes": "float64",
    "orientation": "float64",
    **dict.fromkeys(MEASURES, "float32"),
    "decodable": "int64",
    "complete": "int64",
}
TYPES = wrong_types(TEXT, CASTS, "daisy/001.jpg") | {
    column: (cast(column, "str"), EVERY_ID - FIRST | {"7"}) for column in ("width", "height")
}
MATRIX = Matrix("petals", manifest, GATE, CASES, TYPES, never_null={"error", "bytes", "width", "height", "orientation"})


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_corruption_fails_only_its_expectation(case: Case) -> None:
    MATRIX.assert_fails_alone(case)


def test_wrong_type_fails_only_its_expectation() -> None:
    verdict = MATRIX.assert_wrong_types_fail_alone()
    assert [one.name for one in verdict.checks if one.outcome == PASSED] == ["columns", "row-count"]


def test_null_fails_only_its_expectation() -> None:
    MATRIX.assert_nulls_fail_alone()


def test_every_expectation_has_a_corruption() -> None:
    MATRIX.assert_complete()
