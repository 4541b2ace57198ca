"""README is short. scripts/style.py checks layout and terms of all pages, tests/docs/ their links and commands."""

from __future__ import annotations

from support.tiny import REPOSITORY


def test_readme_has_at_most_900_words():
    assert len((REPOSITORY / "README.md").read_text(encoding="utf-8").split()) <= 900
