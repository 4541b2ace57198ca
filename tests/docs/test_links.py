"""Every link of every page has a target, with its anchor; addresses on the web are well-formed, and none is fetched."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

import pytest

from bitbloom.stages import STAGES
from docsite import mirror
from support import documents
from support.tiny import REPOSITORY

PAGES = documents.pages()
HOST = re.compile(r"(?:[a-z0-9-]+\.)+[a-z]{2,}|localhost|127\.0\.0\.1")


def faults(page: str, text: str) -> list[str]:
    """The links of a page without a target, and the malformed addresses."""
    return [link for link in mirror.links(text) if fault(page, link)] + [
        address for address in re.findall(r"<(https?:[^>\s]*)>", text) if malformed(address)
    ]


def fault(page: str, link: str) -> bool:
    """Whether a link leads nowhere."""
    if mirror.EXTERNAL.match(link):
        return malformed(link)
    name, _, anchor = link.partition("#")
    target = (REPOSITORY / page).parent / name if name else REPOSITORY / page
    return not target.exists() or bool(anchor and anchor not in documents.anchors(target))


def malformed(address: str) -> bool:
    """Whether an address is not that of a page on the web."""
    parts = urlsplit(address)
    return parts.scheme not in ("http", "https") or not HOST.fullmatch(parts.hostname or "")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_has_a_target(page):
    assert faults(page, documents.read(page)) == []


@pytest.mark.parametrize(
    "link", ["[a](nothing.md)", "[a](docs/serving.md#nothing)", "[a](#nothing)", "![a](https://)", "[a](htp://example.org)"]
)
def test_finds_dead_links(link):
    assert faults("README.md", f"text {link}\n") != []


def test_ignores_links_in_code():
    assert faults("README.md", "`[a](b.md)`\n\n```text\n[a](b.md)\n```\n") == []


def test_numbers_of_the_comparison_are_those_of_the_linked_tables():
    measured = documents.read("docs/comparison.md").partition("## Measured")[2].partition("\n## ")[0]
    compared = 0
    for paragraph in measured.split("\n\n"):
        for name, anchor in re.findall(r"\]\(([\w.]+)#([\w-]+)\)", paragraph):
            section = next(
                part
                for part in re.split(r"^#+ ", documents.read(f"docs/{name}"), flags=re.MULTILINE)
                if part.lower().startswith(anchor.replace("-", " "))
            )
            for number in re.findall(r"\b\d+\.\d+\b", paragraph):
                assert re.search(rf"(?<![\d.]){re.escape(number)}(?![\d.])", section), (number, name, anchor)
                compared += 1
    assert compared >= 10


def test_verdict_counts_the_rows_of_a_rebuild():
    outputs = json.loads((REPOSITORY / "digests/petals-tiny.json").read_text(encoding="utf-8"))
    assert f"petals-tiny: all {len(outputs) + len(STAGES) - len(['features'])} are the same" in documents.read(
        "docs/provenance.md"
    )
