"""The web application in this process, without BentoML: what needs no network."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from bitbloom.core.errors import BitBloomError
from bitbloom.serving import protection
from bitbloom.serving.image_app import ImageApplication
from bitbloom.serving.settings import provenance
from support.standin import GRID, LIMITS, photo, write_service

RED = (210, 40, 40)


@pytest.fixture
def send(tmp_path):
    """A function that sends one request to the application."""
    application = ImageApplication(write_service(tmp_path))
    application.open()

    def send_one(method, route, **arguments):
        async def once():
            transport = httpx.ASGITransport(app=application.protected())
            async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
                return await client.request(method, route, **arguments)

        return asyncio.run(once())

    return send_one


def form(*photos):
    return [("image", (f"{number}.jpg", data)) for number, data in enumerate(photos)]


def test_labels_photo_in_form_and_in_body(send):
    in_form, in_body = send("POST", "/predict", files=form(photo(RED))), send("POST", "/predict", content=photo(RED))
    assert in_form.json() == in_body.json()
    assert in_body.json()["label"] == "poppy"


def test_adds_attention_map_to_the_same_prediction_on_request(send):
    plain, mapped = (send("POST", route, content=photo(RED)).json() for route in ("/predict", "/v1/predict?attention=true"))
    fractions = mapped.pop("attention")
    assert mapped == plain
    assert [len(row) for row in fractions] == [GRID] * GRID
    assert sum(map(sum, fractions)) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"", 400), (b"words", 415), (photo(RED, 400, 300)[:-400], 422), (photo(RED, 1200, 1200), 422), (bytes(400_000), 413)],
)
def test_rejects_unreadable_photo_with_status_and_message(send, data, status):
    response = send("POST", "/predict", files=form(data))
    assert response.status_code == status
    assert len(response.json()["error"]) > 20


def test_labels_batch_in_order_with_errors_in_place(send):
    response = send("POST", "/predict_batch", files=form(photo(RED), b"words"))
    assert response.status_code == 200
    assert ["label" in result for result in response.json()] == [True, False]


def test_rejects_batch_without_readable_photo(send):
    assert send("POST", "/predict_batch", files=form(b"words")).status_code == 422


@pytest.mark.parametrize(("files", "status"), [(form(*[b"x"] * 5), 400), (form(*[bytes(400_000)] * 4), 413), ({"a": b"x"}, 400)])
def test_rejects_batch_of_too_many_or_too_large_or_no_photos(send, files, status):
    assert send("POST", "/predict_batch", files=files).status_code == status


def test_rejects_batch_outside_a_form(send):
    assert send("POST", "/predict_batch", content=photo(RED)).status_code == 415


def test_drains_rejected_body_up_to_a_bound(send, monkeypatch):
    monkeypatch.setattr(protection, "DRAINED", 1_000_000)
    sent = []

    async def endless():
        for _ in range(1000):
            sent.append(100_000)
            yield bytes(100_000)

    assert send("POST", "/predict", content=endless()).status_code == 413
    assert sum(sent) < LIMITS.max_bytes + 1_000_000 + 300_000


def test_serves_page_limits_and_provenance(send):
    assert "Which flower" in send("GET", "/").text
    assert send("GET", "/page/page.js").status_code == 200
    assert send("GET", "/service.json").json()["max_bytes"] == LIMITS.max_bytes
    assert send("GET", "/provenance").json()["digests"]["data"] == "d"


def test_rejects_wrong_method_in_json(send):
    assert "error" in send("GET", "/predict").json()


def test_digest_is_null_outside_of_a_bento(tmp_path):
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
def test_commit_comes_from_the_environment(tmp_path, monkeypatch, variables, commit):
    for name in ("BITBLOOM_COMMIT", "IMAGE_REVISION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    known = provenance(write_service(tmp_path))
    assert known["commit"] == commit
    assert known["rebuild"] == (f"git checkout {commit} && " if commit else "") + "make verify TARGET=petals"


def test_commit_comes_from_the_installation_where_the_environment_has_none(tmp_path, monkeypatch):
    for name in ("BITBLOOM_COMMIT", "IMAGE_REVISION"):
        monkeypatch.delenv(name, raising=False)
    folder = write_service(tmp_path)
    (tmp_path / "commit").write_text("0123abcd")
    assert provenance(folder)["commit"] == "0123abcd"
    (tmp_path / "commit").write_text("main; rm -rf /")
    assert provenance(folder)["commit"] is None


def test_does_not_open_a_model_of_another_digest(tmp_path):
    with pytest.raises(BitBloomError, match="has the digest"):
        ImageApplication(write_service(tmp_path, "0" * 64)).open()


@pytest.mark.parametrize(("content", "status"), [(b"words", 415), (photo(RED, 400, 300)[:-400], 422)])
def test_advises_on_curls_option_that_changes_photos(send, content, status):
    form = {"content-type": "application/x-www-form-urlencoded"}
    rejected = send("POST", "/predict", content=content, headers=form)
    assert rejected.status_code == status
    assert "--data-binary" in rejected.json()["error"]
    assert send("POST", "/predict", content=photo(RED), headers=form).status_code == 200
