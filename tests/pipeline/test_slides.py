"""docs/slides: one self-contained page, marked and sourced numbers, errors with the slide's number."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from support.tiny import REPOSITORY

SPEC = importlib.util.spec_from_file_location("slides", REPOSITORY / "scripts/slides.py")
slides = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(slides)
PAGE = slides.page(slides.DECK)
SOURCES = ("README.md", "docs/results.md", "docs/serving.md", "docs/reproducibility.md", "docs/status.md", "docs/layout.md")


def deck(folder: Path, text: str) -> Path:
    """A deck of this text."""
    path = folder / "deck.md"
    path.write_text(text)
    return path


def test_page_needs_no_network_and_no_file():
    sources = re.findall(r'(?:src|href)="([^"]*)"', PAGE)
    assert sources and all(source.startswith("data:image/") for source in sources)
    assert not re.search(r"<script|@import|url\(", PAGE)
    assert PAGE.startswith("<!doctype html>")
    assert len(PAGE) < 2_000_000


def test_equal_decks_give_equal_pages():
    assert slides.page(slides.DECK) == PAGE


def test_every_slide_has_a_heading_and_its_place():
    many = len(re.findall(r"^---$", slides.DECK.read_text(encoding="utf-8"), re.MULTILINE)) + 1
    assert 10 <= many <= 15
    assert re.findall(r'data-place="([^"]*)"', PAGE) == [f"{number} / {many}" for number in range(1, many + 1)]
    assert len(re.findall(r"<h[12]>", PAGE)) == many


def test_measured_numbers_without_a_mark_are_those_of_the_guides():
    text = re.sub(
        r"[+-]?\d[\d.]*<!-- .*? -->|```.*?```|`[^`]*`|\]\([^)]*\)", "", slides.DECK.read_text(encoding="utf-8"), flags=re.DOTALL
    )
    known = "\n".join((REPOSITORY / name).read_text(encoding="utf-8") for name in SOURCES)
    numbers = set(re.findall(r"(?<![\w.,-])\d+(?:[.,]\d+)+(?![\w-])|(?<![\w.,-])\d{3,}(?![\w-])", text))
    assert len(numbers) > 4
    assert [number for number in sorted(numbers) if not re.search(rf"(?<![\d.,]){re.escape(number)}(?!\d)", known)] == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("# One\n\n---\n\nno heading\n", "slide 2 begins with no heading"),
        ("# One\n\n![a](nowhere.png)\n", "slide 1: nowhere.png is not a picture"),
    ],
)
def test_wrong_deck_is_one_line_and_writes_nothing(tmp_path, monkeypatch, capsys, text, says):
    monkeypatch.setattr("sys.argv", ["slides.py", str(deck(tmp_path, text)), "--html", str(tmp_path / "out/page.html")])
    assert slides.main() == 1
    assert says in capsys.readouterr().err
    assert list(tmp_path.glob("out/*")) == []


def test_without_chromium_the_page_is_written_and_the_pdf_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(slides, "BROWSERS", ("no-browser-of-this-name",))
    arguments = [str(deck(tmp_path, "# One\n")), "--html", str(tmp_path / "page.html"), "--pdf", str(tmp_path / "page.pdf")]
    monkeypatch.setattr("sys.argv", ["slides.py", *arguments])
    assert slides.main() == 1
    assert "Chromium is missing: apt-get install chromium" in capsys.readouterr().err
    assert [path.name for path in sorted(tmp_path.glob("page*"))] == ["page.html"]


@pytest.mark.browser
def test_every_slide_is_a_page_of_the_pdf_and_overflows_no_window(tmp_path, monkeypatch, browser):
    monkeypatch.setattr("sys.argv", ["slides.py", "--html", str(tmp_path / "page.html"), "--pdf", str(tmp_path / "page.pdf")])
    assert slides.main() == 0
    many = PAGE.count("<section ")
    assert len(re.findall(rb"/Type\s*/Page\b", (tmp_path / "page.pdf").read_bytes())) == many
    for width in (1200, 400):
        browser.open((tmp_path / "page.html").as_uri(), width=width)
        assert browser.script("document.documentElement.scrollWidth") <= width
    browser.devtools("Emulation.setEmulatedMedia", media="print")
    browser.open((tmp_path / "page.html").as_uri(), width=1200)
    cut = "[...document.querySelectorAll('section')].filter(each => each.scrollHeight > each.clientHeight).map(each => each.id)"
    assert browser.script(cut) == []
