"""The service for photos and sentences, as BentoML serves it: responses and rejections."""

from __future__ import annotations

import json
import shutil

import httpx
import numpy as np
import onnx
import pytest

from bitbloom.core.digests import digest, file_digest
from bitbloom.core.errors import BitBloomError, UnreadableImage
from bitbloom.serving import model_files
from bitbloom.serving.caption_app import CaptionApplication
from bitbloom.serving.caption_predictor import CaptionPredictor
from bitbloom.serving.files import predict_files
from support.caption_standin import COLOURS, LIMITS, PHOTOS, expected_score, photo, write_model, write_service
from support.standin import write_model as write_classifier


@pytest.fixture(scope="module")
def predictor(caption_model):
    return CaptionPredictor.open(caption_model)


@pytest.fixture
def client(served_captions):
    with httpx.Client(base_url=served_captions.url, timeout=30) as client:
        yield client


def form(*photos: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("image", (f"{number}.jpg", data)) for number, data in enumerate(photos)]


def rejection(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    assert list(response.json()) == ["error"]
    return str(response.json()["error"])


@pytest.mark.parametrize("colour", COLOURS)
def test_captions_photo_best_first_with_scores(client, colour):
    response = client.post("/caption", files=form(photo(colour, kind="PNG"))).json()
    assert list(response) == ["sentences", "model_digest"]
    assert [one["sentence"] for one in response["sentences"][:2]] == [f"a {colour} flower", f"the {colour} flower"]
    scores = [one["score"] for one in response["sentences"]]
    assert scores == sorted(scores, reverse=True)
    assert scores[:2] == pytest.approx([expected_score(colour, word, colour) for word in ("a", "the")], abs=1e-5)
    assert len(scores) == 4


def test_scores_each_sentence_as_if_alone(predictor):
    response = predictor.caption(photo("green", kind="PNG"))
    for one in response["sentences"]:
        first, colour, _ = one["sentence"].split()
        assert one["score"] == pytest.approx(expected_score("green", first, colour), abs=1e-5)


def test_beam_of_one_gives_one_sentence(predictor):
    assert [one["sentence"] for one in predictor.caption(photo("blue"), width=1)["sentences"]] == ["a blue flower"]


def test_captions_photo_in_body_as_in_form(client):
    in_form, in_body = client.post("/caption", files=form(photo("red"))), client.post("/caption", content=photo("red"))
    assert in_form.json() == in_body.json()


def test_search_finds_the_most_similar_photos(client):
    response = client.post("/search", json={"sentence": "A RED flower!", "count": 3}).json()
    assert list(response) == ["photos", "model_digest"]
    assert [found["id"] for found in response["photos"]] == ["scarlet.jpg", "poppy.jpg", "leaf.jpg"]
    scores = [found["score"] for found in response["photos"]]
    assert scores[0] == scores[1] > 0.999 > 0.3 > scores[2]
    assert response["photos"][0]["captions"] == ["A red flower."]


def test_serves_thumbnail_of_a_found_photo(client, caption_model):
    found = client.post("/search", json={"sentence": "blue", "count": 1}).json()["photos"][0]
    thumbnail = client.get(found["thumbnail"])
    at = [name for name, _ in PHOTOS].index(found["id"])
    assert thumbnail.headers["content-type"] == "image/jpeg"
    assert thumbnail.content == (caption_model / f"index/photos/{at:05}.jpg").read_bytes()


def test_search_finds_at_most_the_whole_index(client):
    assert len(client.post("/search", json={"sentence": "blue"}).json()["photos"]) == len(PHOTOS)


def test_compares_photo_with_sentences_in_order(client):
    sentences = ["a blue flower", "a red flower", "green and blue"]
    response = client.post("/similarity", files=form(photo("blue", kind="PNG")), data={"sentence": sentences}).json()
    assert [one["sentence"] for one in response["sentences"]] == sentences
    blue, red = (np.array(COLOURS[name]) / np.linalg.norm(COLOURS[name]) for name in ("blue", "red"))
    assert [one["similarity"] for one in response["sentences"][:2]] == pytest.approx([1.0, blue @ red], abs=0.01)


def test_similarity_equals_the_score_of_the_search(client):
    found = client.post("/search", json={"sentence": "red", "count": 1}).json()["photos"][0]
    thumbnail = client.get(found["thumbnail"]).content
    compared = client.post("/similarity", files=form(thumbnail), data={"sentence": ["red"]}).json()["sentences"][0]
    assert compared["similarity"] == pytest.approx(found["score"], abs=0.01)


def test_every_response_has_the_digest_of_graphs_and_index(client, caption_model):
    known = digest(caption_model)  # it contains no other files
    responses = [
        client.post("/caption", content=photo("red")),
        client.post("/search", json={"sentence": "red"}),
        client.post("/similarity", files=form(photo("red")), data={"sentence": ["red"]}),
    ]
    assert [response.json()["model_digest"] for response in responses] == [known] * 3
    assert client.get("/provenance").json()["digests"]["model"] == known


@pytest.mark.parametrize("route", ["/caption", "/similarity"])
@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"", 400, "empty: choose a photo"),
        (b"these are words", 415, "not an image"),
        (photo("red", 400, 300)[:-400], 422, "truncated or damaged"),
        (photo("red", 1200, 1200, "PNG"), 422, "1200 × 1200 pixels"),
        (photo("red") + bytes(LIMITS.max_bytes), 413, "larger than the limit of 300,000 bytes"),
    ],
    ids=["empty", "not-an-image", "truncated", "bomb", "too-big"],
)
def test_rejects_unreadable_photo_with_a_remedy(client, route, data, status, words):
    response = client.post(route, files=form(data), data={"sentence": ["red"]} if route == "/similarity" else None)
    assert words in rejection(response, status)


def test_rejects_several_photos(client):
    for route in ("/caption", "/similarity"):
        assert "one photo at a time" in rejection(client.post(route, files=form(photo("red"), photo("blue"))), 400)


def test_rejects_form_without_the_photo_and_names_its_field(client):
    response = client.post("/similarity", files={"picture": photo("red")}, data={"sentence": ["red"]})
    assert "'image'" in rejection(response, 400)


REJECTED_SENTENCES = {
    "none": ([], 400, "no field 'sentence'"),
    "too many": (["red"] * 4, 422, "4 sentences are more than 3"),
    "far too many": (["red"] * 1500, 400, "Too many fields"),
    "too long": (["r" * 501], 422, "more than 500 characters"),
    "empty": (["red", " "], 422, "no word"),
    "much text": (["r" * 400_000], 413, "send less"),
}


@pytest.mark.parametrize(("sentences", "status", "words"), REJECTED_SENTENCES.values(), ids=REJECTED_SENTENCES)
def test_rejects_invalid_sentences_with_a_message(client, sentences, status, words):
    response = client.post("/similarity", files=form(photo("red")), data={"sentence": sentences})
    assert words in rejection(response, status)


def test_rejects_comparison_outside_a_form(client):
    assert "multipart/form-data" in rejection(client.post("/similarity", content=photo("red")), 415)


REJECTED_SEARCHES = {
    "empty": ({"sentence": ""}, "no word"),
    "nothing is left after cleaning": ({"sentence": " \n "}, "no word"),
    "no word": ({"sentence": "?!"}, "no word"),
    "too long": ({"sentence": "r" * 501}, "sentence: "),
    "too many": ({"sentence": "red", "count": 101}, "count: "),
    "none requested": ({"sentence": "red", "count": 0}, "count: "),
    "another form": ({"text": "red"}, "sentence: field required"),
    "a number": ({"sentence": 7}, "sentence: "),
}


@pytest.mark.parametrize(("body", "words"), REJECTED_SEARCHES.values(), ids=REJECTED_SEARCHES)
def test_rejects_invalid_search_with_a_message(client, body, words):
    assert words in rejection(client.post("/search", json=body), 422)


def test_rejects_search_that_is_not_json(client):
    response = client.post("/search", content=b"{sentence:", headers={"Content-Type": "application/json"})
    assert "not JSON" in rejection(response, 400)


@pytest.mark.parametrize("name", ["99999.jpg", "%2e%2e/photos.json", "%2e%2e/%2e%2e/service.py"])
def test_serves_only_thumbnails_from_the_index(client, name):
    assert rejection(client.get(f"/photos/{name}"), 404)


def test_describes_its_routes(client):
    paths = client.get("/docs.json").json()["paths"]
    assert {"/caption", "/search", "/similarity", "/provenance", "/readyz"} <= set(paths)
    assert set(paths["/caption"]["post"]["requestBody"]["content"]) == {"multipart/form-data", "image/*"}
    form = paths["/similarity"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["image", "sentence"]
    for route, codes in {"/caption": {"400", "413", "415"}, "/similarity": {"400", "413", "415"}, "/search": {"400"}}.items():
        assert codes | {"200", "422"} <= set(paths[route]["post"]["responses"])


def test_serves_the_page_and_its_files_which_load_nothing_from_other_hosts(client):
    page = client.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for part in ("style.css", "captions.css", "common.js", "photo.js", "page.js", "picture.svg"):
        assert f"page/{part}" in page.text
        assert client.get(f"/page/{part}").status_code == 200


def test_bento_contains_the_model_and_no_training_code(served_captions, caption_model):
    [source] = (served_captions.home / "bentos/captions").glob("*/src")
    included = {name: file_digest(source / name) for name in model_files.files(caption_model)}
    assert included == {name: file_digest(path) for name, path in model_files.files(caption_model).items()}
    modules = {path.relative_to(source).as_posix() for path in source.rglob("*.py")}
    assert "bitbloom/models/decoding.py" in modules
    assert not any("training" in name or "stages" in name or "samples" in name or "dataset" in name for name in modules)


def test_local_predictions_equal_those_of_the_service(client, caption_model, tmp_path):
    file = tmp_path / "green.jpg"
    file.write_bytes(photo("green"))
    assert list(predict_files(caption_model, [file])) == [
        {"path": str(file), **client.post("/caption", content=photo("green")).json()}
    ]


def test_captions_do_not_depend_on_earlier_requests(predictor):
    alone = predictor.caption(photo("red"))
    others = [predictor.caption(photo(colour)) for colour in COLOURS]
    assert others[0] == alone == predictor.caption(photo("red"))


def copied(model, tmp_path):
    return shutil.copytree(model, tmp_path / "copy")


def test_rejects_model_of_another_digest(caption_model):
    with pytest.raises(BitBloomError, match="not 0000"):
        CaptionPredictor.open(caption_model, "0" * 64)


def test_digest_ignores_other_files_in_the_folder(caption_model, tmp_path):
    folder = copied(caption_model, tmp_path)
    (folder / "training.json").write_text("{}")
    assert CaptionPredictor.open(folder).digest == model_files.digest(model_files.files(caption_model))


@pytest.mark.parametrize("name", ["image.onnx", "text.onnx", "decoder.onnx", "index/photos.json", "index/photos/00001.jpg"])
def test_digest_covers_every_file_of_the_model(caption_model, tmp_path, name):
    folder = copied(caption_model, tmp_path)
    with (folder / name).open("ab") as stream:
        stream.write(b" ")
    with pytest.raises(BitBloomError, match="has the digest"):
        CaptionPredictor.open(folder, model_files.digest(model_files.files(caption_model)))


@pytest.mark.parametrize("name", ["text.onnx", "decoder.onnx", "index/embeddings.npy", "index/photos.json"])
def test_missing_file_error_names_the_file(caption_model, tmp_path, name):
    folder = copied(caption_model, tmp_path)
    (folder / name).unlink()
    with pytest.raises(BitBloomError, match=rf"{name} is missing: .*make export"):
        CaptionPredictor.open(folder)


def test_rejects_index_with_parts_of_different_lengths(caption_model, tmp_path):
    folder = copied(caption_model, tmp_path)
    (folder / "index/photos/00004.jpg").unlink()
    with pytest.raises(BitBloomError, match="5 embeddings, 5 photos and 4 thumbnails: export it again"):
        CaptionPredictor.open(folder)


@pytest.mark.parametrize("name", ["image.onnx", "text.onnx", "decoder.onnx"])
def test_rejects_graph_without_metadata(caption_model, tmp_path, name):
    folder = copied(caption_model, tmp_path)
    bare = onnx.load(folder / name)
    del bare.metadata_props[:]
    onnx.save(bare, folder / name)
    with pytest.raises(BitBloomError, match="lacks the metadata"):
        CaptionPredictor.open(folder)


def test_rejects_vocabulary_of_another_order(caption_model, tmp_path):
    folder = copied(caption_model, tmp_path)
    other = onnx.load(folder / "decoder.onnx")
    onnx.helper.set_model_props(other, {"vocabulary": json.dumps(["a", "<pad>", "<start>", "<end>", "<unknown>"])})
    onnx.save(other, folder / "decoder.onnx")
    with pytest.raises(BitBloomError, match="does not begin with"):
        CaptionPredictor.open(folder)


def test_rejects_photo_over_the_limit_of_pixels(caption_model):
    with pytest.raises(UnreadableImage, match="limit of 100 pixels"):
        CaptionPredictor.open(caption_model, max_pixels=100).caption(photo("red"))


def test_service_with_a_changed_index_does_not_start(tmp_path):
    context = write_service(tmp_path, write_model(tmp_path / "model"))
    (context / "index/photos/00000.jpg").write_bytes(photo("blue"))
    with pytest.raises(BitBloomError, match="has the digest"):
        CaptionApplication(context).open()


def test_digest_of_a_classifier_is_that_of_its_graph(tmp_path):
    graph = write_classifier(tmp_path / "model.onnx")
    (tmp_path / "training.json").write_text("{}")
    assert model_files.files(tmp_path) == {"model.onnx": graph}
    assert model_files.digest(model_files.files(tmp_path)) == file_digest(graph)
