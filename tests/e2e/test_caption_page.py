"""The page of the service for photos and sentences in a real browser."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from support.browser import Browser
from support.caption_standin import photo
from support.standin import Served

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser: Browser, served_captions: Served) -> Browser:
    browser.open(served_captions.url)
    browser.log()
    return browser


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def find(page: Browser, words: str) -> None:
    page.type("#sentence", words)
    page.click("#send")


def captions(page: Browser) -> list[str]:
    return list(page.script("[...document.querySelectorAll('#photos .name')].map(each => each.textContent)"))


def test_shows_sentences_and_model_digest(page, served_captions, tmp_path):
    page.choose(write(tmp_path / "red.jpg", photo("red")))
    page.wait_for(lambda: page.visible("#output"))
    assert page.text("#label").lower() == "a red flower"
    sentences = page.script("[...document.querySelectorAll('#bars .name')].map(each => each.textContent)")
    assert sentences[:2] == ["a red flower", "the red flower"]
    widths = page.script("[...document.querySelectorAll('#bars .fill')].map(each => each.getBoundingClientRect().width)")
    assert len(widths) == 4
    assert widths == sorted(widths, reverse=True)
    assert page.text("#digest") == httpx.get(f"{served_captions.url}/provenance").json()["digests"]["model"]


def test_sample_photo_gets_sentences_without_a_file(page):
    page.click("#sample")
    page.wait_for(lambda: page.visible("#output"))
    assert page.visible("#preview")
    assert "flower" in page.text("#label")
    assert page.log() == []


def test_search_shows_photos_with_captions_best_first(page):
    find(page, "a blue flower")
    page.wait_for(lambda: page.visible("#found-output"))
    assert page.text("#summary") == "5 photos for “a blue flower”, the best first"
    assert captions(page)[:2] == ["A blue flower."] * 2
    page.wait_for(lambda: page.script("[...document.querySelectorAll('#photos img')].every(each => each.naturalWidth === 32)"))


def test_enter_sends_a_sentence(page):
    page.type("#sentence", "green\ue007")
    page.wait_for(lambda: page.visible("#found-output"))
    assert captions(page)[0] == "A green flower."


def test_click_searches_for_similar_photos(page, tmp_path):
    page.choose(write(tmp_path / "green.jpg", photo("green")))
    page.wait_for(lambda: page.visible("#output"))
    page.click("#similar")
    page.wait_for(lambda: page.visible("#found-output"))
    assert page.script("document.querySelector('#sentence').value") == "a green flower"
    assert captions(page)[0] == "A green flower."


def test_click_on_a_found_photo_describes_it(page):
    find(page, "blue")
    page.wait_for(lambda: page.visible("#found-output"))
    page.click("#photos .tile")
    page.wait_for(lambda: page.visible("#output"))
    assert page.text("#label").lower() == "a blue flower"
    assert page.visible("#preview")


def test_failed_search_keeps_the_shown_sentences(page, tmp_path):
    page.choose(write(tmp_path / "red.jpg", photo("red")))
    page.wait_for(lambda: page.visible("#output"))
    find(page, "?")
    page.wait_for(lambda: page.visible("#found-problem"))
    assert page.text("#found-problem") == "There is no word in the sentence: say what a photo shows."
    assert page.visible("#output")


def test_shows_remedy_for_a_file_that_is_not_an_image(page, tmp_path):
    page.choose(write(tmp_path / "notes.txt", b"these are words"))
    page.wait_for(lambda: page.visible("#problem"))
    assert page.text("#problem").startswith("Not an image")


def test_controls_have_a_name_and_a_visible_focus(page):
    assert page.script("document.querySelector('#photo').labels.length") == 1
    assert page.script("document.querySelector('#sentence').labels.length") == 1
    page.script("document.querySelector('#photo').focus()")
    assert page.script("getComputedStyle(document.querySelector('#drop')).outlineStyle") == "solid"
    find(page, "red")
    page.wait_for(lambda: page.visible("#found-output"))
    names = page.script("[...document.querySelectorAll('#photos button')].map(each => each.textContent)")
    assert all("flower" in name for name in names)
    assert page.script("document.querySelectorAll('img:not([alt])').length") == 0


@pytest.mark.parametrize("width", [320, 390, 1200])
def test_page_fits_every_width(browser, served_captions, tmp_path, width):
    browser.open(served_captions.url, width, 800)
    browser.choose(write(tmp_path / "red.jpg", photo("red")))
    browser.wait_for(lambda: browser.visible("#output"))
    browser.click("#similar")
    browser.wait_for(lambda: browser.visible("#found-output"))
    assert browser.script("document.documentElement.scrollWidth") <= width


def test_page_loads_only_from_the_service_and_logs_no_error(page, served_captions, tmp_path):
    page.choose(write(tmp_path / "red.jpg", photo("red")))
    page.wait_for(lambda: page.visible("#output"))
    find(page, "red")
    page.wait_for(lambda: page.visible("#found-output"))
    page.wait_for(lambda: page.script("[...document.querySelectorAll('#photos img')].every(each => each.complete)"))
    loaded = page.script("performance.getEntriesByType('resource').map(each => each.name)")
    assert any("/photos/" in name for name in loaded)
    assert all(name.startswith((served_captions.url, "blob:")) for name in loaded)
    assert [entry for entry in page.log() if entry["level"] == "SEVERE"] == []
