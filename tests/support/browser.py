"""Headless Chromium, for tests of pages: what a person sees and does.

It is driven over the WebDriver protocol (https://www.w3.org/TR/webdriver2/), spoken with plain HTTP.
"""

from __future__ import annotations

import base64
import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.standin import free_port

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
KEYS = {"Shift": "\ue008", "Tab": "\ue004", "Enter": "\ue007", "Escape": "\ue00c", "Space": " "}
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
    """One window of Chromium, through a WebDriver session."""

    def __init__(self, driver: str, profile: Path) -> None:
        options = {"binary": shutil.which("chromium"), "args": [*FLAGS, f"--user-data-dir={profile}"]}
        capabilities = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self.client = httpx.Client(base_url=driver, timeout=30)
        created = self.client.post("/session", json={"capabilities": {"alwaysMatch": capabilities}})
        assert created.status_code == 200, created.text
        self.session = f"/session/{created.json()['value']['sessionId']}"

    def post(self, command: str, **arguments: Any) -> Any:
        answer = self.client.post(self.session + command, json=arguments)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]

    def get(self, command: str) -> Any:
        return self.client.get(self.session + command).json()["value"]

    def open(self, url: str, width: int = 1200, height: int = 900) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.devtools("Emulation.setDeviceMetricsOverride", **metrics)
        self.post("/url", url=url)

    def devtools(self, command: str, **arguments: Any) -> Any:
        """Ask Chromium by its own protocol, for what WebDriver has no word for."""
        return self.post("/goog/cdp/execute", cmd=command, params=arguments)

    def find(self, selector: str) -> str:
        return self.post("/element", using="css selector", value=selector)[ELEMENT]

    def choose(self, *files: Path) -> None:
        """Choose files as a person does, in the page's file input."""
        self.post(f"/element/{self.find('#photo')}/value", text="\n".join(map(str, files)))

    def type(self, selector: str, words: str) -> None:
        """Type into a field, or on the keyboard where it has the focus."""
        self.post(f"/element/{self.find(selector)}/value", text=words)

    def press(self, *keys: str, shift: bool = False) -> None:
        """Press keys one after another, wherever the focus is: those of KEYS by name, others by what they write."""
        actions = [{"type": kind, "value": KEYS.get(key, key)} for key in keys for kind in ("keyDown", "keyUp")]
        if shift:
            actions = [{"type": "keyDown", "value": KEYS["Shift"]}, *actions, {"type": "keyUp", "value": KEYS["Shift"]}]
        self.post("/actions", actions=[{"type": "key", "id": "keyboard", "actions": actions}])

    def click(self, selector: str) -> None:
        self.post(f"/element/{self.find(selector)}/click")

    def script(self, code: str) -> Any:
        return self.post("/execute/sync", script=f"return {code}", args=[])

    def visible(self, selector: str) -> bool:
        return bool(self.script(f"document.querySelector('{selector}').checkVisibility()"))

    def text(self, selector: str) -> str:
        return str(self.get(f"/element/{self.find(selector)}/text"))

    def wait_for(self, condition: Callable[[], bool], seconds: float = 15) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not seen in {seconds} s; the page says: {self.text('body')}"
            time.sleep(0.05)

    def accessibility_tree(self) -> list[dict[str, Any]]:
        """What a screen reader is told; it passes over the nodes that are `ignored`, not over what is in them."""
        self.devtools("Accessibility.enable")
        return list(self.devtools("Accessibility.getFullAXTree")["nodes"])

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.get("/screenshot")))

    def log(self) -> list[dict[str, Any]]:
        """What the page wrote to the console since the last call; broken scripts and blocked resources are there."""
        return list(self.post("/se/log", type="browser"))

    def close(self) -> None:
        self.client.delete(self.session)
        self.client.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("needs headless Chromium: apt-get install chromium chromium-driver")
    with chromium(tmp_path_factory.mktemp("profile")) as window:
        yield window


@contextlib.contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A window of Chromium with its profile in a folder, closed at the end of the block."""
    port = free_port()
    process = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_up(url)
        window = Browser(url, profile)
        yield window
        window.close()
    finally:
        process.terminate()
        process.wait(15)


def _wait_until_up(url: str) -> None:
    for _ in range(200):
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/status").json()["value"]["ready"]:
                return
        time.sleep(0.05)
    raise RuntimeError("chromedriver did not start")
