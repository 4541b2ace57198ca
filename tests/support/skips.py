"""With BITBLOOM_NO_SKIPS=1, a skipped test fails, except for requirements that CI does not have either."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

VARIABLE = "BITBLOOM_NO_SKIPS"
NOT_IN_CI = (
    "beside this checkout",
    "in BITBLOOM_REAL_DATA",
    "needs an NVIDIA GPU",
    "Nix is not here",
    "the tests use Nix without a daemon",
    "gcloud is not here",
    "needs another patch release of Python",
    "Ubuntu's archive is not reached",
)
"""Accepted reasons: real data, a GPU, Nix, Google's command line, a second Python 3.11, another distribution's archive."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Report a skip as a failure unless its reason is in NOT_IN_CI."""
    report = yield
    if os.environ.get(VARIABLE) == "1" and report.skipped and not hasattr(report, "wasxfail"):
        *_, reason = report.longrepr
        if not any(part in reason for part in NOT_IN_CI):
            report.outcome, report.longrepr = "failed", f"{VARIABLE} is set, and this test was skipped. {reason}"
    return report
