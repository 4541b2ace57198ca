"""Text classifiers: shapes, padding, tokenizers and pretrained weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from bitbloom.config.models.text import TextModel
from bitbloom.core.errors import BitBloomError
from bitbloom.models import text_classifier, tokens
from bitbloom.numerics import subset
from bitbloom.pipeline import composition
from bitbloom.tasks.tweets import model as task
from support.text_standin import WEIGHTS, tokenizer

META = {"classes": ["disaster", "not disaster"], "tokenizer": tokenizer().to_str()}
SMALL = TextModel(hidden_size=32, layers=2, heads=2, positions=16)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return text_classifier.build(SMALL, META).eval()


def encoded(*texts: str) -> torch.Tensor:
    return torch.from_numpy(tokens.encode(tokenizer(), texts)[0])


def test_returns_logits_of_tokens(network):
    assert network(encoded("a flood", "no party")).shape == (2, 2)


def test_vocabulary_has_size_of_tokenizer(network):
    assert network.get_submodule("model.bert").embeddings.word_embeddings.num_embeddings == len(WEIGHTS)


def test_padding_does_not_change_logits(network):
    short, long = encoded("flood fire")[:, :2], encoded("flood fire")
    assert torch.allclose(network(short), network(long), atol=1e-6)


def test_logits_do_not_depend_on_batch(network):
    together = network(encoded("flood", "no concert party fire destroyed"))
    assert torch.allclose(together[0], network(encoded("flood"))[0], atol=1e-6)


def test_case_addresses_and_mentions_do_not_change_tokens():
    from bitbloom.data import texts

    one = texts.joined("FLOOD near us http://t.co/a @anna", "", "")
    other = texts.joined("flood near us http://x.org/b?c @bob", "", "")
    assert torch.equal(encoded(one), encoded(other))


def test_loads_any_classifier_from_folder(tmp_path):
    shape = BertConfig(vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    BertForSequenceClassification(shape).save_pretrained(tmp_path)
    model = TextModel(architecture="auto", weights=f"path:{tmp_path}")
    network = text_classifier.build(model, META).eval()
    assert network(encoded("a flood")).shape == (1, 2)


def test_rejects_unknown_architecture():
    with pytest.raises(BitBloomError, match="'lstm' is none of bert, auto"):
        text_classifier.build(TextModel(architecture="lstm"), META)


def test_truncates_rows_to_multiple_of_step():
    rows = np.zeros((2, 64), np.int64)
    assert tokens.cut(rows, np.array([9, 2])).shape == (2, 16)
    assert tokens.cut(rows, np.array([8, 2])).shape == (2, 8)


@pytest.mark.parametrize("target", ["tweets", "tweets-tiny", "tweets-kaggle"])
def test_every_micro_batch_of_a_target_has_a_portable_number_of_tokens(target):
    tree = composition.compose(target)
    texts, width = tree.train.batch_size // tree.numerics.micro_batches, tree.prepare.tokens
    for longest in range(1, width + 1):
        arrays = {"tokens": np.ones((texts, width), np.int64), "labels": np.zeros(texts, np.int64)}
        arrays["lengths"] = np.full(texts, longest)
        rows = task.batch(arrays, np.zeros(texts, np.uint64), None, tree.model)["tokens"]
        assert subset.portable_terms(rows.numel()) and longest <= rows.shape[1] <= width
        assert task.batch(arrays, None, None, tree.model)["tokens"].shape[1] == -(-longest // tokens.STEP) * tokens.STEP


def test_truncates_long_text(tmp_path):
    (tmp_path / "tokenizer.json").write_text(tokenizer().to_str())
    opened = tokens.open_tokenizer(tmp_path / "tokenizer.json", 4)
    rows, lengths = tokens.encode(opened, ["flood " * 9, "fire"])
    assert rows.tolist() == [[2, 2, 2, 2], [3, 0, 0, 0]]
    assert lengths.tolist() == [4, 1]


def test_padding_token_can_have_any_index(tmp_path):
    (tmp_path / "tokenizer.json").write_text(tokenizer().to_str().replace("[PAD]", "first").replace("party", "<pad>"))
    opened = tokens.open_tokenizer(tmp_path / "tokenizer.json", 4)
    assert tokens.padding(opened) == list(WEIGHTS).index("party")
    torch.manual_seed(0)
    network = text_classifier.build(SMALL, META | {"tokenizer": opened.to_str()}).eval()
    rows = torch.from_numpy(tokens.encode(opened, ["first flood"])[0])
    assert torch.allclose(network(rows), network(rows[:, :2]), atol=1e-6)


def test_rejects_vocabulary_without_padding(tmp_path):
    (tmp_path / "tokenizer.json").write_text(tokenizer().to_str().replace("[PAD]", "first"))
    with pytest.raises(BitBloomError, match="has no padding token"):
        tokens.open_tokenizer(tmp_path / "tokenizer.json", 4)


@pytest.mark.parametrize("content", [None, "{}"])
def test_rejects_file_that_is_not_a_tokenizer(tmp_path, content):
    if content:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(BitBloomError, match=r"tokenizer.json is (missing|not a tokenizer)"):
        tokens.open_tokenizer(tmp_path / "tokenizer.json", 4)
