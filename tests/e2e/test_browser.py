"""The browser that the tests of pages use."""

from __future__ import annotations

import pytest

from support.browser import Browser, chromium

pytestmark = pytest.mark.browser


def test_downloads_no_driver(browser: Browser, tmp_path, monkeypatch):
    finder = tmp_path / "selenium-manager"
    finder.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\nexit 1\n")
    finder.chmod(0o755)
    monkeypatch.setenv("SE_MANAGER_PATH", str(finder))
    with chromium(tmp_path / "profile") as window:
        window.open("data:text/html,<p>here</p>")
        assert window.text("p") == "here"
    assert not (tmp_path / "started").exists()


def test_timeout_shows_the_text_of_the_page(browser: Browser):
    browser.open("data:text/html,<p>still busy</p>")
    with pytest.raises(pytest.fail.Exception, match="still busy"):
        browser.wait_for(lambda: False, seconds=0.1)
