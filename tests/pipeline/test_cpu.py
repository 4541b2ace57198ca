"""The cores of a process: at most the quota of its container."""

from __future__ import annotations

import os

import pytest

from bitbloom.core import cpu


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000", 8),
        ("100000 100000", 1),
        ("150000 100000", 2),
        ("200000 100000", 2),
        ("50000 100000", 1),
        ("10000 100000", 1),
        ("800000 100000", 8),
        ("6400000 100000", 8),
        ("nonsense", 8),
    ],
)
def test_container_quota_limits_the_cores(monkeypatch, tmp_path, quota, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert cpu.cores(tmp_path / "cpu.max") == cores


def test_cores_are_those_of_the_process_without_cgroups(tmp_path):
    assert cpu.cores(tmp_path / "missing") == len(os.sched_getaffinity(0))
