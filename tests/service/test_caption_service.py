"""The service for photos and sentences, as BentoML serves it: answers and refusals."""

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
from support.caption_standin import COLOURS, LIMITS, PHOTOS, photo, sure, write_model, write_service
from support.standin import write_model as write_classifier


@pytest.fixture(scope="module")
def predictor(caption_model):
    return CaptionPredictor.open(caption_model)


@pytest.fixture
def client(served_captions):
    with httpx.Client(base_url=served_captions.url, timeout=30) as client:
        yield client


def picture(*photos: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("image", (f"{number}.jpg", data)) for number, data in enumerate(photos)]


def refusal(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    assert list(response.json()) == ["error"]
    return str(response.json()["error"])


@pytest.mark.parametrize("colour", COLOURS)
def test_a_photo_gets_its_sentences_best_first_with_their_scores(client, colour):
    answer = client.post("/caption", files=picture(photo(colour, kind="PNG"))).json()
    assert list(answer) == ["sentences", "model_digest"]
    assert [one["sentence"] for one in answer["sentences"][:2]] == [f"a {colour} flower", f"the {colour} flower"]
    scores = [one["score"] for one in answer["sentences"]]
    assert scores == sorted(scores, reverse=True)
    assert scores[:2] == pytest.approx([sure(colour, "a", colour), sure(colour, "the", colour)], abs=1e-5)
    assert len(scores) == 4


def test_every_sentence_is_scored_as_if_it_was_read_alone(predictor):
    answer = predictor.caption(photo("green", kind="PNG"))
    for one in answer["sentences"]:
        first, colour, _ = one["sentence"].split()
        assert one["score"] == pytest.approx(sure("green", first, colour), abs=1e-5)


def test_a_beam_of_one_writes_one_sentence(predictor):
    assert [one["sentence"] for one in predictor.caption(photo("blue"), width=1)["sentences"]] == ["a blue flower"]


def test_a_photo_as_the_body_gets_the_same_answer_as_in_a_form(client):
    in_form, in_body = client.post("/caption", files=picture(photo("red"))), client.post("/caption", content=photo("red"))
    assert in_form.json() == in_body.json()


def test_a_sentence_finds_the_photos_that_fit_it_best(client):
    answer = client.post("/search", json={"sentence": "A RED flower!", "count": 3}).json()
    assert list(answer) == ["photos", "model_digest"]
    assert [found["id"] for found in answer["photos"]] == ["scarlet.jpg", "poppy.jpg", "leaf.jpg"]
    scores = [found["score"] for found in answer["photos"]]
    assert scores[0] == scores[1] > 0.999 > 0.3 > scores[2]
    assert answer["photos"][0]["captions"] == ["A red flower."]


def test_a_found_photo_has_its_thumbnail_at_the_address_it_names(client, caption_model):
    found = client.post("/search", json={"sentence": "blue", "count": 1}).json()["photos"][0]
    thumbnail = client.get(found["thumbnail"])
    at = [name for name, _ in PHOTOS].index(found["id"])
    assert thumbnail.headers["content-type"] == "image/jpeg"
    assert thumbnail.content == (caption_model / f"index/photos/{at:05}.jpg").read_bytes()


def test_no_more_photos_are_found_than_there_are(client):
    assert len(client.post("/search", json={"sentence": "blue"}).json()["photos"]) == len(PHOTOS)


def test_a_photo_is_compared_with_sentences_in_their_order(client):
    sentences = ["a blue flower", "a red flower", "green and blue"]
    answer = client.post("/similarity", files=picture(photo("blue", kind="PNG")), data={"sentence": sentences}).json()
    assert [one["sentence"] for one in answer["sentences"]] == sentences
    blue, red = (np.array(COLOURS[name]) / np.linalg.norm(COLOURS[name]) for name in ("blue", "red"))
    assert [one["similarity"] for one in answer["sentences"][:2]] == pytest.approx([1.0, blue @ red], abs=0.01)


def test_what_is_similar_is_what_is_found(client):
    found = client.post("/search", json={"sentence": "red", "count": 1}).json()["photos"][0]
    thumbnail = client.get(found["thumbnail"]).content
    compared = client.post("/similarity", files=picture(thumbnail), data={"sentence": ["red"]}).json()["sentences"][0]
    assert compared["similarity"] == pytest.approx(found["score"], abs=0.01)


def test_every_answer_names_the_model_by_its_graphs_and_its_index(client, caption_model):
    known = digest(caption_model)  # the folder holds nothing else
    answers = [
        client.post("/caption", content=photo("red")),
        client.post("/search", json={"sentence": "red"}),
        client.post("/similarity", files=picture(photo("red")), data={"sentence": ["red"]}),
    ]
    assert [answer.json()["model_digest"] for answer in answers] == [known] * 3
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
def test_what_is_no_answerable_photo_is_refused_with_what_to_do(client, route, data, status, words):
    response = client.post(route, files=picture(data), data={"sentence": ["red"]} if route == "/similarity" else None)
    assert words in refusal(response, status)


def test_several_photos_are_refused(client):
    for route in ("/caption", "/similarity"):
        assert "one photo at a time" in refusal(client.post(route, files=picture(photo("red"), photo("blue"))), 400)


def test_a_photo_that_is_no_file_of_the_form_is_refused_by_the_fields_name(client):
    response = client.post("/similarity", files={"picture": photo("red")}, data={"sentence": ["red"]})
    assert "'image'" in refusal(response, 400)


REFUSED_SENTENCES = {
    "none": ([], 400, "no field 'sentence'"),
    "too many": (["red"] * 4, 422, "4 sentences are more than 3"),
    "far too many": (["red"] * 1500, 400, "Too many fields"),
    "too long": (["r" * 501], 422, "more than 500 characters"),
    "empty": (["red", " "], 422, "no word"),
    "much text": (["r" * 400_000], 413, "send less"),
}


@pytest.mark.parametrize(("sentences", "status", "words"), REFUSED_SENTENCES.values(), ids=REFUSED_SENTENCES)
def test_sentences_that_cannot_be_compared_are_refused_in_words(client, sentences, status, words):
    response = client.post("/similarity", files=picture(photo("red")), data={"sentence": sentences})
    assert words in refusal(response, status)


def test_a_comparison_that_is_no_form_is_refused(client):
    assert "multipart/form-data" in refusal(client.post("/similarity", content=photo("red")), 415)


REFUSED_WISHES = {
    "empty": ({"sentence": ""}, "no word"),
    "nothing is left after cleaning": ({"sentence": " \n "}, "no word"),
    "no word": ({"sentence": "?!"}, "no word"),
    "too long": ({"sentence": "r" * 501}, "sentence: "),
    "too many": ({"sentence": "red", "count": 101}, "count: "),
    "none wanted": ({"sentence": "red", "count": 0}, "count: "),
    "another form": ({"text": "red"}, "sentence: field required"),
    "a number": ({"sentence": 7}, "sentence: "),
}


@pytest.mark.parametrize(("body", "words"), REFUSED_WISHES.values(), ids=REFUSED_WISHES)
def test_a_wish_that_cannot_be_searched_for_is_refused_in_words(client, body, words):
    assert words in refusal(client.post("/search", json=body), 422)


def test_a_wish_that_is_no_json_is_refused(client):
    response = client.post("/search", content=b"{sentence:", headers={"Content-Type": "application/json"})
    assert "not JSON" in refusal(response, 400)


@pytest.mark.parametrize("name", ["99999.jpg", "%2e%2e/photos.json", "%2e%2e/%2e%2e/service.py"])
def test_nothing_but_thumbnails_is_served_from_the_index(client, name):
    assert refusal(client.get(f"/photos/{name}"), 404)


def test_the_interface_is_described(client):
    paths = client.get("/docs.json").json()["paths"]
    assert {"/caption", "/search", "/similarity", "/provenance", "/readyz"} <= set(paths)
    assert set(paths["/caption"]["post"]["requestBody"]["content"]) == {"multipart/form-data", "image/*"}
    form = paths["/similarity"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["image", "sentence"]
    for route, codes in {"/caption": {"400", "413", "415"}, "/similarity": {"400", "413", "415"}, "/search": {"400"}}.items():
        assert codes | {"200", "422"} <= set(paths[route]["post"]["responses"])


def test_the_page_and_its_parts_are_served_and_nothing_comes_from_elsewhere(client):
    page = client.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for part in ("style.css", "captions.css", "common.js", "photo.js", "page.js", "picture.svg"):
        assert f"page/{part}" in page.text
        assert client.get(f"/page/{part}").status_code == 200


def test_the_bento_holds_the_model_and_no_torch_and_no_training_code(served_captions, caption_model):
    [source] = (served_captions.home / "bentos/captions").glob("*/src")
    brought = {name: file_digest(source / name) for name in model_files.files(caption_model)}
    assert brought == {name: file_digest(path) for name, path in model_files.files(caption_model).items()}
    modules = {path.relative_to(source).as_posix() for path in source.rglob("*.py")}
    assert "bitbloom/models/decoding.py" in modules
    assert not any("training" in name or "stages" in name or "samples" in name or "dataset" in name for name in modules)


def test_predict_and_the_service_agree(client, caption_model, tmp_path):
    file = tmp_path / "green.jpg"
    file.write_bytes(photo("green"))
    assert list(predict_files(caption_model, [file])) == [
        {"path": str(file), **client.post("/caption", content=photo("green")).json()}
    ]


def test_an_answer_does_not_depend_on_what_was_asked_before(predictor):
    alone = predictor.caption(photo("red"))
    others = [predictor.caption(photo(colour)) for colour in COLOURS]
    assert others[0] == alone == predictor.caption(photo("red"))


def copied(model, tmp_path):
    return shutil.copytree(model, tmp_path / "copy")


def test_a_model_of_another_digest_is_refused(caption_model):
    with pytest.raises(BitBloomError, match="not 0000"):
        CaptionPredictor.open(caption_model, "0" * 64)


def test_what_else_lies_in_the_folder_is_no_part_of_the_model(caption_model, tmp_path):
    folder = copied(caption_model, tmp_path)
    (folder / "training.json").write_text("{}")
    assert CaptionPredictor.open(folder).digest == model_files.digest(model_files.files(caption_model))


@pytest.mark.parametrize("name", ["image.onnx", "text.onnx", "decoder.onnx", "index/photos.json", "index/photos/00001.jpg"])
def test_every_file_of_the_model_is_in_its_digest(caption_model, tmp_path, name):
    folder = copied(caption_model, tmp_path)
    with (folder / name).open("ab") as stream:
        stream.write(b" ")
    with pytest.raises(BitBloomError, match="has the digest"):
        CaptionPredictor.open(folder, model_files.digest(model_files.files(caption_model)))


@pytest.mark.parametrize("name", ["text.onnx", "decoder.onnx", "index/embeddings.npy", "index/photos.json"])
def test_a_missing_file_is_named(caption_model, tmp_path, name):
    folder = copied(caption_model, tmp_path)
    (folder / name).unlink()
    with pytest.raises(BitBloomError, match=rf"{name} is missing: .*make export"):
        CaptionPredictor.open(folder)


def test_an_index_whose_parts_do_not_fit_is_refused(caption_model, tmp_path):
    folder = copied(caption_model, tmp_path)
    (folder / "index/photos/00004.jpg").unlink()
    with pytest.raises(BitBloomError, match="5 embeddings, 5 photos and 4 thumbnails: export it again"):
        CaptionPredictor.open(folder)


@pytest.mark.parametrize("name", ["image.onnx", "text.onnx", "decoder.onnx"])
def test_a_graph_without_our_metadata_is_refused(caption_model, tmp_path, name):
    folder = copied(caption_model, tmp_path)
    bare = onnx.load(folder / name)
    del bare.metadata_props[:]
    onnx.save(bare, folder / name)
    with pytest.raises(BitBloomError, match="lacks the metadata"):
        CaptionPredictor.open(folder)


def test_a_vocabulary_of_another_order_is_refused(caption_model, tmp_path):
    folder = copied(caption_model, tmp_path)
    other = onnx.load(folder / "decoder.onnx")
    onnx.helper.set_model_props(other, {"vocabulary": json.dumps(["a", "<pad>", "<start>", "<end>", "<unknown>"])})
    onnx.save(other, folder / "decoder.onnx")
    with pytest.raises(BitBloomError, match="does not begin with"):
        CaptionPredictor.open(folder)


def test_a_photo_over_the_limit_of_pixels_is_unreadable(caption_model):
    with pytest.raises(UnreadableImage, match="limit of 100 pixels"):
        CaptionPredictor.open(caption_model, max_pixels=100).caption(photo("red"))


def test_a_service_whose_index_was_changed_does_not_start(tmp_path):
    context = write_service(tmp_path, write_model(tmp_path / "model"))
    (context / "index/photos/00000.jpg").write_bytes(photo("blue"))
    with pytest.raises(BitBloomError, match="has the digest"):
        CaptionApplication(context).open()


def test_of_a_classifier_the_model_is_its_one_graph_and_the_digest_the_graphs_own(tmp_path):
    graph = write_classifier(tmp_path / "model.onnx")
    (tmp_path / "training.json").write_text("{}")
    assert model_files.files(tmp_path) == {"model.onnx": graph}
    assert model_files.digest(model_files.files(tmp_path)) == file_digest(graph)
