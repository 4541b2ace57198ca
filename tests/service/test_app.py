"""The web application in this process, without BentoML: what is simpler to see here than over the network."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from bitbloom.core.errors import BitBloomError
from bitbloom.serving import protection
from bitbloom.serving.app import Application
from bitbloom.serving.settings import provenance
from support.standin import GRID, LIMITS, photo, write_service

RED = (210, 40, 40)


@pytest.fixture
def ask(tmp_path):
    """A function that sends one request to the application."""
    application = Application(write_service(tmp_path))
    application.open()

    def send(method, route, **arguments):
        async def once():
            transport = httpx.ASGITransport(app=application.asgi)
            async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
                return await client.request(method, route, **arguments)

        return asyncio.run(once())

    return send


def form(*photos):
    return [("image", (f"{number}.jpg", data)) for number, data in enumerate(photos)]


def test_a_photo_is_labelled_from_a_form_and_from_a_body(ask):
    in_form, in_body = ask("POST", "/predict", files=form(photo(RED))), ask("POST", "/predict", content=photo(RED))
    assert in_form.json() == in_body.json()
    assert in_body.json()["label"] == "poppy"


def test_who_asks_where_the_model_looked_gets_the_same_answer_and_shares_that_add_up(ask):
    plain, looked = (ask("POST", route, content=photo(RED)).json() for route in ("/predict", "/v1/predict?attention=true"))
    shares = looked.pop("attention")
    assert looked == plain
    assert [len(row) for row in shares] == [GRID] * GRID
    assert sum(map(sum, shares)) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"", 400), (b"words", 415), (photo(RED, 400, 300)[:-400], 422), (photo(RED, 1200, 1200), 422), (bytes(400_000), 413)],
)
def test_each_refusal_has_its_status_and_a_message(ask, data, status):
    response = ask("POST", "/predict", files=form(data))
    assert response.status_code == status
    assert len(response.json()["error"]) > 20


def test_a_batch_holds_answers_and_errors_in_order(ask):
    response = ask("POST", "/predict_batch", files=form(photo(RED), b"words"))
    assert response.status_code == 200
    assert ["label" in result for result in response.json()] == [True, False]


def test_a_batch_of_which_nothing_can_be_read_is_refused(ask):
    assert ask("POST", "/predict_batch", files=form(b"words")).status_code == 422


@pytest.mark.parametrize(("files", "status"), [(form(*[b"x"] * 5), 400), (form(*[bytes(400_000)] * 4), 413), ({"a": b"x"}, 400)])
def test_a_batch_of_too_many_too_much_or_nothing_is_refused(ask, files, status):
    assert ask("POST", "/predict_batch", files=files).status_code == status


def test_a_batch_that_is_no_form_is_refused(ask):
    assert ask("POST", "/predict_batch", content=photo(RED)).status_code == 415


def test_a_refused_body_is_not_kept_and_read_no_further_than_a_bound(ask, monkeypatch):
    monkeypatch.setattr(protection, "DISCARDED", 1_000_000)
    sent = []

    async def endless():
        for _ in range(1000):
            sent.append(100_000)
            yield bytes(100_000)

    assert ask("POST", "/predict", content=endless()).status_code == 413
    assert sum(sent) < LIMITS.max_bytes + 1_000_000 + 300_000


def test_the_page_the_limits_and_the_provenance_are_served(ask):
    assert "Which flower" in ask("GET", "/").text
    assert ask("GET", "/page/page.js").status_code == 200
    assert ask("GET", "/service.json").json()["max_bytes"] == LIMITS.max_bytes
    assert ask("GET", "/provenance").json()["digests"]["data"] == "d"


def test_a_wrong_method_is_refused_in_json(ask):
    assert "error" in ask("GET", "/predict").json()


def test_outside_of_a_bento_its_digest_is_unknown(tmp_path):
    known = provenance(write_service(tmp_path))
    assert known["digests"]["bento"] is None
    assert known["bento"] is None


@pytest.mark.parametrize(
    ("variables", "commit"),
    [
        ({}, None),
        ({"BITBLOOM_COMMIT": "0123abc"}, "0123abc"),
        ({"IMAGE_REVISION": "0123abc"}, "0123abc"),
        ({"BITBLOOM_COMMIT": "feed123", "IMAGE_REVISION": "0123abc"}, "feed123"),
        ({"BITBLOOM_COMMIT": "main; rm -rf /"}, None),
    ],
)
def test_the_commit_is_what_the_environment_says_if_it_is_one(tmp_path, monkeypatch, variables, commit):
    for name in ("BITBLOOM_COMMIT", "IMAGE_REVISION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    known = provenance(write_service(tmp_path))
    assert known["commit"] == commit
    assert known["rebuild"] == (f"git checkout {commit} && " if commit else "") + "make verify TARGET=petals"


def test_a_service_whose_model_is_not_the_one_of_its_provenance_does_not_start(tmp_path):
    with pytest.raises(BitBloomError, match="has the digest"):
        Application(write_service(tmp_path, "0" * 64)).open()
