"""README and guides: short and linked. scripts/style.py checks their layout and terms."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.tiny import REPOSITORY

GUIDES = [
    path.relative_to(REPOSITORY).as_posix()
    for pattern in ("*.md", "docs/*.md", "deploy/**/*.md")
    for path in REPOSITORY.glob(pattern)
]


def anchors(path: Path) -> set[str]:
    """GitHub's anchors of the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_readme_has_at_most_900_words():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    name = text.removeprefix("# ").partition("\n")[0]
    assert len(text.replace(name, "NAME").split()) <= 900  # the name of a project may have several words


@pytest.mark.parametrize("path", GUIDES)
def test_every_link_has_a_target(path):
    text = re.sub(r"```.*?```", "", (REPOSITORY / path).read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        name, _, anchor = link.partition("#")
        target = (REPOSITORY / path).parent / name if name else REPOSITORY / path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
