"""`make remote DEMO=1`: an emulated bucket, a second clone, the gate, a prediction."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.checkouts import changes, checkout, run

pytestmark = pytest.mark.slow


def test_demonstration_shows_gate_and_prediction_of_a_second_clone(tmp_path: Path) -> None:
    built = checkout(tmp_path / "checkout")
    output = run(built, "make", "remote", "DEMO=1")
    assert "ingest: from the cache" in output
    assert "The gate passed" in output
    assert '"label":' in output
    assert changes(built) == ""
    assert "has everything already" in run(built, "make", "remote", "DEMO=1")
