"""The metadata of a model card, as huggingface_hub reads it. Its own validation asks the hub, so no test here runs it."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData
from hypothesis import given
from hypothesis import strategies as st

from bitbloom.config.models import typed_model
from bitbloom.config.sections.dataset import Dataset
from bitbloom.core import canonical
from bitbloom.evaluation.report import card, metadata
from bitbloom.evaluation.report.content import Content, DataFacts
from bitbloom.models import weights
from bitbloom.pipeline import composition

DIGEST = "0123456789abcdef" * 4
PHOTOS = Content(
    target="petals-tiny",
    task="petals",
    title="A few flowers",
    source="garden",
    profile="portable",
    metrics={"accuracy": 0.1 + 0.2, "macro_f1": 1e-7, "log_loss": 2.0, "samples": 45, "temperature": 2.25},
    pictures=[],
    tables={},
    history={},
    model={"kind": "image", "architecture": "vit", "weights": "none"},
    splits={"test": 45},
    data=DataFacts(Dataset(licence="apache-2.0")),
    digests={"data/processed/petals-tiny": DIGEST, "models/petals-tiny/model.safetensors": "f" * 64},
)
TEXTS = replace(
    PHOTOS,
    target="tweets-tiny",
    task="tweets",
    source="chatter",
    data=DataFacts(Dataset(licence="apache-2.0", language="en")),
    metrics={"f1": 0.5},
    model={"kind": "text", "architecture": "bert", "weights": "locked:minilm"},
)


def loaded(content: Content, folder) -> ModelCard:
    """The card as a file that the library loads."""
    path = folder / "model_card.md"
    path.write_text(card.render(content), encoding="utf-8")
    return ModelCard.load(path)


def test_library_finds_the_metadata_of_a_photo_classifier(tmp_path):
    data = loaded(PHOTOS, tmp_path).data
    assert (data.license, data.pipeline_tag, data.library_name) == ("apache-2.0", "image-classification", "bitbloom")
    assert data.datasets == ["garden"]
    assert {"bitbloom", "onnx", "petals"} <= set(data.tags)
    assert data.base_model is None and data.language is None and data.get("license_name") is None


def test_text_classifier_has_a_language_and_the_model_that_it_was_fine_tuned_from(tmp_path):
    data = loaded(TEXTS, tmp_path).data
    assert (data.language, data.pipeline_tag) == (["en"], "text-classification")
    assert data.base_model == ["sentence-transformers/all-MiniLM-L6-v2"]


def test_captioner_names_both_towers_and_its_own_task():
    parts = {"kind": "caption", "image": {"weights": "locked:vit-s-dinov2"}, "text": {"weights": "locked:minilm"}}
    data = metadata.card_data(replace(TEXTS, source="garden_captions", model=parts))
    assert (data.pipeline_tag, data.language, data.license) == ("image-to-text", ["en"], "apache-2.0")
    assert data.base_model == ["facebook/dinov2-small", "sentence-transformers/all-MiniLM-L6-v2"]


def test_model_index_has_the_metrics_of_metrics_json_and_no_count(tmp_path):
    canonical.write_json(tmp_path / "metrics.json", PHOTOS.scalars)
    written = canonical.read_json(tmp_path / "metrics.json")
    found = loaded(PHOTOS, tmp_path).data
    assert found.model_name == "petals-tiny"
    assert {result.metric_name: result.metric_value for result in found.eval_results} == {
        "Accuracy": written["accuracy"],
        "Macro F1": written["macro_f1"],
        "Log loss": written["log_loss"],
    }
    assert {result.metric_type for result in found.eval_results} == {"accuracy", "f1", "log_loss"} == set(found.metrics)
    [where] = {(result.dataset_type, result.dataset_split, result.dataset_args["sha256"]) for result in found.eval_results}
    assert where == ("garden", "test", DIGEST)


def test_block_is_sorted_and_survives_the_library(tmp_path):
    block = yaml.safe_load(metadata.block(PHOTOS).strip("-\n"))
    assert list(block) == sorted(block)
    assert ModelCardData(**block).to_dict() == block
    again = loaded(PHOTOS, tmp_path)
    again.save(tmp_path / "again.md")
    assert ModelCard.load(tmp_path / "again.md").data.to_dict() == block
    assert again.text == "\n" + card.render(PHOTOS).partition("---\n\n")[2]


@pytest.mark.parametrize(
    ("licence", "spec"),
    [
        ("unknown", "none"),
        ("cc-by-2.0", "none"),
        ("apache-2.0", "path:own"),
        ("apache-2.0", f"hub:org/name@{'a' * 40}"),
        ("apache-2.0", "locked:unknown"),
    ],
)
def test_terms_of_others_are_not_the_licence_of_the_code(licence, spec):
    facts = DataFacts(Dataset(licence=licence))
    data = metadata.card_data(replace(PHOTOS, data=facts, model={"kind": "image", "weights": spec}))
    assert (data.license, data.license_name) == ("other", "terms-of-the-data-and-weights")


def test_weights_of_the_hub_are_the_base_model_without_their_revision():
    data = metadata.card_data(replace(PHOTOS, model={"kind": "image", "weights": f"hub:org/name@{'a' * 40}"}))
    assert data.base_model == ["org/name"]


def test_data_of_the_user_has_no_name_on_the_hub():
    data = metadata.card_data(replace(PHOTOS, source="folder"))
    assert data.datasets is None
    assert {result.dataset_type for result in data.eval_results} == {"petals-tiny"}


def test_sources_kinds_and_weights_of_every_target_are_known():
    trees = [composition.compose(target) for target in composition.targets()]
    assert {tree.model.kind for tree in trees} == set(metadata.PIPELINES)
    assert {tree.source.kind for tree in trees if tree.embedded} <= set(metadata.NAMES)
    started = {spec for tree in trees for spec in typed_model(tree.model).starts_from()}
    assert {spec for spec in started if spec.startswith("locked:")} == set(metadata.BASES)
    assert set(metadata.BASES) <= {f"locked:{name}" for name in weights.names()}


def test_model_without_metrics_has_no_model_index():
    assert "model-index" not in metadata.card_data(replace(PHOTOS, metrics={})).to_dict()


@given(st.text(min_size=1, max_size=40))
def test_any_title_stays_in_its_place(title):
    found = ModelCard(card.render(replace(PHOTOS, title=title)))
    assert {result.dataset_name for result in found.data.eval_results} == {" ".join(title.split())}
    assert found.text.lstrip("\n").startswith("# Model card:")


def test_card_needs_no_network(monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection"))
    assert card.render(TEXTS).startswith("---\n")
