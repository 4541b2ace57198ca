"""README and guides: length, links, fences, width and terms."""

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
WIDTH = 120
AVOIDED = re.compile(
    r"\b(claim(s|ed)?|held (against|to)|for want of|whoever|nobody|everybody|so many|turned away|thrown away|come again|"
    r"who asks?|may ask|asker|surprise|heals?|judged?|drawn photos|written messages|shares? of|findings|wish(es)?)\b",
    re.IGNORECASE,
)
"""Words for which the field has a term: compare, at most, reject, drain, recover, fraction, synthetic, …"""
DEFINED = {"docs/glossary.md": {"claim"}, "deploy/kubernetes/README.md": {"claim"}}
"""Pages that define such a word, or use it as a term of another field: a persistent volume claim."""


def prose(path: str) -> str:
    """A guide without code, comments and addresses. Line numbers stay equal."""
    text = (REPOSITORY / path).read_text(encoding="utf-8")
    for pattern in (r"```.*?```", r"<!--.*?-->", r"`[^`\n]*`", r"\]\([^)\s]*\)"):
        text = re.sub(pattern, lambda found: re.sub(r"[^\n]", " ", found[0]), text, flags=re.DOTALL)
    return text


def anchors(path: Path) -> set[str]:
    """GitHub's anchors of the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_readme_has_at_most_900_words():
    assert len((REPOSITORY / "README.md").read_text(encoding="utf-8").split()) <= 900


@pytest.mark.parametrize("path", GUIDES)
def test_every_link_has_a_target(path):
    text = re.sub(r"```.*?```", "", (REPOSITORY / path).read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        name, _, anchor = link.partition("#")
        target = (REPOSITORY / path).parent / name if name else REPOSITORY / path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("path", GUIDES)
def test_code_is_fenced_and_has_a_language(path):
    text = (REPOSITORY / path).read_text(encoding="utf-8")
    assert all(re.findall(r"^ *```(\w*)", text, re.MULTILINE)[::2])
    assert not re.search(r"\n\n    \S", re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("path", GUIDES)
def test_text_is_at_one_width(path):
    text = re.sub(r"```.*?```", "", (REPOSITORY / path).read_text(encoding="utf-8"), flags=re.DOTALL)
    assert [line for line in text.splitlines() if len(line) > WIDTH and not line.startswith(("|", "!["))] == []


@pytest.mark.parametrize("path", GUIDES)
def test_terms_are_those_of_the_field(path):
    found = {match[0].lower() for match in AVOIDED.finditer(prose(path))}
    assert found <= DEFINED.get(path, set())


def test_finds_avoided_term_in_prose_but_not_in_code():
    assert AVOIDED.search("The rest is thrown away.")
    assert not AVOIDED.search("The rest is drained.")
    assert "claimed" not in prose("deploy/compute-engine/README.md")
