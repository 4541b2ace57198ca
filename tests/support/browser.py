"""Headless Chromium, for tests of pages: what a person sees and does.

Selenium drives it, with the Chromium and the chromedriver that the machine has: it looks for none and downloads none.
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
"""For Selenium's own finder of drivers, which downloads and reports use. A driver given by its path leaves it without work."""
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
    """The verbs of the page tests, on one window that Selenium drives."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(self, url: str, width: int = 1200, height: int = 900) -> None:
        """Load a page in a window of this size, in CSS pixels."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.devtools("Emulation.setDeviceMetricsOverride", **metrics)
        self.driver.get(url)

    def devtools(self, command: str, **arguments: Any) -> Any:
        """Ask Chromium by its own protocol, for what WebDriver has no word for."""
        return self.driver.execute_cdp_cmd(command, arguments)

    def find(self, selector: str) -> WebElement:
        """The first element that a CSS selector names."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def choose(self, *files: Path) -> None:
        """Choose files as a person does, in the page's file input."""
        self.type("#photo", "\n".join(map(str, files)))

    def type(self, selector: str, words: str) -> None:
        """Type into a field, or on the keyboard where it has the focus."""
        self.find(selector).send_keys(words)

    def press(self, *keys: str, shift: bool = False) -> None:
        """Press keys one after another, wherever the focus is: those of KEYS by name, others by what they write."""
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
        """The value of an expression of JavaScript in the page."""
        return self.driver.execute_script(f"return {code}")

    def visible(self, selector: str) -> bool:
        """Whether an element that is in the page is shown."""
        return bool(self.script(f"document.querySelector('{selector}').checkVisibility()"))

    def text(self, selector: str) -> str:
        """The text of an element, as far as it is shown."""
        return self.find(selector).text

    def wait_for(self, condition: Callable[[], bool], seconds: float = 15) -> None:
        """Wait until a condition holds; else fail with what the page says."""
        try:
            WebDriverWait(self.driver, seconds, poll_frequency=0.05).until(lambda _: condition())
        except TimeoutException:
            pytest.fail(f"not seen in {seconds} s; the page says: {self.text('body')}")

    def accessibility_tree(self) -> list[dict[str, Any]]:
        """What a screen reader is told; it passes over the nodes that are `ignored`, not over what is in them."""
        self.devtools("Accessibility.enable")
        return list(self.devtools("Accessibility.getFullAXTree")["nodes"])

    def screenshot(self, path: Path) -> None:
        """Write what the window shows as a PNG."""
        path.write_bytes(self.driver.get_screenshot_as_png())

    def log(self) -> list[dict[str, Any]]:
        """What the page wrote to the console since the last call; broken scripts and blocked resources are there."""
        return list(self.driver.get_log("browser"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("needs headless Chromium: apt-get install chromium chromium-driver")
    with chromium(tmp_path_factory.mktemp("profile")) as window:
        yield window


@contextlib.contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A window of Chromium with its profile in a folder, closed at the end of the block."""
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
