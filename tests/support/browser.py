"""Headless Chromium for tests of pages.

Selenium drives the installed Chromium and chromedriver; it downloads none.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.common.exceptions import TimeoutException
from selenium.webdriver import ActionChains, Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

KEYS = {"Tab": Keys.TAB, "Enter": Keys.ENTER, "Escape": Keys.ESCAPE, "Space": Keys.SPACE}
OFFLINE = {"SE_OFFLINE": "true", "SE_AVOID_STATS": "true"}
"""Settings of Selenium's driver manager, which would download drivers and report usage. It is not used with a given path."""
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
]


class Browser:
    """A browser window with the actions of the page tests."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(self, url: str, width: int = 1200, height: int = 900) -> None:
        """Load a page in a window of this size, in CSS pixels."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.devtools("Emulation.setDeviceMetricsOverride", **metrics)
        self.driver.get(url)

    def devtools(self, command: str, **arguments: Any) -> Any:
        """Run a command of the Chrome DevTools protocol."""
        return self.driver.execute_cdp_cmd(command, arguments)

    def find(self, selector: str) -> WebElement:
        """Return the first element of a CSS selector."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def choose(self, *files: Path) -> None:
        """Choose files in the page's file input."""
        self.type("#photo", "\n".join(map(str, files)))

    def type(self, selector: str, words: str) -> None:
        """Type text into a field."""
        self.find(selector).send_keys(words)

    def press(self, *keys: str, shift: bool = False) -> None:
        """Press keys in sequence at the current focus: those of KEYS by name, others by their character."""
        strokes = ActionChains(self.driver)
        if shift:
            strokes.key_down(Keys.SHIFT)
        for key in keys:
            strokes.send_keys(KEYS.get(key, key))
        if shift:
            strokes.key_up(Keys.SHIFT)
        strokes.perform()

    def click(self, selector: str) -> None:
        """Click on the middle of an element."""
        self.find(selector).click()

    def script(self, code: str) -> Any:
        """Return the value of a JavaScript expression in the page."""
        return self.driver.execute_script(f"return {code}")

    def visible(self, selector: str) -> bool:
        """Return whether an element of the page is visible."""
        return bool(self.script(f"document.querySelector('{selector}').checkVisibility()"))

    def text(self, selector: str) -> str:
        """Return the visible text of an element."""
        return self.find(selector).text

    def wait_for(self, condition: Callable[[], bool], seconds: float = 15) -> None:
        """Wait until a condition holds; otherwise fail with the text of the page."""
        try:
            WebDriverWait(self.driver, seconds, poll_frequency=0.05).until(lambda _: condition())
        except TimeoutException:
            pytest.fail(f"not seen in {seconds} s; text of the page: {self.text('body')}")

    def accessibility_tree(self) -> list[dict[str, Any]]:
        """Return the accessibility tree of the page; screen readers skip `ignored` nodes, but not their children."""
        self.devtools("Accessibility.enable")
        return list(self.devtools("Accessibility.getFullAXTree")["nodes"])

    def screenshot(self, path: Path) -> None:
        """Write a screenshot of the window as PNG."""
        path.write_bytes(self.driver.get_screenshot_as_png())

    def log(self) -> list[dict[str, Any]]:
        """Return the console messages since the last call, including script errors and blocked resources."""
        return list(self.driver.get_log("browser"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("needs headless Chromium: apt-get install chromium chromium-driver")
    with chromium(tmp_path_factory.mktemp("profile")) as window:
        yield window


@contextlib.contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Yield a window of Chromium with its profile in a folder, closed at the end of the block."""
    os.environ.update(OFFLINE)
    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    driver = Chrome(options, ChromeService(shutil.which("chromedriver")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
