"""The variables of the prediction log."""

from __future__ import annotations

import pytest

from bitbloom.core.errors import BitBloomError
from bitbloom.serving.prediction_log import settings


def test_without_an_address_there_is_no_log():
    assert settings.read({}) is None
    assert settings.read({"BITBLOOM_LOG": " ", "BITBLOOM_LOG_ROWS": "3"}) is None


def test_reads_each_variable():
    given = {"": "/log", "_ROWS": "7", "_SECONDS": "0.5", "_QUEUE": "9", "_DAYS": "1.5", "_BYTES": "1000", "_CONTENT": "1"}
    given |= {"_WINDOW": "200", "_DRIFT": "0"}
    found = settings.read({f"BITBLOOM_LOG{name}": value for name, value in given.items()})
    assert found == settings.LogSettings("/log", 7, 0.5, 9, 1.5, 1000, True, 200, 0)
    assert found.part_rows == 3


@pytest.mark.parametrize("address", ["gs://bucket/log", "s3://bucket/log"])
def test_accepts_buckets(address):
    found = settings.read({"BITBLOOM_LOG": address})
    assert found
    assert found.in_bucket


@pytest.mark.parametrize("address", ["log", "./log", "http://host/log", "file:///log"])
def test_rejects_other_addresses(address):
    with pytest.raises(BitBloomError, match="absolute"):
        settings.read({"BITBLOOM_LOG": address})


@pytest.mark.parametrize(
    ("name", "value"), [("ROWS", "0"), ("ROWS", "1.5"), ("SECONDS", "soon"), ("DAYS", "-1"), ("BYTES", "inf")]
)
def test_rejects_values_that_cannot_be_used_and_names_the_variable(name, value):
    with pytest.raises(BitBloomError, match=f"BITBLOOM_LOG_{name}={value} is not a positive"):
        settings.read({"BITBLOOM_LOG": "/log", f"BITBLOOM_LOG_{name}": value})


@pytest.mark.parametrize(("value", "kept"), [("1", True), ("Yes", True), ("0", False), ("false", False)])
def test_keeps_inputs_only_when_told(value, kept):
    assert settings.read({"BITBLOOM_LOG": "/log", "BITBLOOM_LOG_CONTENT": value}).content is kept
    with pytest.raises(BitBloomError, match="BITBLOOM_LOG_CONTENT=on is neither 1 nor 0"):
        settings.read({"BITBLOOM_LOG": "/log", "BITBLOOM_LOG_CONTENT": "on"})


def test_rejects_a_memory_that_is_smaller_than_a_part():
    with pytest.raises(BitBloomError, match="BITBLOOM_LOG_QUEUE=100 is less than BITBLOOM_LOG_ROWS=1000"):
        settings.read({"BITBLOOM_LOG": "gs://bucket/log", "BITBLOOM_LOG_QUEUE": "100"})


def test_rejects_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BitBloomError, match="cannot be made"):
        settings.check(settings.LogSettings(str(tmp_path / "file/log")))
