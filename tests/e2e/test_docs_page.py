"""Swagger UI of a service in a real browser, without a network."""

from __future__ import annotations

from typing import Any

import pytest

from support.browser import Browser
from support.standin import Served

pytestmark = pytest.mark.browser

OPERATIONS = """[...document.querySelectorAll('.opblock')].map(each => [
    each.querySelector('.opblock-summary-method').textContent,
    each.querySelector('.opblock-summary-path').textContent.replaceAll('\\u200b', '')])"""
OPERATION = ".opblock:has([data-path='{}'])"


@pytest.fixture(params=[1200, 400])
def docs(request: pytest.FixtureRequest, browser: Browser, served: Served) -> Browser:
    """The page at the width of a desktop and of a phone, with all operations listed."""
    browser.log()
    browser.open(f"{served.url}/docs", request.param)
    browser.wait_for(lambda: bool(browser.script("document.querySelector('.opblock')")))
    return browser


def operations(page: Browser) -> list[list[str]]:
    return list(page.script(OPERATIONS))


def errors(page: Browser) -> list[dict[str, Any]]:
    """Messages of script errors, blocked resources and violations of the content security policy."""
    return [entry for entry in page.log() if entry["level"] == "SEVERE"]


def execute(page: Browser, path: str) -> None:
    """Send the request of an operation without parameters by "Try it out"."""
    operation = OPERATION.format(path)
    page.click(f"{operation} .opblock-summary-control")
    for button in (".try-out__btn", ".execute"):
        page.wait_for(lambda button=button: bool(page.script(f'document.querySelector("{operation} {button}")')))
        page.click(f"{operation} {button}")
    page.wait_for(lambda: bool(page.script(f'document.querySelector("{operation} .live-responses-table")')))


def test_lists_fast_routes_and_typed_methods(docs):
    assert ["POST", "/predict"] in operations(docs)
    assert ["POST", "/v1/predict"] in operations(docs)
    assert ["POST", "/api/predict"] in operations(docs)
    assert ["GET", "/provenance"] in operations(docs)


def test_shows_title_version_and_license(docs, served):
    assert "Petals" in docs.text(".info .title")
    assert str(served.report["version"]) in docs.text(".info .title")
    assert docs.text(".info__license") == "Apache License 2.0"


def test_authorize_accepts_a_bearer_token(docs):
    docs.click(".btn.authorize")
    docs.wait_for(lambda: bool(docs.script("document.querySelector('.auth-container input')")))
    assert "Bearer" in docs.text(".auth-container")


def test_executes_a_request(docs):
    execute(docs, "/service.json")
    response = f"{OPERATION.format('/service.json')} .live-responses-table"
    assert docs.text(f"{response} .response .response-col_status").startswith("200")
    assert '"title": "Petals"' in docs.text(response)
    assert errors(docs) == []


def test_loads_only_from_the_service_and_logs_no_error(docs, served):
    loaded = docs.script("performance.getEntriesByType('resource').map(each => each.name)")
    assert any(name.endswith("/static_content/swagger-ui-bundle.js") for name in loaded)
    assert all(name.startswith((f"{served.url}/", "data:")) for name in loaded)
    assert errors(docs) == []


def test_fits_the_width(docs):
    execute(docs, "/provenance")
    assert docs.script("document.documentElement.scrollWidth <= innerWidth")
