"""The browser of the page tests itself."""

from __future__ import annotations

import pytest
from browser import Browser, chromium

pytestmark = pytest.mark.browser


def test_no_driver_is_looked_for_or_downloaded(browser: Browser, tmp_path, monkeypatch):
    finder = tmp_path / "selenium-manager"
    finder.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\nexit 1\n")
    finder.chmod(0o755)
    monkeypatch.setenv("SE_MANAGER_PATH", str(finder))
    with chromium(tmp_path / "profile") as window:
        window.open("data:text/html,<p>here</p>")
        assert window.text("p") == "here"
    assert not (tmp_path / "asked").exists()


def test_a_wait_in_vain_fails_with_what_the_page_says(browser: Browser):
    browser.open("data:text/html,<p>still busy</p>")
    with pytest.raises(pytest.fail.Exception, match="still busy"):
        browser.wait_for(lambda: False, seconds=0.1)
