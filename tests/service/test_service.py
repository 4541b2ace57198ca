"""The packaged service, started by BentoML: its routes, its answers and its refusals."""

from __future__ import annotations

import shutil

import httpx
import pytest

from bitbloom.core.digests import file_digest
from bitbloom.serving.files import predict_files
from support.standin import COLOURS, LIMITS, NeverReady, photo, serving

RED = (210, 40, 40)
KEYS = {"label", "probability", "top5", "model_digest"}


@pytest.fixture
def client(served):
    with httpx.Client(base_url=served.url, timeout=30) as client:
        yield client


def form(*photos: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("image", (f"{number}.jpg", data)) for number, data in enumerate(photos)]


def refusal(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    return str(response.json()["error"])


def test_a_photo_in_a_form_gets_a_label_five_choices_and_the_model_digest(client, served):
    response = client.post("/predict", files=form(photo(RED)))
    assert response.status_code == 200
    answer = response.json()
    assert set(answer) == KEYS
    assert answer["label"] == answer["top5"][0]["label"] == "poppy"
    assert answer["probability"] == answer["top5"][0]["probability"] > 0.9
    assert len(answer["top5"]) == 5
    assert answer["model_digest"] == file_digest(served.model)


def test_a_photo_as_the_body_gets_the_same_answer_as_in_a_form(client):
    assert client.post("/predict", content=photo(RED)).json() == client.post("/predict", files=form(photo(RED))).json()


def test_a_photo_gets_the_same_bits_alone_and_in_a_batch(client):
    photos = [photo(colour) for colour in list(COLOURS.values())[: LIMITS.max_batch]]
    alone = [client.post("/predict", content=data).json() for data in photos]
    assert client.post("/predict_batch", files=form(*photos)).json() == alone
    assert [answer["label"] for answer in alone] == list(COLOURS)[: LIMITS.max_batch]


def test_predictions_for_files_are_those_of_the_service(client, served, tmp_path):
    path = tmp_path / "red.png"
    path.write_bytes(photo(RED, kind="PNG"))
    (line,) = predict_files(served.model.parent, [path])
    assert line == {"path": str(path), **client.post("/predict", content=path.read_bytes()).json()}


def test_a_batch_has_an_error_in_the_place_of_a_photo_that_cannot_be_read(client):
    response = client.post("/predict_batch", files=form(b"words", photo(RED), b"", photo(RED) + bytes(LIMITS.max_bytes)))
    assert response.status_code == 200
    words, red, empty, big = response.json()
    assert "not an image" in words["error"]
    assert red["label"] == "poppy"
    assert "empty" in empty["error"]
    assert "limit" in big["error"]


def test_a_batch_without_one_readable_photo_is_refused_with_each_error(client):
    response = client.post("/predict_batch", files=form(b"words", b"more words"))
    assert "none of the 2 photos" in refusal(response, 422)
    assert len(response.json()["results"]) == 2


def test_a_batch_of_more_photos_than_the_limit_is_refused(client):
    assert "at most 4" in refusal(client.post("/predict_batch", files=form(*[photo(RED)] * 5)), 400)


def test_a_batch_that_is_too_big_as_a_whole_is_refused(client):
    assert "send fewer" in refusal(client.post("/predict_batch", files=form(*[bytes(400_000)] * 4)), 413)


def test_a_batch_that_is_no_form_is_refused(client):
    assert "multipart/form-data" in refusal(client.post("/predict_batch", content=photo(RED)), 415)


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
def test_what_is_no_answerable_photo_is_refused_with_what_to_do(client, data, status, words, in_form):
    response = client.post("/predict", files=form(data)) if in_form else client.post("/predict", content=data)
    assert words in refusal(response, status)


def test_a_body_of_unknown_length_is_refused_while_it_is_read(client):
    def endless():
        for _ in range(1000):
            yield bytes(65_536)

    assert "larger than the limit" in refusal(client.post("/predict", content=endless()), 413)


def test_a_form_without_the_field_image_is_refused_by_its_name(client):
    assert "'image'" in refusal(client.post("/predict", files={"picture": photo(RED)}), 400)


def test_a_form_with_two_photos_is_refused_with_the_route_for_many(client):
    assert "/predict_batch" in refusal(client.post("/predict", files=form(photo(RED), photo(RED))), 400)


def test_a_broken_form_is_refused(client):
    headers = {"content-type": "multipart/form-data"}
    assert refusal(client.post("/predict", content=b"--nothing", headers=headers), 400)


def test_the_wrong_method_is_answered_in_json(client):
    assert "Method Not Allowed" in refusal(client.get("/predict"), 405)


def test_the_service_still_answers_after_all_refusals(client):
    for data in (b"", b"words", bytes(1_000_000)):
        client.post("/predict", content=data)
    assert client.post("/predict", content=photo(RED)).status_code == 200


def test_provenance_gives_the_digests_of_data_lock_model_and_bento_and_how_to_rebuild(client, served):
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
def test_the_routes_of_bentoml_answer(client, route):
    assert client.get(route).status_code == 200


def test_docs_list_the_routes_of_the_service_and_its_version(client, served):
    docs = client.get("/docs.json").json()
    assert {"/predict", "/predict_batch", "/provenance", "/readyz"} <= set(docs["paths"])
    assert set(docs["paths"]["/predict"]["post"]["requestBody"]["content"]) == {"multipart/form-data", "image/*"}
    assert docs["info"]["version"] == served.report["version"]


def test_metrics_count_the_requests_of_our_routes(client):
    client.post("/predict", content=photo(RED))
    assert 'endpoint="/predict"' in client.get("/metrics").text


def test_the_page_may_load_nothing_from_elsewhere(client):
    response = client.get("/")
    assert response.status_code == 200
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "//" not in response.text.replace("<!--", "")


def test_the_source_of_the_service_is_not_served(client):
    assert client.get("/page/%2e%2e/service.py").status_code == 404


def test_the_bento_brings_its_own_modules(served):
    installed = served.home / "bentos" / "petals" / str(served.report["version"]) / "src" / "bitbloom"
    assert (installed / "serving" / "image_app.py").is_file()
    assert not (installed / "stages").exists()
    assert not (installed / "config.py").exists()


def test_a_changed_file_in_an_installed_bento_changes_the_digest_it_reports(served, tmp_path):
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
def test_a_service_with_another_model_than_its_provenance_names_ends_with_the_reason(served, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(served.home / "bentos", home / "bentos")
    model = next(home.rglob("model.onnx"))
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    with pytest.raises(NeverReady) as refused, serving("petals:latest", home, tmp_path):
        pass
    assert refused.value.code == 1
    assert f"has the digest {file_digest(model)}, not {file_digest(served.model)}" in refused.value.log
    assert "Traceback" not in refused.value.log
