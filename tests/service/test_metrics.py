"""The metrics of a served Bento: predictions, confidence, time by part, permits and rejections."""

from __future__ import annotations

import time
from collections.abc import Iterator

import bentoml
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from support import caption_standin
from support.standin import TOKEN, photo

RED, GREEN = (210, 40, 40), (40, 170, 50)
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
PREFIX = "bitbloom_"
SECONDS = 10
"""How long a test waits for the permits of a request that has its response."""

Samples = dict[str, float]


def samples(url: str) -> Samples:
    """The samples of the project's own metrics, by their name without its prefix and the value of their label."""
    text = httpx.get(f"{url}/metrics").raise_for_status().text
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    own = [sample for sample in found if sample.name.startswith(PREFIX) and "le" not in sample.labels]
    return {" ".join([sample.name.removeprefix(PREFIX), *sample.labels.values()]): sample.value for sample in own}


def increase(before: Samples, after: Samples, name: str) -> dict[str, float]:
    """By how much each sample of a metric has grown, by its label."""
    grown = {key: value - before.get(key, 0) for key, value in after.items() if key.split(" ")[0] == name}
    return {key.partition(" ")[2]: value for key, value in grown.items() if value}


@pytest.fixture
def url(guarded: str) -> str:
    """The address of a service for photos with a token."""
    return guarded


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers=HEADERS, timeout=30) as client:
        yield client


def test_counts_predictions_by_label_with_their_confidence(url, client):
    before = samples(url)
    predictions = [client.post("/predict", content=photo(colour)).json() for colour in (RED, GREEN, RED)]
    after = samples(url)
    assert increase(before, after, "predictions_total") == {"poppy": 2, "fern": 1}
    assert increase(before, after, "confidence_count") == {"": 3}
    expected = sum(prediction["probability"] for prediction in predictions)
    assert increase(before, after, "confidence_sum")[""] == pytest.approx(expected)


def test_measures_queue_decoding_and_model_of_each_prediction(url, client):
    before = samples(url)
    client.post("/v1/predict", content=photo(RED)).raise_for_status()
    after = samples(url)
    assert increase(before, after, "part_seconds_count") == {"queue": 1, "decode": 1, "model": 1}
    assert all(seconds > 0 for seconds in increase(before, after, "part_seconds_sum").values())


def test_counts_each_photo_of_a_batch(url, client):
    before = samples(url)
    files = [("image", ("photo.jpg", photo(colour))) for colour in (RED, GREEN)]
    client.post("/predict_batch", files=files).raise_for_status()
    assert increase(before, samples(url), "predictions_total") == {"poppy": 1, "fern": 1}


def test_counts_predictions_of_typed_methods(url, tmp_path):
    path = tmp_path / "red.jpg"
    path.write_bytes(photo(RED))
    before = samples(url)
    with bentoml.SyncHTTPClient(url, token=TOKEN) as client:
        client.predict(image=path)
    assert increase(before, samples(url), "predictions_total") == {"poppy": 1}


def test_counts_rejections_by_status(url, client):
    before = samples(url)
    assert client.post("/predict", content=b"words").status_code == 415
    assert httpx.post(f"{url}/predict", content=photo(RED)).status_code == 401
    assert httpx.post(f"{url}/api/predict", files={"image": photo(RED)}).status_code == 401
    after = samples(url)
    assert increase(before, after, "rejections_total") == {"415": 1, "401": 2}
    assert increase(before, after, "predictions_total") == {}


def test_counts_no_rejection_of_a_missing_page(url):
    before = samples(url)
    assert httpx.get(f"{url}/nowhere").status_code == 404
    assert increase(before, samples(url), "rejections_total") == {}


def test_releases_the_permits_of_predictions_and_rejections(url, client):
    client.post("/predict", content=photo(RED)).raise_for_status()
    assert client.post("/predict", content=b"words").status_code == 415
    end = time.monotonic() + SECONDS
    while samples(url)["admitted"] and time.monotonic() < end:
        time.sleep(0.05)
    assert samples(url)["admitted"] == 0


def test_counts_texts_by_label(served_texts):
    before = samples(served_texts.url)
    httpx.post(f"{served_texts.url}/predict", json={"texts": ["a flood", "a party", "  "]}).raise_for_status()
    after = samples(served_texts.url)
    assert increase(before, after, "predictions_total") == {"disaster": 1, "not disaster": 1}
    assert increase(before, after, "confidence_count") == {"": 2}


def test_counts_captions_searches_and_similarities(served_captions):
    url, red = served_captions.url, caption_standin.photo("red")
    before = samples(url)
    httpx.post(f"{url}/caption", content=red).raise_for_status()
    httpx.post(f"{url}/search", json={"sentence": "red"}).raise_for_status()
    httpx.post(f"{url}/similarity", files={"image": red}, data={"sentence": ["red", "green"]}).raise_for_status()
    after = samples(url)
    assert increase(before, after, "predictions_total") == {"caption": 1, "search": 1, "similarity": 1}
    assert increase(before, after, "part_seconds_count") == {"queue": 3, "decode": 2, "model": 3}
