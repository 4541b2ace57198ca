"""The site of the documentation: built without a warning and a network, read from a disk without one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bitbloom.core.digests import folder_files
from support.browser import Browser
from support.tiny import REPOSITORY

pytestmark = pytest.mark.slow

LOADING = {"img": "src", "script": "src", "iframe": "src", "source": "srcset", "link": "href"}
"""Elements whose attribute names a file that a browser loads."""
QUIET = {"NO_MKDOCS_2_WARNING": "1"}
"""Material's notice of its end of life; docs/toolchain.md has the date."""
SOME = (
    "index.html",
    "CONTRIBUTING.html",
    "deploy/index.html",
    "docs/tutorial.html",
    "docs/reference/make.html",
    "docs/reference/config.html",
    "docs/reference/commands.html",
    "docs/reference/openapi/petals.html",
    "docs/reference/code/core/canonical.html",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. A warning stops MkDocs, and so does an attempt to reach an index or a proxy."""
    return build(tmp_path_factory.mktemp("site"), PYTHONHASHSEED="1")


def build(folder: Path, **variables: str) -> Path:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    done = subprocess.run(
        command, cwd=REPOSITORY, env={**os.environ, **proxies, **QUIET, **variables}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    return folder


class Page(HTMLParser):
    """What a page loads, where it links to, and its anchors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {key: value or "" for key, value in attrs}
        self.anchors.add(found.get("id", ""))
        if address := found.get(LOADING.get(tag, "")):
            self.loads.append(address)
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])


def test_has_written_and_generated_pages(site):
    assert [name for name in SOME if not (site / name).is_file()] == []


def test_loads_nothing_from_a_network(site):
    for path in site.rglob("*.html"):
        outside = [address for address in Page(path).loads if re.match(r"(?:[a-z]+:)?//", address)]
        assert outside == [], path
    for path in site.rglob("*.css"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(?:url\(|@import )[\"']?(?:https?:)?//", text), path


def test_every_link_has_a_target_with_its_anchor(site):
    pages = {path.resolve(): Page(path) for path in site.rglob("*.html")}
    for path, page in pages.items():
        for link in page.links:
            if re.match(r"[a-z]+:", link) or path.name == "404.html":
                continue
            name, _, anchor = link.partition("#")
            target = (path.parent / name).resolve() if name else path
            assert target.is_file(), (path, link)
            assert not anchor or target not in pages or anchor in pages[target].anchors, (path, link)


def test_equal_pages_give_equal_bytes(site, tmp_path):
    other = build(tmp_path / "other", PYTHONHASHSEED="2", TZ="Asia/Tokyo")
    assert {name: path.read_bytes() for name, path in folder_files(other).items()} == {
        name: path.read_bytes() for name, path in folder_files(site).items()
    }


@pytest.mark.browser
@pytest.mark.parametrize("width", [1200, 400])
def test_reads_and_searches_from_a_disk(site, browser: Browser, width):
    browser.log()
    for name in SOME:
        browser.open((site / name).as_uri(), width)
        assert browser.script("document.documentElement.scrollWidth <= innerWidth"), name
        loaded = browser.script("performance.getEntriesByType('resource').map(each => each.name)")
        assert all(address.startswith(("file:", "data:")) for address in loaded), name
    if width < 600:
        browser.click("label[for=__search].md-header__button")
    else:
        browser.click(".md-search__input")
    browser.type(".md-search__input", "near-duplicate")
    browser.wait_for(lambda: bool(browser.script("document.querySelectorAll('.md-search-result__link').length > 2")))
    assert [entry for entry in browser.log() if entry["level"] == "SEVERE"] == []
