"""What services of each kind log, and what /drift compares, in this process."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import prometheus_client
import pytest

from bitbloom.drift.comparison import FEWEST
from bitbloom.drift.observations import Observations
from bitbloom.serving import bento
from bitbloom.serving.application import Application
from bitbloom.serving.caption_app import CaptionApplication
from bitbloom.serving.image_app import ImageApplication
from bitbloom.serving.text_app import TextApplication
from support import caption_standin
from support.standin import Served, photo

HEADER = "X-Prediction-Id"
TEACHER = "teacher"
SECONDS = 20
"""How long a test waits for a thread."""


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[type[Application], Served], Application]]:
    """Opens the application of an installed Bento, with a log in `tmp_path`/log."""
    monkeypatch.setenv("BITBLOOM_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("BITBLOOM_FEEDBACK_TOKEN", TEACHER)
    applications: list[Application] = []

    def open(kind: type[Application], served: Served) -> Application:
        (manifest,) = (served.home / "bentos").glob(f"*/*/{bento.MANIFEST}")
        application = kind(manifest.parent / "src")
        application.check()
        application.open()
        applications.append(application)
        return application

    yield open
    for application in applications:
        application.close()
        application.threads.close()


def post(application: Application, path: str, **content: Any) -> httpx.Response:
    """The response of an application."""
    return request(application, "POST", path, **content)


def request(application: Application, method: str, path: str, **content: Any) -> httpx.Response:
    """The response of an application."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=application.protected())
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.request(method, path, **content)

    return asyncio.run(send())


def written(application: Application) -> Observations:
    """The rows of the log, after its end."""
    application.close()
    assert application.log
    return Observations.read(sorted((Path(application.log.settings.address) / "log").rglob("*.parquet")))


def test_logs_each_text_and_not_one_of_which_nothing_is_left(opened, served_texts):
    application = opened(TextApplication, served_texts)
    texts = ["a flood destroyed it", "  ", "party!"]
    response = post(application, "/predict", json={"texts": texts, "words": False})
    first, found = response.headers[HEADER], written(application)
    assert found.kind == "text"
    assert list(found.ids) == [first, f"{first}-2"]
    assert list(found.labels) == ["disaster", "not disaster"]
    assert list(found.texts("input_digest")) == [hashlib.sha256(texts[at].encode()).hexdigest() for at in (0, 2)]
    assert list(found.texts("content")) == [None, None]
    assert found.features["words"].tolist() == [4, 1]
    assert found.embeddings is not None
    assert found.embeddings.tolist() == [[3, -3], [-2, 2]]


def test_text_itself_is_kept_when_told(opened, served_texts, monkeypatch):
    monkeypatch.setenv("BITBLOOM_LOG_CONTENT", "true")
    application = opened(TextApplication, served_texts)
    post(application, "/predict", json={"texts": ["a flöod"]}).raise_for_status()
    assert written(application).texts("content")[0].decode() == "a flöod"


def test_logs_captions_searches_and_similarities(opened, served_captions):
    application = opened(CaptionApplication, served_captions)
    red = caption_standin.photo("red")
    responses = [
        post(application, "/caption", content=red),
        post(application, "/search", json={"sentence": "red", "count": 2}),
        post(application, "/similarity", files={"image": red}, data={"sentence": ["green", "red"]}),
    ]
    sent = {"id": responses[0].headers[HEADER], "label": "a scarlet flower"}
    accepted = post(application, "/feedback", json=sent, headers={"Authorization": f"Bearer {TEACHER}"})
    assert accepted.status_code == 202
    found = written(application)
    caption, search, similarity = (response.json() for response in responses)
    assert list(found.ids) == [response.headers[HEADER] for response in responses]
    assert list(found.texts("kind")) == ["image", "text", "image"]
    assert list(found.labels) == [caption["sentences"][0]["sentence"], search["photos"][0]["id"], None]
    best = [np.exp(caption["sentences"][0]["score"]), search["photos"][0]["score"], similarity["sentences"][1]["similarity"]]
    assert found.confidence.tolist() == pytest.approx(best, abs=1e-6)
    assert np.isnan(found.features["brightness"]).tolist() == [False, True, False]
    assert np.isnan(found.features["words"]).tolist() == [True, False, True]
    assert found.dimension > 1
    assert found.embedded.all()


def test_window_joins_feedback_and_has_the_newest_rows(opened, served_texts, monkeypatch):
    monkeypatch.setenv("BITBLOOM_LOG_WINDOW", "2")
    application = opened(TextApplication, served_texts)
    ids = [post(application, "/predict", json={"texts": [text]}).headers[HEADER] for text in ("flood", "party", "fire")]
    written(application)  # the thread has seen the rows
    window = application.log.window
    assert [window.join(id, "disaster") for id in ids] == [None, False, True]
    _, rows, truths = window.snapshot()
    assert [row.id for row in rows] == ids[1:]
    assert truths == ["disaster", "disaster"]
    assert window.accuracy() is None  # two labels are too few


def filled(application: Application, count: int, **content: Any) -> None:
    """Predict `count` times, until the window has the rows."""
    for _ in range(count):
        post(application, "/predict", **content).raise_for_status()
    assert application.log
    end = time.monotonic() + SECONDS
    while len(application.log.window.rows) < count and time.monotonic() < end:
        time.sleep(0.02)


def test_drift_needs_enough_predictions(opened, served):
    application = opened(ImageApplication, served)
    filled(application, 3, content=photo((210, 40, 40)))
    response = request(application, "GET", "/drift")
    assert (response.status_code, response.json()["error"]) == (
        409,
        "3 predictions are in memory, 50 are needed: try again later",
    )


def test_drift_without_a_reference_is_not_found(opened, served, tmp_path):
    application = opened(ImageApplication, served)
    application.log.drift.path = tmp_path / "reference.parquet"
    response = request(application, "GET", "/drift")
    assert response.status_code == 404
    assert "reference.parquet" in response.json()["error"]


def test_drift_compares_the_window_and_keeps_the_report_for_some_seconds(opened, served):
    application = opened(ImageApplication, served)
    filled(application, FEWEST, content=photo((210, 40, 40)))
    report = request(application, "GET", "/drift").raise_for_status().json()
    assert (report["samples"], report["drifted"]) == (FEWEST, True)
    assert "bytes" in report["changed"]
    scores = {test["name"]: test["distance"] for test in report["tests"]}
    gauge = prometheus_client.REGISTRY.get_sample_value
    assert gauge("bitbloom_drift_score", {"feature": "bytes"}) == scores["bytes"] > 0.5
    assert gauge("bitbloom_drift_detected") == 1
    assert gauge("bitbloom_drift_samples") == FEWEST
    filled(application, FEWEST + 1, content=photo((40, 170, 50)))
    assert request(application, "GET", "/v1/drift").json() == report
    application.log.drift.until = 0.0
    assert request(application, "GET", "/drift").json()["samples"] > FEWEST


def test_metrics_of_drift_stay_current_without_requests(opened, served, monkeypatch):
    monkeypatch.setenv("BITBLOOM_LOG_DRIFT", "0.05")
    application = opened(ImageApplication, served)
    filled(application, FEWEST + 7, content=photo((210, 40, 40)))
    end = time.monotonic() + SECONDS
    gauge = prometheus_client.REGISTRY.get_sample_value
    while gauge("bitbloom_drift_samples") != FEWEST + 7 and time.monotonic() < end:
        time.sleep(0.02)
    assert gauge("bitbloom_drift_samples") == FEWEST + 7
