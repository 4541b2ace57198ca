"""The typed methods of the services, by BentoML's own clients: they compute what the fast routes compute."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import bentoml
import httpx
import pytest
from bentoml.exceptions import BentoMLException

from support import caption_standin
from support.standin import LIMITS, TOKEN, VARIABLES, Served, listening, photo

RED, GREEN = (210, 40, 40), (40, 170, 50)


@pytest.fixture
def red(tmp_path: Path) -> Path:
    path = tmp_path / "red.jpg"
    path.write_bytes(photo(RED))
    return path


@pytest.fixture
def green(tmp_path: Path) -> Path:
    path = tmp_path / "green.png"
    path.write_bytes(photo(GREEN, kind="PNG"))
    return path


@pytest.fixture
def client(served: Served) -> Iterator[bentoml.SyncHTTPClient]:
    with bentoml.SyncHTTPClient(served.url) as client:
        yield client


def fast(served: Served, route: str, **content: object) -> object:
    return httpx.post(f"{served.url}/v1/{route}", timeout=30, **content).raise_for_status().json()


def test_client_finds_the_methods_of_photos(client):
    assert set(client.endpoints) == {"predict", "predict_batch"}


@pytest.mark.parametrize("attention", [False, True])
def test_predict_equals_the_fast_route(client, served, red, attention):
    expected = fast(served, "predict", content=red.read_bytes(), params={"attention": attention})
    assert client.predict(image=red, attention=attention) == expected
    assert ("attention" in expected) == attention


def test_predict_batch_equals_the_fast_route(client, served, red, green, tmp_path):
    broken = tmp_path / "words.jpg"
    broken.write_bytes(b"words")
    files = [red, broken, green]
    expected = fast(served, "predict_batch", files=[("image", (path.name, path.read_bytes())) for path in files])
    assert client.predict_batch(images=files) == expected
    assert ["label" in each for each in expected] == [True, False, True]


def test_asynchronous_client_gets_equal_predictions(served, red, green):
    async def scenario() -> list[object]:
        async with bentoml.AsyncHTTPClient(served.url) as client:
            # One after the other: BentoML 1.4.39's client closes the files of all its calls at the end of each.
            return [await client.predict(image=path) for path in (red, green)]

    assert asyncio.run(scenario()) == [fast(served, "predict", content=path.read_bytes()) for path in (red, green)]


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"", 400, "empty"),
        (b"words", 415, "not an image"),
        (photo(RED, 400, 300)[:-400], 422, "damaged"),
        (bytes(300_001), 413, "larger"),
        (bytes(3_000_000), 413, "larger"),
    ],
    ids=["empty", "no-image", "damaged", "too-large", "far-too-large"],
)
def test_rejects_unreadable_photo_with_the_status_of_the_fast_route(client, served, tmp_path, content, status, words):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(BentoMLException, match=words) as rejected:
        client.predict(image=path)
    assert rejected.value.error_code == status
    assert httpx.post(f"{served.url}/predict", content=content).status_code == status


INVALID = [
    ("served", "predict", {"files": {"image": b"no photo"}}, 415),
    ("served", "predict", {"data": {"image": "http://127.0.0.1/"}}, 400),
    ("served", "predict", {"json": {}}, 400),
    ("served_texts", "predict", {"json": {"text": "  "}}, 422),
    ("served_texts", "predict", {"json": {"text": 1}}, 400),
    ("served_texts", "predict_batch", {"json": {"texts": "no list"}}, 400),
]


@pytest.mark.parametrize(("service", "method", "content", "status"), INVALID)
def test_logs_no_rejected_request(request, service, method, content, status):
    served = request.getfixturevalue(service)
    before = len(served.log.read_bytes())
    assert httpx.post(f"{served.url}/api/{method}", **content).status_code == status
    assert served.log.read_bytes()[before:] == b""


def test_rejects_more_photos_than_the_limit(client, red):
    with pytest.raises(BentoMLException, match=f"send 1 to {LIMITS.max_batch}"):
        client.predict_batch(images=[red] * (LIMITS.max_batch + 1))


@pytest.mark.parametrize("kind", ["data", "files"])
def test_does_not_download_an_address_in_place_of_a_photo(served, kind):
    address = f"{served.url}/page/icon.svg"
    content = {"data": {"image": address}} if kind == "data" else {"files": {"image": (None, address)}}
    rejected = httpx.post(f"{served.url}/api/predict", **content)
    assert rejected.status_code == 400
    assert "as a file" in rejected.text


def test_rejects_broken_form(served):
    headers = {"content-type": "multipart/form-data; boundary=b"}
    assert httpx.post(f"{served.url}/api/predict", content=b"--nothing", headers=headers).status_code == 400


def test_texts_equal_the_fast_route(served_texts):
    party, texts = {"text": "party!", "keyword": "no%20fire", "location": "here"}, ["a flood", "  ", "a party"]
    with bentoml.SyncHTTPClient(served_texts.url) as client:
        assert set(client.endpoints) == {"predict", "predict_batch"}
        assert [client.predict(**party)] == fast(served_texts, "predict", json={"texts": [party]})
        expected = fast(served_texts, "predict", json={"texts": texts, "words": False})
        assert client.predict_batch(texts=texts, words=False) == expected
        with pytest.raises(BentoMLException, match="send some words"):
            client.predict(text="   ")


def test_captions_search_and_similarity_equal_the_fast_routes(served_captions, tmp_path):
    path = tmp_path / "red.jpg"
    path.write_bytes(caption_standin.photo("red"))
    sentences = ["a red flower", "a green flower"]
    form = {"files": {"image": path.read_bytes()}, "data": {"sentence": sentences}}
    with bentoml.SyncHTTPClient(served_captions.url) as client:
        assert set(client.endpoints) == {"caption", "search", "similarity"}
        assert client.caption(image=path) == fast(served_captions, "caption", content=path.read_bytes())
        found = fast(served_captions, "search", json={"sentence": sentences[0], "count": 2})
        assert client.search(sentence=sentences[0], count=2) == found
        assert client.similarity(image=path, sentences=sentences) == fast(served_captions, "similarity", **form)
        with pytest.raises(BentoMLException, match="no word"):
            client.search(sentence="!")


def test_client_sends_the_token(guarded, red):
    with bentoml.SyncHTTPClient(guarded, token=TOKEN) as client:
        assert client.predict(image=red)["label"] == "poppy"
    with bentoml.SyncHTTPClient(guarded) as client, pytest.raises(BentoMLException, match="requires a token"):
        client.predict(image=red)


EXTENDED = """
from pathlib import Path

import bentoml
from service import Service as Petals


@bentoml.service(name="garden", workers=1)
class Garden:
    petals = bentoml.depends(Petals)

    @bentoml.api
    async def count(self, images: list[Path]) -> dict[str, int]:
        found = await self.petals.to_async.predict_batch(images=images)
        labels = [each["label"] for each in found]
        return {label: labels.count(label) for label in labels}

    @bentoml.task
    async def later(self, image: Path) -> str:
        return (await self.petals.to_async.predict(image=image))["label"]

    @bentoml.api(batchable=True, max_batch_size=8, max_latency_ms=5000)
    def lengths(self, texts: list[str]) -> list[int]:
        return [len(text) for text in texts]
"""


def finished(url: str, name: str, **content: object) -> str:
    """The result of a task. The synchronous client of BentoML 1.4.39 cannot submit one: it misses an attribute of its own."""
    task = httpx.post(f"{url}/{name}/submit", **content).raise_for_status().json()
    while (state := httpx.get(f"{url}/{name}/status", params=task).raise_for_status().json()["status"]) == "in_progress":
        time.sleep(0.05)
    assert state == "completed"
    return httpx.get(f"{url}/{name}/get", params=task).text


@pytest.mark.slow
def test_another_service_depends_on_it_with_tasks_and_batches(served, red, green, tmp_path):
    [source] = (served.home / "bentos/petals").glob("*/src")
    folder = shutil.copytree(source, tmp_path / "src")
    (folder / "garden.py").write_text(EXTENDED)
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", *VARIABLES)}
    home = {"BENTOML_HOME": str(tmp_path / "home"), "BENTOML_DO_NOT_TRACK": "True"}
    command = [sys.executable, "-m", "bentoml", "serve", "garden:Garden", "--working-dir", str(folder)]
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(listening(command, environment | home, tmp_path))
        client = stack.enter_context(bentoml.SyncHTTPClient(url))
        assert client.count(images=[red, green, red]) == {"poppy": 2, "fern": 1}
        assert finished(url, "later", files={"image": ("green.png", green.read_bytes())}) == "fern"
        assert client.lengths(texts=["a", "flower"]) == [1, 6]


@pytest.mark.parametrize(
    ("field", "name", "status"), [("image", "a" * 2000, 200), ("image", "../../etc/x", 200), ("picture", "photo.jpg", 400)]
)
def test_ignores_names_of_files_and_rejects_other_files(served, field, name, status):
    files = {"image": ("red.jpg", photo(RED))} | {field: (name, photo(RED))}
    response = httpx.post(f"{served.url}/api/predict", files=files)
    assert response.status_code == status, response.text
