"""README is short. scripts/style.py checks layout and terms of all pages, tests/docs/ their links and commands."""

from __future__ import annotations

from support.tiny import REPOSITORY


def test_readme_has_at_most_900_words():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    name = text.removeprefix("# ").partition("\n")[0]
    assert len(text.replace(name, "NAME").split()) <= 900  # the name of a project may have several words
