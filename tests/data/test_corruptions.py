"""The corruption matrix: every expectation of `petals` is broken alone, and says so with the rows at fault."""

import pytest

from bitbloom.config.sections.gate import Gate
from bitbloom.core import canonical
from bitbloom.validation.check import check, suite_path
from bitbloom.validation.verdict import NOT_CHECKED, PASSED
from support.corruption import Case, Corruption, assert_fails_alone, cast, copy, put, rows_by_name
from support.synthetic_manifest import LABELS, manifest

SUITE = suite_path("petals").resolve()
EXPECTATIONS = {one["meta"]["name"]: one for one in canonical.read_json(SUITE)["expectations"]}
GATE = {"labels": LABELS, "rows": [30, 40], "class_rows": 5, "imbalance": 3.0}


def keep(**numbers: int) -> Corruption:
    """Only so many rows of some labels."""
    return lambda table: table[table.groupby("label").cumcount() < table["label"].map(numbers).fillna(len(table))]


def relabel(old: str, new: str) -> Corruption:
    return lambda table: table.assign(label=table["label"].replace(old, new))


def ids(label: str, number: int = 12) -> set[str]:
    return {f"{label}/{position:03}.jpg" for position in range(number)}


def undecodable(row: int) -> Corruption:
    """What `ingest` writes of a file that does not decode."""
    nothing = {"width": 0, "height": 0, "mode": "", "aspect": 0.0, "brightness": 0.0, "contrast": 0.0, "perceptual_hash": ""}
    return put(row, decodable=False, error="truncated after 812 bytes", **nothing)


FIRST = {"daisy/000.jpg"}
EVERY_ID = set(manifest()["id"])
READS_LABEL = {"not-null-label", "labels-declared", "labels-present", "class-rows", "class-balance", "label-conflicts"}

CASES = {
    "a column is missing": Case(
        "columns",
        lambda table: table.drop(columns="contrast"),
        says="missing columns contrast",
        unchecked={"type-contrast", "not-null-contrast", "contrast"},
    ),
    "a column too many": Case("columns", lambda table: table.assign(colour="red"), says="unexpected columns colour"),
    "a label is a number": Case("type-label", put(0, label=7), FIRST, "(7)", unchecked=READS_LABEL),
    "a label is null": Case("not-null-label", put(0, label=None), FIRST),
    "an id twice": Case("unique-id", copy("id", 0, 1), FIRST, "rows at fault: 2 of 36"),
    "a digest cut short": Case("form-sha256", put(0, sha256="abc"), FIRST, "(abc)"),
    "a key in capitals": Case("form-key", put(0, key="A" * 64), FIRST),
    "a hash of another size": Case("form-perceptual-hash", put(0, perceptual_hash="0" * 32), FIRST),
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
    "a thumbnail": Case("shortest-side", put(0, width=96, height=31), FIRST, "(31)"),
    "a panorama file": Case("longest-side", put(0, width=12001), FIRST, "(12001)"),
    "a tall strip": Case("aspect", put(0, aspect=0.1), FIRST, "(0.1)"),
    "a wide strip": Case("aspect", put(0, aspect=9.5), FIRST, "(9.5)"),
    "a strange colour mode": Case("colour-mode", put(0, mode="LAB"), FIRST, "(LAB)"),
    "a broken file": Case("decodable", undecodable(0), FIRST, "(truncated after 812 bytes)"),
    "a black photo": Case("brightness", put(0, brightness=0.001), FIRST, "(0.001)"),
    "a white photo": Case("brightness", put(0, brightness=0.999), FIRST, "(0.999)"),
    "one flat colour": Case("contrast", put(0, contrast=0.0), FIRST, "(0.0)"),
    "noise": Case("contrast", put(0, contrast=0.7), FIRST, "(0.7)"),
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
    "too few rows": Case("row-count", keep(daisy=9, rose=9, tulip=9), says="value 27"),
    "too many rows": Case("row-count", lambda table: table, says="at most 35", gate={"rows": [30, 35]}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_corruption_fails_its_expectation_alone(case: Case) -> None:
    assert_fails_alone(case, manifest(), SUITE, GATE)


TEXT = ("path", "label", "attributes", "source", "sha256", "mode", "error", "key", "perceptual_hash")
OTHER_TYPES = {
    **{column: (put(1, **{column: 7}), {"daisy/001.jpg"}) for column in TEXT},
    "id": (put(0, id=7), {"7"}),
    **{column: (cast(column, "str"), EVERY_ID - FIRST | {"7"}) for column in ("width", "height")},
    "bytes": (cast("bytes", "float64"), set()),
    **{column: (cast(column, "float32"), set()) for column in ("aspect", "brightness", "contrast")},
    "decodable": (cast("decodable", "int64"), set()),
}


def test_each_column_of_a_wrong_type_fails_its_own_expectation_and_nothing_else() -> None:
    table = manifest()
    for corrupt, _ in OTHER_TYPES.values():
        table = corrupt(table)
    verdict = check(table, SUITE, Gate(**GATE))
    assert rows_by_name(verdict) == {f"type-{column}": rows for column, (_, rows) in OTHER_TYPES.items()}
    assert [one.name for one in verdict.findings if one.outcome == PASSED] == ["columns", "row-count"]


MAY_BE_NULL = {"error"}
NO_NULL_EXISTS = {"bytes", "width", "height"}  # A null would make them real: that is a wrong type.


def test_a_null_in_each_column_fails_its_own_expectation_and_nothing_else() -> None:
    table = manifest()
    rows = {column: position for position, column in enumerate(table) if column not in MAY_BE_NULL | NO_NULL_EXISTS}
    ids = {f"not-null-{column}": {table.loc[row, "id"] if column != "id" else "(no id)"} for column, row in rows.items()}
    for column, row in rows.items():
        table = put(row, **{column: None})(table)
    verdict = check(table, SUITE, Gate(**GATE, undecodable=1))
    assert rows_by_name(verdict) == ids
    assert verdict.with_outcome(NOT_CHECKED) == []


def test_every_expectation_is_broken_by_some_corruption() -> None:
    nulls = {f"not-null-{column}" for column in manifest() if column not in MAY_BE_NULL | NO_NULL_EXISTS}
    types = {f"type-{column}" for column in OTHER_TYPES}
    assert {case.fails for case in CASES.values()} | nulls | types == set(EXPECTATIONS)
