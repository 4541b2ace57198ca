"""The pages of the services for photos and for texts in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from PIL import Image

from support.browser import Browser
from support.standin import TOKEN, Served, photo

pytestmark = pytest.mark.browser

RED, GREY = (210, 40, 40), (150, 130, 120)


@pytest.fixture
def page(browser: Browser, served: Served) -> Browser:
    browser.open(served.url)
    browser.log()
    return browser


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_shows_label_five_bars_and_model_digest(page, served, tmp_path):
    page.choose(write(tmp_path / "red.jpg", photo(RED)))
    page.wait_for(lambda: page.visible("#output"))
    assert page.text("#label") == "poppy"
    assert not page.visible("#doubt")
    names = page.script("[...document.querySelectorAll('#bars .name')].map(each => each.textContent)")
    widths = page.script("[...document.querySelectorAll('#bars .fill')].map(each => each.getBoundingClientRect().width)")
    assert names[0] == "poppy"
    assert len(names) == 5
    assert widths == sorted(widths, reverse=True)
    assert page.visible("#preview")
    digest = httpx.get(f"{served.url}/provenance").json()["digests"]["model"]
    assert page.text("#digest") == digest


def test_shows_doubt_below_the_threshold(page, tmp_path):
    page.choose(write(tmp_path / "grey.png", photo(GREY, kind="PNG")))
    page.wait_for(lambda: page.visible("#output"))
    assert "not sure" in page.text("#doubt")


def test_shows_remedy_for_a_file_that_is_not_an_image(page, tmp_path):
    page.choose(write(tmp_path / "notes.txt", b"these are words"))
    page.wait_for(lambda: page.visible("#problem"))
    assert page.text("#problem").startswith("Not an image")
    assert not page.visible("#output")
    assert not page.visible("#model")


def test_rejects_photo_over_the_limit_before_sending(page, tmp_path):
    page.choose(write(tmp_path / "big.jpg", photo(RED) + bytes(400_000)))
    page.wait_for(lambda: page.visible("#problem"))
    assert "limit is 0.3 MB" in page.text("#problem")


def test_second_photo_replaces_the_first(page, tmp_path):
    page.choose(write(tmp_path / "red.jpg", photo(RED)))
    page.wait_for(lambda: page.visible("#output"))
    page.choose(write(tmp_path / "blue.jpg", photo((40, 60, 220))))
    page.wait_for(lambda: page.visible("#output") and page.text("#label") != "poppy")
    assert page.text("#label") == "cornflower"


def test_sample_photo_gets_a_prediction_without_a_file(page):
    page.click("#sample")
    page.wait_for(lambda: page.visible("#output"))
    assert page.visible("#preview")
    assert page.script("document.querySelector('#preview').naturalWidth") == 384
    assert len(page.script("[...document.querySelectorAll('#bars .name')]")) == 5
    assert page.log() == []


def test_sample_photo_shows_why_it_gets_no_prediction(page):
    page.script("window.fetch = () => Promise.reject(new Error('offline'))")
    page.click("#sample")
    page.wait_for(lambda: page.visible("#problem"))
    assert "Is the service still running?" in page.text("#problem")


def test_predicts_several_photos_and_shows_the_selected_one(page, tmp_path):
    colours = {"red": RED, "blue": (40, 60, 220), "green": (40, 170, 50)}
    files = [write(tmp_path / f"{name}.jpg", photo(colour)) for name, colour in colours.items()]
    page.choose(*files, write(tmp_path / "notes.txt", b"these are words"))
    labels = "[...document.querySelectorAll('#strip .name')].map(each => each.textContent)"
    page.wait_for(lambda: "…" not in page.script(labels))
    assert page.script(labels) == ["poppy", "cornflower", "fern", "no prediction"]
    assert page.text("#label") == "poppy"
    page.click("#strip li:nth-child(2) button")
    assert page.text("#label") == "cornflower"
    assert page.script("document.querySelectorAll('#strip [aria-pressed=true]').length") == 1
    page.click("#strip li:nth-child(4) button")
    assert page.text("#problem").startswith("Not an image")
    names = page.script("[...document.querySelectorAll('#strip button')].map(each => each.getAttribute('aria-label'))")
    assert names[1] == "blue.jpg: cornflower"


def test_marks_doubt_among_several_photos(page, served, tmp_path):
    page.choose(write(tmp_path / "red.jpg", photo(RED)), write(tmp_path / "grey.jpg", photo(GREY)))
    page.wait_for(lambda: page.visible("#strip") and "…" not in page.text("#strip"))
    label = httpx.post(f"{served.url}/predict", files={"image": photo(GREY)}).json()["label"]
    assert page.text("#strip li:nth-child(2)") == f"{label}?"
    name = page.script("document.querySelector('#strip li:nth-child(2) button').getAttribute('aria-label')")
    assert name == f"grey.jpg: not sure, perhaps {label}"


def test_shows_attention_map_over_the_cropped_square_and_describes_it(page, tmp_path):
    picture = Image.new("RGB", (120, 80), (30, 0, 0))
    picture.paste((255, 255, 255), (85, 60, 100, 80))
    picture.save(tmp_path / "corner.png")
    page.choose(tmp_path / "corner.png")
    page.wait_for(lambda: page.visible("#output"))
    assert not page.visible("#heat")
    page.click("#attention")
    assert "bottom right" in page.text("#peak")
    box = (
        "(each => { const b = document.querySelector(each).getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; })"
    )
    left, top, width, height = page.script(f"{box}('#preview')")
    edge = min(width, height)
    expected = [left + (width - edge) / 2, top + (height - edge) / 2, edge, edge]
    assert page.script(f"{box}('#heat')") == pytest.approx(expected, abs=1.5)
    pixels = "[...document.querySelector('#heat').getContext('2d').getImageData(0, 0, 4, 4).data]"
    veil = [page.script(pixels)[4 * place + 3] for place in range(16)]
    assert veil[15] == min(veil) < veil[0]
    page.click("#attention")
    assert not page.visible("#heat")
    assert not page.visible("#peak")


def test_attention_map_fits_an_upright_photo(page, tmp_path):
    Image.new("RGB", (90, 160), (90, 90, 90)).save(tmp_path / "upright.png")
    page.choose(tmp_path / "upright.png")
    page.wait_for(lambda: page.visible("#output"))
    page.click("#attention")
    shown = page.script("(({clientWidth, clientHeight}) => [clientWidth, clientHeight])(document.querySelector('#preview'))")
    assert page.script("document.querySelector('#heat').clientWidth") == pytest.approx(min(shown), abs=1.5)
    assert (
        page.script("getComputedStyle(document.querySelector('#preview')).objectFit") == "cover"
    )  # so that the square is the photo's


def test_asks_for_the_token_once(browser, guarded, tmp_path):
    write(tmp_path / "red.jpg", photo(RED))
    browser.open(guarded)
    browser.choose(tmp_path / "red.jpg")
    browser.wait_for(lambda: browser.visible("#token-dialog"))
    assert not browser.visible("#token-problem")
    browser.type("#token", "wrong")
    browser.click("#token-dialog [value=go]")
    browser.wait_for(lambda: browser.visible("#token-problem"))
    browser.type("#token", TOKEN)
    browser.click("#token-dialog [value=go]")
    browser.wait_for(lambda: browser.visible("#output"))
    browser.choose(tmp_path / "red.jpg")
    browser.wait_for(lambda: browser.visible("#output"))
    assert not browser.visible("#token-dialog")


def test_cancelled_token_shows_a_message_and_keeps_the_page(browser, guarded, tmp_path):
    write(tmp_path / "red.jpg", photo(RED))
    browser.open(guarded)
    browser.choose(tmp_path / "red.jpg")
    browser.wait_for(lambda: browser.visible("#token-dialog"))
    browser.click("#token-dialog [value='']")
    browser.wait_for(lambda: browser.visible("#problem"))
    assert "token" in browser.text("#problem")


def test_shows_provenance(page, served):
    page.click("summary")
    page.wait_for(lambda: page.text("#provenance").strip())
    assert str(served.report["digest"]) in page.text("#provenance")
    assert "make verify TARGET=petals" in page.text("#provenance")


@pytest.mark.parametrize("width", [320, 390, 1200])
def test_page_fits_every_width(browser, served, tmp_path, width):
    browser.open(served.url, width, 800)
    browser.choose(*(write(tmp_path / f"{number}.jpg", photo(colour)) for number, colour in enumerate((RED, GREY, RED, GREY))))
    browser.wait_for(lambda: browser.visible("#output") and "…" not in browser.text("#strip"))
    browser.click("#attention")
    browser.click("summary")
    browser.wait_for(lambda: browser.visible("#heat") and "Bento" in browser.text("#provenance"))
    assert browser.script("document.documentElement.scrollWidth") <= width


def test_page_loads_only_from_the_service_and_logs_no_error(page, served, tmp_path):
    page.choose(write(tmp_path / "red.jpg", photo(RED)))
    page.wait_for(lambda: page.visible("#output"))
    loaded = page.script("performance.getEntriesByType('resource').map(each => each.name)")
    assert loaded
    assert all(name.startswith((served.url, "blob:")) for name in loaded)
    assert [entry for entry in page.log() if entry["level"] == "SEVERE"] == []


@pytest.fixture
def text_page(browser: Browser, served_texts: Served) -> Browser:
    browser.open(served_texts.url)
    browser.log()
    return browser


def test_shows_label_and_relevant_words_of_a_message(text_page, served_texts):
    text_page.type("#text", "The flood destroyed a party")
    text_page.click("#send")
    text_page.wait_for(lambda: text_page.visible("#output"))
    assert text_page.text("#label").lower() == "disaster"
    marked = text_page.script("[...document.querySelectorAll('#words mark')].map(each => [each.className, each.textContent])")
    assert marked == [["for", "flood"], ["for", "destroyed"], ["against", "party"]]
    assert text_page.text("#words") == "The flood destroyed a party"
    said = [each.split(" (")[0] for each in re.split(r", |\. ", text_page.text("#weights"))]
    assert said == ["For: flood", "destroyed", "Against: party"]
    assert text_page.text("#digest") == httpx.get(f"{served_texts.url}/provenance").json()["digests"]["model"]
    assert text_page.log() == []


def test_sends_keyword_and_location(text_page):
    text_page.type("#text", "it is here")
    text_page.type("#keyword", "fire")
    text_page.click("#send")
    text_page.wait_for(lambda: text_page.visible("#output"))
    assert text_page.text("#label").lower() == "disaster"


def test_click_on_an_example_sends_it(text_page):
    text_page.click(".example")
    text_page.wait_for(lambda: text_page.visible("#output"))
    assert "flood" in text_page.script("document.querySelector('#text').value")


def test_shows_remedy_for_an_empty_message(text_page):
    text_page.type("#text", "   ")
    text_page.click("#send")
    text_page.wait_for(lambda: text_page.visible("#problem"))
    assert "send some words" in text_page.text("#problem")
