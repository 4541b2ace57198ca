"""Records of builds on different machines: equal ones agree, and a difference is shown with the first different step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bitbloom.ci import markdown, records
from bitbloom.core.errors import BitBloomError


def ledger(*weights: str) -> str:
    fields = {"batch": "b", "loss": 1.0, "gradient": "g"}
    return "".join(json.dumps({"step": step, **fields, "weights": value}) + "\n" for step, value in enumerate(weights))


def machines(folder: Path, *builds: tuple[str, str, dict[str, str], str], build: str = "petals") -> list[records.Record]:
    for name, cpu, digests, lines in builds:
        (folder / "ledger").write_text(lines)
        records.write(folder / "all" / name, build, cpu, digests, folder / "ledger")
    return records.read(folder / "all")


def test_equal_records_agree(tmp_path):
    text, agree = records.compare(
        machines(tmp_path, ("a", "Intel", {"x": "1"}, ledger("w")), ("b", "AMD", {"x": "1"}, ledger("w")))
    )
    assert agree
    assert "**petals**, 1 digests, was built 2 times: 0 pairs differ." in text
    assert "same kind of CPU" not in text


def test_warns_when_all_records_are_of_one_cpu(tmp_path):
    text, _ = records.compare(machines(tmp_path, ("a", "AMD", {"x": "1"}, ""), ("b", "AMD", {"x": "1"}, "")))
    assert "same kind of CPU, so this proves nothing for others" in text


def test_different_records_fail_with_the_first_different_step(tmp_path):
    builds = ("a", "Intel", {"x": "1", "y": "2"}, ledger("w", "v")), ("b", "AMD", {"x": "1", "y": "3"}, ledger("w", "u"))
    text, agree = records.compare(machines(tmp_path, *builds))
    assert not agree
    assert "| y | 2 | 3 |" in text
    assert "| x |" not in text
    assert "first difference: step 1, weights: v here, u there" in text


def test_missing_output_is_a_difference(tmp_path):
    text, agree = records.compare(machines(tmp_path, ("a", "Intel", {"x": "1"}, ""), ("b", "AMD", {}, "")))
    assert not agree
    assert "| x | 1 | none |" in text


def test_builds_of_different_targets_are_not_compared(tmp_path):
    machines(tmp_path, ("a", "AMD", {"x": "1"}, ""), ("b", "AMD", {"x": "1"}, ""))
    text, agree = records.compare(machines(tmp_path, ("c", "AMD", {"x": "2"}, ""), build="tweets"))
    assert agree
    assert "**tweets**, 1 digests, was built by one job only: not compared." in text


def test_rejects_a_single_record(tmp_path):
    with pytest.raises(BitBloomError, match="nothing to compare"):
        machines(tmp_path, ("a", "AMD", {"x": "1"}, ""))


def test_escapes_cells():
    assert markdown.table(("a",), [("x|y\nz",)]).splitlines()[2] == "| x\\|y z |"


def test_fence_is_longer_than_any_in_the_text():
    assert markdown.fenced("a\n  ```\nb").startswith("````text\n")
