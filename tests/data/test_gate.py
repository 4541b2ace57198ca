"""The gate: passing and failing manifests, reports and invalid suites."""

import contextlib
import json
import os
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitbloom.config.sections.gate import Gate
from bitbloom.config.target import Target
from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError, GateFailed
from bitbloom.pipeline import composition
from bitbloom.stages import validate
from bitbloom.validation import checkpoint, data_docs, faulty_rows, suite
from bitbloom.validation.check import check, in_canonical_order, suite_path
from bitbloom.validation.derived import files, looks
from bitbloom.validation.verdict import FAILED, NOT_CHECKED, ROWS_NAMED, Check
from support.standin import photo
from support.synthetic_manifest import LABELS, manifest
from support.tiny import REPOSITORY

SUITE = suite_path("petals").resolve()
BOUNDS: dict[str, Any] = {"labels": LABELS, "rows": [30, 40]}


def faulty() -> pd.DataFrame:
    """Return a manifest with many faults: a repeated file, conflicts, dark photos, an unknown label, a broken file."""
    table = manifest()
    table.loc[8, "sha256"] = table.loc[3, "sha256"]
    table.loc[[0, 14, 30], "perceptual_hash"] = "0123456789abcdef"
    table.loc[20:28, "brightness"] = 0.0
    table.loc[1, "label"] = "dasiy"
    table.loc[5, "decodable"] = False
    table.loc[6, "id"] = table.loc[7, "id"]
    return table


def write_suite(path: Path, *expectations: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"name": path.stem, "expectations": list(expectations)}))
    return path


def expectation(kind: str = "expect_column_values_to_not_be_null", name: str = "one", **kwargs: Any) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs, "notes": "Why.", "meta": {"name": name, "advice": "Do this."}}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create a workspace with a target `mine` and its suite, without data."""
    (tmp_path / "expectations").mkdir()
    (tmp_path / "expectations/petals.json").write_bytes(SUITE.read_bytes())
    tree = composition.typed(
        {"task": "petals", "source": {"kind": "folder", "path": "photos"}, "gate": BOUNDS, "model": {"kind": "image"}}, "test"
    )
    canonical.write_text(tmp_path / "params/mine.yaml", composition.yaml_text(tree))
    (tmp_path / "data/raw/mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def target(table: pd.DataFrame) -> Target:
    """Write the manifest and load the workspace's target."""
    table.to_parquet("data/raw/mine/manifest.parquet", index=False)
    return Target.load("mine", validate.READS)


def test_valid_manifest_passes() -> None:
    verdict = check(manifest(), SUITE, Gate(**BOUNDS))
    assert verdict.passed
    assert len(verdict.checks) + len(verdict.left_out) == len(canonical.read_json(SUITE)["expectations"])
    assert all(name.startswith("profile-") for name in verdict.left_out)


def test_null_bound_omits_expectations() -> None:
    verdict = check(manifest(["any", "name"], each=20), SUITE, Gate(rows=[30, 40]))
    assert verdict.passed
    assert verdict.left_out[:2] == ["labels-declared", "labels-present"]


def test_tolerated_rows_pass_and_are_reported() -> None:
    table = manifest()
    table.loc[8, "sha256"] = table.loc[3, "sha256"]
    verdict = check(table, SUITE, Gate(**BOUNDS, repeats=1, undecodable=1000))
    assert verdict.passed
    [result] = [one for one in verdict.checks if one.name == "repeated-files"]
    assert result.rows == [{"id": "daisy/008.jpg", "value": "daisy/003.jpg"}]


def test_report_counts_all_failing_rows_and_lists_the_first() -> None:
    table = manifest(each=30).assign(brightness=0.0)
    verdict = check(table, SUITE, Gate(labels=LABELS))
    [result] = [one for one in verdict.checks if one.name == "brightness"]
    assert result.count == 90
    assert [row["id"] for row in result.rows] == sorted(table["id"])[:ROWS_NAMED]
    assert "rows at fault: 90 of 90" in verdict.in_words()
    assert "and 85 more" in verdict.in_words()


@pytest.fixture(scope="module")
def report_in_order() -> str:
    return canonical.json_text(check(faulty(), SUITE, Gate(**BOUNDS)).as_json())


@settings(max_examples=4)
@given(order=st.permutations(range(36)))
def test_report_does_not_depend_on_order_of_rows(report_in_order: str, order: list[int]) -> None:
    assert canonical.json_text(check(faulty().iloc[order], SUITE, Gate(**BOUNDS)).as_json()) == report_in_order


def test_report_is_the_same_for_the_columns_of_a_large_table(report_in_order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "LARGE", 0)
    assert canonical.json_text(check(faulty(), SUITE, Gate(**BOUNDS)).as_json()) == report_in_order


def test_result_of_a_damaged_table_keeps_few_of_its_rows() -> None:
    table = manifest(each=200).assign(brightness=0.0)
    [only] = [one for one in canonical.read_json(SUITE)["expectations"] if one["meta"]["name"] == "brightness"]
    bounds = suite.parameters(Gate(), len(table))
    result = checkpoint.run(checkpoint.new_context(), "content", table, [only], bounds)["brightness"]["result"]
    assert result["unexpected_count"] == 600
    assert result["unexpected_index_list"][0] == {"brightness": 0.0, "id": table["id"][0]}
    assert len(result["unexpected_index_list"]) == checkpoint.ROWS_KEPT


@given(st.lists(st.tuples(st.sampled_from(["b", "a", None, ""]), st.sampled_from([2, 10, None])), max_size=8))
def test_canonical_order_sorts_by_the_texts_of_all_columns(rows: list[tuple[str | None, int | None]]) -> None:
    table = pd.DataFrame(rows, columns=["id", "size"], dtype=object)
    expected = sorted(rows, key=lambda row: (str(row[0]), str(row[1])))
    assert list(in_canonical_order(table).itertuples(index=False, name=None)) == expected


def test_checks_suite_and_columns_of_another_task(tmp_path: Path) -> None:
    path = write_suite(
        tmp_path / "tweets.json",
        expectation("expect_column_values_to_be_of_type", "type-text", column="text", type_="str"),
        expectation(
            "expect_column_values_to_be_between", "class-rows", column="class_rows", min_value={"$PARAMETER": "class_rows"}
        ),
        expectation("expect_column_value_lengths_to_be_between", "length", column="text", max_value=280),
    )
    tweets = pd.DataFrame({"id": ["1", "2", "3"], "text": ["fire", "sunny", "x" * 281], "label": ["real", "not", "not"]})
    verdict = check(tweets, path, Gate(class_rows=1))
    assert [(one.name, one.outcome) for one in verdict.checks] == [
        ("type-text", "passed"),
        ("class-rows", "passed"),
        ("length", "failed"),
    ]


def test_unchecked_expectation_does_not_pass(tmp_path: Path) -> None:
    path = write_suite(tmp_path / "petals.json", expectation(name="forgotten", column="scent"))
    verdict = check(manifest(), path, Gate())
    assert not verdict.passed
    assert [one.name for one in verdict.with_outcome(NOT_CHECKED)] == ["forgotten"]
    assert "not checked" in verdict.in_words()


@pytest.mark.parametrize(
    ("expectations", "says"),
    [
        ([expectation() | {"meta": {"name": "one"}}], "lacks advice"),
        ([expectation() | {"meta": {"advice": "Do this."}}], "lacks name"),
        ([expectation() | {"notes": ""}], "lacks notes"),
        ([expectation(column="id") | {"severity": "fatal"}], "'one' has severity 'fatal'; .* critical, warning, info"),
        ([expectation(column="id"), expectation(column="path")], "two expectations are named 'one'"),
        ([expectation(column="id", mostly={"$PARAMETER": "all_but_repeat"})], "all_but_repeats"),
        ([expectation("expect_column_values_to_match_regex", column="id", regex="(")], "'one' .* cannot be evaluated"),
    ],
)
def test_rejects_invalid_suite(tmp_path: Path, expectations: list[dict[str, Any]], says: str) -> None:
    path = write_suite(tmp_path / "petals.json", *expectations)
    with pytest.raises(BitBloomError, match=says):
        check(manifest(), path, Gate())


def test_rejects_missing_suite(tmp_path: Path) -> None:
    with pytest.raises(BitBloomError, match=r"poems\.json is missing"):
        suite.load(tmp_path / "poems.json", {})


def test_rejects_suite_that_is_not_json(tmp_path: Path) -> None:
    (tmp_path / "poems.json").write_text("{")
    with pytest.raises(BitBloomError, match=r"poems\.json is not JSON"):
        suite.load(tmp_path / "poems.json", {})


def test_suite_has_no_bounds_of_a_data_set() -> None:
    numbers = {
        one["meta"]["name"]: value
        for one in canonical.read_json(SUITE)["expectations"]
        for key, value in one["kwargs"].items()
        if key in ("min_value", "max_value", "mostly") and not isinstance(value, dict)
    }
    assert numbers == {}


def test_stage_writes_reproducible_report(workspace: Path) -> None:
    validate.run(target(manifest()))
    first = (workspace / "reports/mine/validation.json").read_text()
    validate.run(target(manifest()))
    assert (workspace / "reports/mine/validation.json").read_text() == first == canonical.json_text(json.loads(first))


def test_failure_report_has_no_id_time_or_path(workspace: Path) -> None:
    with pytest.raises(GateFailed) as caught:
        validate.run(target(faulty()))
    text = (workspace / caught.value.report).read_text()
    assert json.loads(text)["success"] is False
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-|\d\d:\d\d:\d\d|batch_id|great_expectations_version", text)
    assert str(workspace) not in text


def test_rejects_missing_manifest(workspace: Path) -> None:
    with pytest.raises(BitBloomError, match="make data TARGET=mine"):
        validate.run(Target.load("mine", validate.READS))
    with pytest.raises(BitBloomError, match="make data TARGET=mine"):
        data_docs.render(Target.load("mine", data_docs.READS))


def test_failed_gate_prints_rows_and_advice(workspace: Path) -> None:
    target(faulty())
    source = str(Path(validate.__file__).parents[2])
    command = [sys.executable, "-m", "bitbloom.stages.validate", "mine"]
    ended = subprocess.run(command, env=os.environ | {"PYTHONPATH": source}, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "daisy/008.jpg (daisy/003.jpg)" in ended.stderr
    assert "what to do: Correct the spelling of the label" in ended.stderr
    assert "Traceback" not in ended.stderr


REMOTE = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*//[^>]*>|@import|url\(\s*['"]?(?:https?:)?//""", re.IGNORECASE)
"""What a browser would load from another host."""


def test_data_docs_load_nothing_and_have_their_style_inline(workspace: Path) -> None:
    index = data_docs.render(target(faulty()))
    pages = {page.name: page.read_text(encoding="utf-8") for page in index.parent.rglob("*.html")}
    assert index == Path("reports/mine/data_docs/index.html")
    assert "daisy/008.jpg" in pages["index.html"]
    assert {name: REMOTE.findall(page) for name, page in pages.items()} == {name: [] for name in pages}
    assert not any("dataContextId" in page or "<script" in page for page in pages.values())
    assert all("border-collapse" in page for page in pages.values())


@pytest.mark.parametrize("table", [manifest(), faulty()], ids=["passing", "faulty"])
def test_index_of_data_docs_links_to_every_page_and_names_what_fails(workspace: Path, table: pd.DataFrame) -> None:
    index = data_docs.render(target(table))
    text = index.read_text(encoding="utf-8")
    linked = {index.parent / address for address in re.findall(r'href="([^"]+\.html)"', text)}
    assert linked == set(index.parent.rglob("*.html")) - {index}
    verdict = check(table, SUITE, Gate(**BOUNDS))
    assert f"{verdict.held} of {len(verdict.checks)} expectations hold" in text
    assert text.count("failed</td>") == len(verdict.with_outcome(FAILED))


def test_data_docs_show_the_photos_at_fault(workspace: Path) -> None:
    table = manifest()
    table.loc[8, "sha256"] = table.loc[3, "sha256"]
    ours = target(table)
    for row, colour in ((8, (200, 0, 0)), (3, (0, 0, 200))):
        file = ours.raw / table.loc[row, "path"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(photo(colour))
    text = data_docs.render(ours).read_text(encoding="utf-8")
    [part] = re.findall(r'<section class="fault" id="repeated-files">.*?</section>', text, re.DOTALL)
    assert part.count("data:image/jpeg;base64,") == 2
    assert "critical" in part


def test_rows_at_fault_have_their_text(tmp_path: Path) -> None:
    rows = [{"id": "1", "path": "", "text": "A <b>fire</b>"}, {"id": "2", "path": "", "text": "calm"}]
    pd.DataFrame(rows).to_parquet(tmp_path / "manifest.parquet")
    found = Check("long", "", "", "", FAILED, {}, count=1, rows=[{"id": "1", "value": 9}])
    [row] = faulty_rows.of_checks(tmp_path / "manifest.parquet", tmp_path, [found])["long"]
    assert (row.id, row.value, row.text, row.pictures) == ("1", "9", "A <b>fire</b>", [])


@pytest.mark.parametrize("task", ["petals", "tweets", "captions"])
def test_great_expectations_loads_a_suite_by_the_line_in_the_docs(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    section = (REPOSITORY / "docs/dvc.md").read_text(encoding="utf-8").partition("## Data Docs")[2]
    code = section.partition("```python\n")[2].partition("```")[0]
    found: dict[str, Any] = {}
    exec(code.replace("petals", task), found)
    written = canonical.read_json(suite_path(task))["expectations"]
    assert [one.severity.value for one in found["suite"].expectations] == [one["severity"] for one in written]


@pytest.mark.parametrize(("severity", "passes"), [("critical", False), ("warning", True), ("info", True), (None, False)])
def test_only_critical_expectations_stop_a_build(
    workspace: Path, capsys: pytest.CaptureFixture[str], severity: str | None, passes: bool
) -> None:
    given = {} if severity is None else {"severity": severity}
    write_suite(workspace / "expectations/petals.json", expectation(name="one", column="error") | given)
    ours = target(manifest().assign(error=None))
    with contextlib.nullcontext() if passes else pytest.raises(GateFailed):
        validate.run(ours)
    report = canonical.read_json(workspace / "reports/mine/validation.json")
    assert (report["success"], report["expectations"][0]["severity"]) == (passes, severity or "critical")
    assert not report["expectations"][0]["success"]
    if passes:
        assert f"[one, {severity}]" in capsys.readouterr().out


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 2)), min_size=1, max_size=12), st.integers(0, 3))
def test_conflicts_equal_brute_force(rows: list[tuple[int, int]], bits: int) -> None:
    spread = [0b0, 0b1, 0b11, 0b111, 1 << 40, 1 << 63, (1 << 63) + 1, (1 << 64) - 1]
    hashes = [spread[kind] for kind, _ in rows]
    table = pd.DataFrame(
        {
            "id": [f"{position:02}" for position in range(len(rows))],
            "label": [LABELS[label] for _, label in rows],
            "key": [f"{position:064x}" for position in range(0, len(rows) << 192, 1 << 192)],
            "perceptual_hash": [f"{value:016x}" for value in hashes],
        }
    )
    expected: dict[int, set[str]] = {}
    for i, j in combinations(range(len(rows)), 2):
        if rows[i][1] != rows[j][1] and (hashes[i] ^ hashes[j]).bit_count() <= bits:
            expected.setdefault(i, set()).add(f"{j:02}")
            expected.setdefault(j, set()).add(f"{i:02}")
    found = looks.conflicts_with(table, Gate(conflict_bits=bits))
    assert set(found[found.notna()].index) == set(expected)
    assert all(found[position] in others for position, others in expected.items())


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_all_copies_except_first_are_repeats(contents: list[int]) -> None:
    table = pd.DataFrame(
        {"id": [f"{position:02}" for position in range(len(contents))], "sha256": [str(one) for one in contents]}
    )
    expected = [f"{contents.index(one):02}" if contents.index(one) < position else None for position, one in enumerate(contents)]
    assert files.repeat_of(table, Gate()).tolist() == expected


def test_message_lists_some_of_many_labels(tmp_path: Path) -> None:
    names = [f"class {number:04}" for number in range(5000)]
    text = check(manifest(), SUITE, Gate(labels=names)).in_words()
    assert "class 0119 and 4,880 more" in text
    assert "class 0120" not in text
