"""Progress on stderr: a bar on a terminal, few lines in a log."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from bitbloom.core import progress


@pytest.fixture
def slow_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Print a line at every opportunity."""
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.0)


def test_yields_items_unchanged() -> None:
    assert list(progress.track(range(5), "count")) == [0, 1, 2, 3, 4]
    assert list(progress.track(iter("abc"), "letters")) == ["a", "b", "c"]


def test_prints_nothing_for_short_work(capsys: pytest.CaptureFixture[str]) -> None:
    list(progress.track(range(1000), "count"))
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("slow_clock")
def test_prints_line_per_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    list(progress.track(range(2000), "count"))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [f"count: {n:,} of 2,000 ({n // 20} %)" for n in range(200, 2001, 200)]


@pytest.mark.usefixtures("slow_clock")
def test_accepts_given_or_unknown_total(capsys: pytest.CaptureFixture[str]) -> None:
    list(progress.track(iter(range(2)), "known", total=2))
    list(progress.track(iter(range(2)), "unknown"))
    assert capsys.readouterr().err.splitlines() == ["known: 1 of 2 (50 %)", "known: 2 of 2 (100 %)", "unknown: 1", "unknown: 2"]


@pytest.mark.usefixtures("slow_clock")
def test_counts_bytes_from_earlier_progress(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.advancing("download", 4_000_000, done=1_000_000, in_bytes=True) as advance:
        advance(3_000_000)
    assert capsys.readouterr().err.splitlines() == ["download: 1.0 MB of 4.0 MB (25 %)", "download: 4.0 MB of 4.0 MB (100 %)"]


def test_shows_bar_on_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(progress.track(range(3), "count")) == [0, 1, 2]
    with progress.advancing("download", 2_000_000, in_bytes=True) as advance:
        advance(2_000_000)
    out, err = capsys.readouterr()
    assert out == ""
    assert "count" in err
    assert "3/3" in err
    assert "2.0/2.0 MB" in err


def test_passes_errors_through() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        list(progress.track(broken(), "count"))
