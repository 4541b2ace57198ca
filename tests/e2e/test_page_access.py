"""Accessibility of the pages: keyboard, screen reader and contrast."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support import text_standin
from support.browser import Browser
from support.standin import TOKEN, Served, photo

pytestmark = pytest.mark.browser

RED, GREY = (210, 40, 40), (150, 130, 120)
NOTHING = "the page itself"

FOCUSED = """(each => each === document.body ? 'the page itself'
    : each.id || each.getAttribute('aria-label') || each.textContent.trim())(document.activeElement)"""
OUTLINE = "getComputedStyle(document.activeElement.closest('#drop') || document.activeElement).outlineStyle"

# Paints each background on the one below it and the text on top, so that the browser itself blends transparent colours.
CONTRASTS = """(() => {
  const paper = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const paint = (colour) => { paper.fillStyle = colour; paper.fillRect(0, 0, 1, 1); };
  const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const luminance = () => {
    const [red, green, blue] = [...paper.getImageData(0, 0, 1, 1).data].map((level) => linear(level / 255));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const grounds = (each) => (each ? [...grounds(each.parentElement), getComputedStyle(each).backgroundColor] : []);
  const contrast = (each, part) => {
    grounds(each).forEach(paint);
    const ground = luminance();
    paint(getComputedStyle(each, part).color);
    const [dark, light] = [ground, luminance()].sort((one, other) => one - other);
    return (light + 0.05) / (dark + 0.05);
  };
  const words = (each) => [...each.childNodes].some((child) => child.nodeType === Node.TEXT_NODE && child.data.trim());
  const seen = [...document.querySelectorAll('body, body *')].filter((each) => each.checkVisibility({ opacityProperty: true }));
  return [
    ...seen.filter(words).map((each) => [each.textContent.trim(), contrast(each, null)]),
    ...seen.filter((each) => each.value).map((each) => [each.value, contrast(each, null)]),
    ...seen.filter((each) => each.placeholder).map((each) => [each.placeholder, contrast(each, '::placeholder')]),
  ];
})()"""


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def focused(page: Browser) -> str:
    return str(page.script(FOCUSED))


def tab_to(page: Browser, wanted: str) -> None:
    for _ in range(30):
        if focused(page) == wanted:
            return
        page.press("Tab")
    raise AssertionError(f"Tab does not reach {wanted}")


def walk(page: Browser, steps: int, shift: bool = False) -> list[str]:
    """The focused element after each press of Tab."""
    seen = []
    for _ in range(steps):
        page.press("Tab", shift=shift)
        seen.append(focused(page))
        assert page.script(OUTLINE) == "solid", f"the focus on {seen[-1]} is not visible"
    return seen


def send_photos(page: Browser, folder: Path) -> None:
    """Send three files: a confident prediction, one with low confidence, and none."""
    files = {"red.jpg": photo(RED), "grey.jpg": photo(GREY), "notes.txt": b"these are words"}
    page.choose(*(write(folder / name, data) for name, data in files.items()))
    page.wait_for(lambda: page.visible("#output") and "…" not in page.text("#strip"))


def send_sentence(page: Browser, folder: Path) -> None:
    """Send a photo, and search for photos with one of its sentences."""
    page.choose(write(folder / "red.jpg", photo(RED)))
    page.wait_for(lambda: page.visible("#output"))
    page.click("#similar")
    page.wait_for(lambda: page.visible("#found-output"))


def send_message(page: Browser, folder: Path, words: str = "The flood destroyed a party") -> None:
    """Send a message with words for and against its label."""
    page.script("document.querySelector('#form').reset()")
    page.type("#text", words)
    page.click("#send")
    page.wait_for(lambda: not page.visible("#busy") and not page.visible("#empty"))


PAGES: dict[str, tuple[str, Callable[[Browser, Path], None]]] = {
    "petals": ("served", send_photos),
    "captions": ("served_captions", send_sentence),
    "tweets": ("served_texts", send_message),
}


@pytest.fixture(params=PAGES)
def predicted(request: pytest.FixtureRequest, browser: Browser, tmp_path: Path) -> Browser:
    """The page of each task with a prediction and the open provenance."""
    service, fill = PAGES[request.param]
    browser.open(request.getfixturevalue(service).url)
    fill(browser, tmp_path)
    browser.click("summary")
    browser.wait_for(lambda: "Bento" in browser.text("#provenance"))
    return browser


@pytest.fixture
def photos(browser: Browser, served: Served, tmp_path: Path) -> Browser:
    browser.open(served.url)
    send_photos(browser, tmp_path)
    return browser


@pytest.fixture
def token_dialog(browser: Browser, guarded: str, tmp_path: Path) -> Browser:
    """A page with the open token dialog, after a photo was selected with the keyboard."""
    browser.open(guarded)
    tab_to(browser, "photo")
    browser.choose(write(tmp_path / "red.jpg", photo(RED)))
    browser.wait_for(lambda: browser.visible("#token-dialog"))
    return browser


def test_tab_follows_the_order_of_the_page(photos):
    stops = ["photo", "red.jpg: poppy", "grey.jpg: not sure, perhaps orchid", "notes.txt: no prediction", "sample", "attention"]
    stops += ["Where do the predictions come from?", "API documentation"]
    assert walk(photos, len(stops)) == stops
    assert walk(photos, len(stops) - 1, shift=True) == stops[-2::-1]


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_key_opens_the_file_dialog(photos, key):
    photos.script("document.querySelector('#photo').addEventListener('click', each => { each.preventDefault(); chosen = true; })")
    tab_to(photos, "photo")
    photos.press(key)
    assert photos.script("window.chosen") is True


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_key_selects_another_photo(photos, key):
    tab_to(photos, "grey.jpg: not sure, perhaps orchid")
    photos.press(key)
    assert photos.visible("#doubt")
    assert photos.script("document.activeElement.getAttribute('aria-pressed')") == "true"


def test_key_toggles_the_attention_map(photos):
    tab_to(photos, "attention")
    photos.press("Enter")
    assert photos.visible("#heat")
    photos.press("Space")
    assert not photos.visible("#heat")


def test_key_toggles_the_provenance(photos):
    tab_to(photos, "Where do the predictions come from?")
    photos.press("Enter")
    assert photos.visible("#provenance")
    photos.press("Space")
    assert not photos.visible("#provenance")


def test_token_dialog_works_without_a_mouse(token_dialog):
    assert focused(token_dialog) == "token"
    token_dialog.press(*TOKEN, "Enter")
    token_dialog.wait_for(lambda: token_dialog.visible("#output"))
    assert focused(token_dialog) == "photo"


def test_tab_stays_in_the_token_dialog_until_escape(token_dialog):
    assert set(walk_in(token_dialog, 8)) - {NOTHING} == {"token", "Continue", "Cancel"}
    token_dialog.press("Escape")
    token_dialog.wait_for(lambda: token_dialog.visible("#problem"))
    assert focused(token_dialog) == "photo"


def walk_in(page: Browser, steps: int) -> Iterator[str]:
    for _ in range(steps):
        page.press("Tab")
        yield focused(page)


def test_message_form_works_without_a_mouse(browser, served_texts):
    browser.open(served_texts.url)
    tab_to(browser, "text")
    browser.press(*"a flood")
    assert walk(browser, 3) == ["keyword", "location", "send"]
    browser.press("Enter")
    browser.wait_for(lambda: browser.visible("#output"))
    examples = browser.script("[...document.querySelectorAll('.example')].map(each => each.textContent)")
    assert walk(browser, 4) == [*examples, "Where do the predictions come from?", "API documentation"]


def test_key_sends_an_example(browser, served_texts):
    browser.open(served_texts.url)
    tab_to(browser, browser.text(".example"))
    browser.press("Space")
    browser.wait_for(lambda: browser.visible("#output"))
    assert browser.text("#label").rstrip("?") in text_standin.CLASSES


def test_search_works_without_a_mouse(browser, served_captions):
    browser.open(served_captions.url)
    assert walk(browser, 3) == ["photo", "sample", "sentence"]
    browser.press(*"blue", "Enter")
    browser.wait_for(lambda: browser.visible("#found-output"))
    tiles = browser.script("[...document.querySelectorAll('#photos button')].map(each => each.textContent)")
    assert walk(browser, 1 + len(tiles)) == ["send", *tiles]
    tab_to(browser, tiles[0])
    browser.press("Enter")
    browser.wait_for(lambda: browser.visible("#output"))


def test_key_searches_for_similar_photos(browser, served_captions, tmp_path):
    browser.open(served_captions.url)
    browser.choose(write(tmp_path / "red.jpg", photo(RED)))
    browser.wait_for(lambda: browser.visible("#output"))
    tab_to(browser, "similar")
    browser.press("Space")
    browser.wait_for(lambda: browser.visible("#found-output"))
    assert browser.text("#label") in browser.text("#summary")


def name(node: dict[str, Any]) -> str:
    return str(node.get("name", {}).get("value", ""))


def role(node: dict[str, Any]) -> str:
    return str(node["role"]["value"])


def properties(node: dict[str, Any]) -> dict[str, Any]:
    return {each["name"]: each["value"].get("value") for each in node.get("properties", [])}


def heard(page: Browser) -> list[dict[str, Any]]:
    return [node for node in page.accessibility_tree() if not node["ignored"]]


def live(tree: list[dict[str, Any]], kind: str, words: str) -> str:
    """The `live` property of a node that begins with these words, or of its nearest ancestor with one."""
    nodes = {node["nodeId"]: node for node in tree}
    node = next(each for each in tree if role(each) == kind and name(each).lower().startswith(words.lower()))
    while "live" not in properties(node) and "parentId" in node:
        node = nodes[node["parentId"]]
    return str(properties(node).get("live", "off"))


def texts(nodes: dict[str, dict[str, Any]], node: dict[str, Any]) -> list[str]:
    """The texts in a node, in reading order."""
    if role(node) == "StaticText":
        return [name(node)]
    return [text for child in node["childIds"] if child in nodes for text in texts(nodes, nodes[child])]


def test_every_focusable_element_has_a_name(predicted):
    takes = [node for node in heard(predicted) if properties(node).get("focusable") and role(node) != "RootWebArea"]
    assert len(takes) > 4
    assert [role(node) for node in takes if not name(node).strip()] == []


def test_page_declares_its_language(predicted):
    assert predicted.script("document.documentElement.lang") == "en"


def test_prediction_is_announced_and_digest_is_not(predicted):
    tree = predicted.accessibility_tree()
    assert live(tree, "heading", predicted.script("document.querySelector('#label').textContent")) == "polite"
    assert live(tree, "StaticText", predicted.text("#digest")) == "off"


def test_number_of_found_photos_is_announced_and_photos_are_not(browser, served_captions, tmp_path):
    browser.open(served_captions.url)
    send_sentence(browser, tmp_path)
    tree = browser.accessibility_tree()
    assert live(tree, "StaticText", "5 photos for") == "polite"
    assert live(tree, "button", browser.text("#photos .name")) == "off"


def test_bars_are_a_list_of_names_and_percentages(predicted):
    nodes = {node["nodeId"]: node for node in predicted.accessibility_tree()}
    read = [[text.lower() for text in texts(nodes, node)] for node in nodes.values() if role(node) == "listitem"]
    bars = predicted.script(
        "[...document.querySelectorAll('#bars li')].map(each => [...each.children].map(part => part.textContent))"
    )
    assert bars
    assert [[label, percent] for label, percent, _ in bars if [label.lower(), percent] not in read] == []


def test_every_picture_has_a_description(predicted):
    assert predicted.script("document.querySelectorAll('img:not([alt])').length") == 0
    pictures = [node for node in heard(predicted) if role(node) in ("image", "img", "Canvas")]
    assert [role(node) for node in pictures if not name(node).strip()] == []


def test_selected_photo_is_described_by_its_file_name(photos):
    assert "Your photo red.jpg" in [name(node) for node in heard(photos) if role(node) == "image"]


def states_of_petals(page: Browser, folder: Path) -> Iterator[None]:
    page.script("document.querySelector('#drop').classList.add('over')")
    yield
    send_photos(page, folder)
    page.click("#attention")
    yield
    for number in (2, 3):
        page.click(f"#strip li:nth-child({number}) button")
        yield
    page.script("document.querySelector('#token-problem').hidden = false")
    page.script("document.querySelector('#token-dialog').showModal()")
    yield


def states_of_captions(page: Browser, folder: Path) -> Iterator[None]:
    send_sentence(page, folder)
    yield
    page.choose(write(folder / "notes.txt", b"these are words"))
    page.wait_for(lambda: page.visible("#problem"))
    page.script("document.querySelector('#sentence').value = '?'")
    page.click("#send")
    page.wait_for(lambda: page.visible("#found-problem"))
    yield


def states_of_tweets(page: Browser, folder: Path) -> Iterator[None]:
    for words in ("The flood destroyed a party", "someone knows", "   "):
        send_message(page, folder, words)
        yield


STATES = {"petals": states_of_petals, "captions": states_of_captions, "tweets": states_of_tweets}


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest, browser: Browser) -> Iterator[str]:
    """The browser with a preference for light or dark pages."""
    browser.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": request.param}])
    yield request.param
    browser.devtools("Emulation.setEmulatedMedia", features=[])


@pytest.mark.parametrize("task", STATES)
def test_text_has_enough_contrast(request, browser, scheme, tmp_path, task):
    browser.open(request.getfixturevalue(PAGES[task][0]).url)
    assert browser.script("matchMedia('(prefers-color-scheme: dark)').matches") == (scheme == "dark")
    browser.click("summary")
    browser.wait_for(lambda: "Bento" in browser.text("#provenance"))
    found = browser.script(CONTRASTS)
    for _ in STATES[task](browser, tmp_path):
        found += browser.script(CONTRASTS)
    assert len(found) > 30
    assert {words: round(contrast, 2) for words, contrast in found if contrast < 4.5} == {}
