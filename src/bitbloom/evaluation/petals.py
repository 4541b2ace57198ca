"""Photos of flowers: the figures and numbers of any classifier, with sheets of photos."""

from __future__ import annotations

from bitbloom.report.classification import evaluate

__all__ = ["evaluate"]
