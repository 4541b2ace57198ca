"""The packaged service, started by BentoML: its routes, predictions and rejections."""

from __future__ import annotations

import shutil

import httpx
import pytest

from bitbloom.core.digests import file_digest
from bitbloom.serving.files import predict_files
from support.standin import COLOURS, LIMITS, StartError, photo, serving

RED = (210, 40, 40)
KEYS = {"label", "probability", "top5", "model_digest"}


@pytest.fixture
def client(served):
    with httpx.Client(base_url=served.url, timeout=30) as client:
        yield client


def form(*photos: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("image", (f"{number}.jpg", data)) for number, data in enumerate(photos)]


def rejection(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    return str(response.json()["error"])


def test_labels_photo_in_form_with_five_classes_and_model_digest(client, served):
    response = client.post("/predict", files=form(photo(RED)))
    assert response.status_code == 200
    prediction = response.json()
    assert set(prediction) == KEYS
    assert prediction["label"] == prediction["top5"][0]["label"] == "poppy"
    assert prediction["probability"] == prediction["top5"][0]["probability"] > 0.9
    assert len(prediction["top5"]) == 5
    assert prediction["model_digest"] == file_digest(served.model)


def test_labels_photo_in_body_as_in_form(client):
    assert client.post("/predict", content=photo(RED)).json() == client.post("/predict", files=form(photo(RED))).json()


def test_photo_has_the_same_bits_alone_and_in_a_batch(client):
    photos = [photo(colour) for colour in list(COLOURS.values())[: LIMITS.max_batch]]
    alone = [client.post("/predict", content=data).json() for data in photos]
    assert client.post("/predict_batch", files=form(*photos)).json() == alone
    assert [prediction["label"] for prediction in alone] == list(COLOURS)[: LIMITS.max_batch]


def test_local_predictions_equal_those_of_the_service(client, served, tmp_path):
    path = tmp_path / "red.png"
    path.write_bytes(photo(RED, kind="PNG"))
    (line,) = predict_files(served.model.parent, [path])
    assert line == {"path": str(path), **client.post("/predict", content=path.read_bytes()).json()}


def test_batch_has_an_error_in_place_of_an_unreadable_photo(client):
    response = client.post("/predict_batch", files=form(b"words", photo(RED), b"", photo(RED) + bytes(LIMITS.max_bytes)))
    assert response.status_code == 200
    words, red, empty, big = response.json()
    assert "not an image" in words["error"]
    assert red["label"] == "poppy"
    assert "empty" in empty["error"]
    assert "limit" in big["error"]


def test_rejects_batch_without_readable_photo_with_each_error(client):
    response = client.post("/predict_batch", files=form(b"words", b"more words"))
    assert "none of the 2 photos" in rejection(response, 422)
    assert len(response.json()["results"]) == 2


def test_rejects_batch_over_the_limit_of_photos(client):
    assert "at most 4" in rejection(client.post("/predict_batch", files=form(*[photo(RED)] * 5)), 400)


def test_rejects_batch_over_the_limit_of_bytes(client):
    assert "send fewer" in rejection(client.post("/predict_batch", files=form(*[bytes(400_000)] * 4)), 413)


def test_rejects_batch_outside_a_form(client):
    assert "multipart/form-data" in rejection(client.post("/predict_batch", content=photo(RED)), 415)


@pytest.mark.parametrize("in_form", [True, False])
@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"", 400, "empty: choose a photo"),
        (b"these are words", 415, "not an image"),
        (photo(RED, 400, 300)[:-400], 422, "truncated or damaged"),
        (photo(RED, 1200, 1200, "PNG"), 422, "1200 × 1200 pixels"),
        (photo(RED) + bytes(LIMITS.max_bytes), 413, "larger than the limit of 300,000 bytes"),
        (bytes(20_000_000), 413, "larger than the limit of 300,000 bytes"),
    ],
    ids=["empty", "not-an-image", "truncated", "bomb", "a-little-too-big", "far-too-big"],
)
def test_rejects_unreadable_photo_with_a_remedy(client, data, status, words, in_form):
    response = client.post("/predict", files=form(data)) if in_form else client.post("/predict", content=data)
    assert words in rejection(response, status)


def test_rejects_body_of_unknown_length_while_reading(client):
    def endless():
        for _ in range(1000):
            yield bytes(65_536)

    assert "larger than the limit" in rejection(client.post("/predict", content=endless()), 413)


def test_rejects_form_without_the_field_image_and_names_it(client):
    assert "'image'" in rejection(client.post("/predict", files={"picture": photo(RED)}), 400)


def test_rejects_form_with_two_photos_and_names_the_route_for_many(client):
    assert "/predict_batch" in rejection(client.post("/predict", files=form(photo(RED), photo(RED))), 400)


def test_rejects_broken_form(client):
    headers = {"content-type": "multipart/form-data"}
    assert rejection(client.post("/predict", content=b"--nothing", headers=headers), 400)


def test_rejects_wrong_method_in_json(client):
    assert "Method Not Allowed" in rejection(client.get("/predict"), 405)


def test_predicts_after_rejections(client):
    for data in (b"", b"words", bytes(1_000_000)):
        client.post("/predict", content=data)
    assert client.post("/predict", content=photo(RED)).status_code == 200


def test_provenance_has_all_digests_and_the_command_to_rebuild(client, served):
    provenance = client.get("/provenance").json()
    assert provenance["digests"] == {
        "data": "d" * 64,
        "lock": file_digest(served.workspace / "requirements.lock"),
        "model": file_digest(served.model),
        "bento": served.report["digest"],
    }
    assert provenance["bento"] == f"petals:{served.report['version']}"
    assert provenance["commit"] is None
    assert provenance["rebuild"] == "make verify TARGET=petals"


@pytest.mark.parametrize("route", ["/readyz", "/livez", "/metrics"])
def test_serves_the_routes_of_bentoml(client, route):
    assert client.get(route).status_code == 200


def test_docs_list_the_routes_and_the_version(client, served):
    docs = client.get("/docs.json").json()
    assert {"/predict", "/predict_batch", "/provenance", "/readyz"} <= set(docs["paths"])
    assert set(docs["paths"]["/predict"]["post"]["requestBody"]["content"]) == {"multipart/form-data", "image/*"}
    assert docs["info"]["version"] == served.report["version"]


def test_metrics_count_requests(client):
    client.post("/predict", content=photo(RED))
    assert 'endpoint="/predict"' in client.get("/metrics").text


def test_page_loads_nothing_from_other_hosts(client):
    response = client.get("/")
    assert response.status_code == 200
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "//" not in response.text.replace("<!--", "")


def test_does_not_serve_its_source(client):
    assert client.get("/page/%2e%2e/service.py").status_code == 404


def test_bento_contains_its_modules(served):
    installed = served.home / "bentos" / "petals" / str(served.report["version"]) / "src" / "bitbloom"
    assert (installed / "serving" / "image_app.py").is_file()
    assert not (installed / "stages").exists()
    assert not (installed / "config.py").exists()


def test_reports_another_digest_after_a_change_of_an_installed_file(served, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(served.home / "bentos", home / "bentos")
    version = served.report["version"]
    with (home / "bentos" / "petals" / str(version) / "src" / "page" / "style.css").open("a") as stream:
        stream.write("/* changed */")
    with serving("petals:latest", home, tmp_path, BITBLOOM_COMMIT="0123456789abcdef") as url:
        provenance = httpx.get(f"{url}/provenance").json()
    assert provenance["digests"]["bento"] != served.report["digest"]
    assert provenance["rebuild"] == "git checkout 0123456789abcdef && make verify TARGET=petals"


@pytest.mark.slow
def test_exits_with_the_reason_when_the_model_differs_from_its_provenance(served, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(served.home / "bentos", home / "bentos")
    model = next(home.rglob("model.onnx"))
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    with pytest.raises(StartError) as raised, serving("petals:latest", home, tmp_path):
        pass
    assert raised.value.code == 1
    assert f"has the digest {file_digest(model)}, not {file_digest(served.model)}" in raised.value.log
    assert "Traceback" not in raised.value.log
