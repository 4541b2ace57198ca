"""The service for texts, as BentoML serves it: predictions, the weights of words, and rejections."""

from __future__ import annotations

import json

import httpx
import pytest

from bitbloom.core.digests import file_digest
from bitbloom.serving.files import predict_files
from bitbloom.serving.text_predictor import EMPTY, TextPredictor


@pytest.fixture
def predict(served_texts):
    """A function that posts a body to /predict."""
    return lambda **body: httpx.post(f"{served_texts.url}/predict", json=body, timeout=20)


def test_labels_text_with_probability_words_and_model_digest(predict, served_texts) -> None:
    [prediction] = predict(texts=["A flood destroyed it"]).json()
    assert list(prediction) == ["label", "probability", "model_digest", "words"]
    assert prediction["label"] == "disaster"
    assert prediction["probability"] == pytest.approx(1 / (1 + 2.718281828 ** (-6)), abs=1e-5)
    assert prediction["model_digest"] == file_digest(served_texts.model)


def test_weighs_words_by_their_effect_on_the_label(predict) -> None:
    [prediction] = predict(texts=["a flood after the party"]).json()
    weights = {word["word"]: word["weight"] for word in prediction["words"]}
    assert list(weights) == ["a", "flood", "after", "the", "party"]
    assert weights["a"] == weights["after"] == weights["the"] == 0
    signs = {True: ("flood", "party"), False: ("party", "flood")}[prediction["label"] == "disaster"]
    assert weights[signs[0]] > 0.4
    assert weights[signs[1]] < -0.4


def test_omits_words_on_request(predict) -> None:
    assert predict(texts=["a flood"], words=False).json()[0]["words"] == []


def test_labels_texts_in_order_and_each_as_if_alone(predict) -> None:
    messages = ["fire!", {"text": "what a concert", "keyword": "", "location": ""}, "no flood"]
    together = predict(texts=messages).json()
    assert [prediction["label"] for prediction in together] == ["disaster", "not disaster", "not disaster"]
    assert together == [predict(texts=[message]).json()[0] for message in messages]


def test_uses_keyword_and_location(predict) -> None:
    plain = predict(texts=["it is here"]).json()[0]
    located = predict(texts=[{"text": "it is here", "keyword": "no%20flood", "location": "fire"}]).json()[0]
    assert plain["probability"] == 0.5
    assert located["probability"] > 0.5


def test_cleans_texts_as_in_training(predict) -> None:
    once = predict(texts=["FIRE &amp; flood http://t.co/x @mum"], words=False).json()
    assert once == predict(texts=["fire & flood URL USER"], words=False).json()


def test_empty_text_has_an_error_in_its_place(predict) -> None:
    first, second = predict(texts=["fire", " \n "]).json()
    assert first["label"] == "disaster"
    assert second == {"error": EMPTY}


REJECTED = {
    "nothing is left of any": ({"texts": [" "]}, 422, "nothing is left"),
    "no texts": ({"texts": []}, 422, "texts: "),
    "too many": ({"texts": ["a"] * 4}, 422, "4 texts are more than 3"),
    "too long": ({"texts": ["a" * 2001]}, 422, "texts[0]: at most 2,000 characters"),
    "another form": ({"text": "a"}, 422, "texts: field required"),
    "a number": ({"texts": [7]}, 422, "texts[0]"),
}


@pytest.mark.parametrize(("body", "status", "message"), REJECTED.values(), ids=REJECTED)
def test_rejects_invalid_request_with_a_message(predict, body, status, message) -> None:
    response = predict(**body)
    assert response.status_code == status
    assert list(response.json()) == ["error"]
    assert message in response.json()["error"]


def test_rejects_body_that_is_not_json(served_texts) -> None:
    response = httpx.post(f"{served_texts.url}/predict", content=b"{texts:", headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert "not JSON" in response.json()["error"]


def test_serves_the_page_and_its_files(served_texts) -> None:
    page = httpx.get(served_texts.url)
    assert "textarea" in page.text
    for part in ("style.css", "texts.css", "common.js", "page.js", "signal.svg"):
        assert f"page/{part}" in page.text
        assert httpx.get(f"{served_texts.url}/page/{part}").status_code == 200


def test_provenance_has_task_model_and_the_command_to_rebuild(served_texts) -> None:
    facts = httpx.get(f"{served_texts.url}/provenance").json()
    assert facts["task"] == "tweets"
    assert facts["digests"]["model"] == file_digest(served_texts.model)
    assert facts["rebuild"] == "make verify TARGET=tweets"


def test_describes_its_routes(served_texts) -> None:
    described = json.dumps(httpx.get(f"{served_texts.url}/docs.json").json())
    assert "/predict" in described
    assert "keyword" in described


def test_bento_contains_no_training_code(served_texts) -> None:
    files = {name for name in served_texts.report["files"] if name.endswith(".py")}
    assert "src/bitbloom/data/texts.py" in files
    assert not any("training" in name or "stages" in name or "weights" in name for name in files)


def test_local_predictions_equal_those_of_the_service(predict, served_texts, tmp_path) -> None:
    lines = ["a flood", "no party", "fire at the concert"]
    file = tmp_path / "lines.txt"
    file.write_text("\n".join(lines))
    printed = list(predict_files(served_texts.model, [file]))
    served = predict(texts=lines, words=False).json()
    assert [(one["label"], one["probability"]) for one in printed] == [(one["label"], one["probability"]) for one in served]


def test_predictions_do_not_depend_on_the_process(predict, served_texts) -> None:
    local = TextPredictor.open(served_texts.model).label("flood and fire")
    served = predict(texts=["flood and fire"], words=False).json()[0]
    assert local == {key: value for key, value in served.items() if key != "words"}


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("a" * 2001, "texts[1]"),
        ({"text": "a" * 2001}, "texts[1].text"),
        ({"text": "a", "keyword": "k" * 2001}, "texts[1].keyword"),
        ({"text": "a", "location": "l" * 2001}, "texts[1].location"),
    ],
)
def test_rejection_names_field_and_limit(served_texts, text, field):
    rejected = httpx.post(f"{served_texts.url}/predict", json={"texts": ["fine", text]})
    assert rejected.status_code == 422
    assert rejected.json()["error"] == f"{field}: at most 2,000 characters"


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain"])
def test_rejection_names_the_missing_header_of_json(served_texts, kind):
    rejected = httpx.post(f"{served_texts.url}/predict", content=b'{"texts": ["a"]}', headers={"content-type": kind})
    assert rejected.status_code == 415
    assert "Content-Type: application/json" in rejected.json()["error"]
