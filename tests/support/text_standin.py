"""A stand-in for a trained text model: each known word has a weight, so that predictions are known in advance."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from bitbloom.config.sections.service import Service
from bitbloom.stages import package
from support.standin import Served, installed, make_target, multiply_by_batch_size, write_reference, write_surroundings

WEIGHTS = {"[PAD]": 0.0, "[UNK]": 0.0, "flood": 2.0, "fire": 1.5, "destroyed": 1.0, "party": -2.0, "concert": -1.5, "no": -3.0}
CLASSES = ("disaster", "not disaster")
LIMITS = Service(title="Messages", max_batch=3, max_requests=8, body_seconds=4.0, unsure_below=0.6)


def tokenizer() -> Tokenizer:
    """One token per word, in lower case; at most eight tokens."""
    built = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WEIGHTS)}, unk_token="[UNK]"))
    built.normalizer = normalizers.Lowercase()
    built.pre_tokenizer = pre_tokenizers.Whitespace()
    built.enable_truncation(8)
    built.enable_padding(length=8)
    return built


def write_model(path: Path) -> Path:
    """Write an ONNX file by the export contract: softmax of the sum of the words' weights, and of its negative.

    Texts in one run have other probabilities than alone. Returns the path.
    """
    constants = {
        "table": np.array(list(WEIGHTS.values()), np.float32),
        "words": np.array([1]),
        "sides": np.array([[1.0, -1.0]], np.float32),
    }
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["weights"]),
        helper.make_node("ReduceSum", ["weights", "words"], ["sum"], keepdims=1),
        helper.make_node("Mul", ["sum", "sides"], ["embedding"]),
        *multiply_by_batch_size("tokens", "embedding", "logits"),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "standin",
        [helper.make_tensor_value_info("tokens", TensorProto.INT64, ["n", "l"])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in ("probabilities", "embedding")],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    properties = {"classes": json.dumps(CLASSES), "tokenizer": tokenizer().to_str(), "task": "tweets"}
    helper.set_model_props(model, properties)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def served_texts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The packaged service for texts, installed and started by BentoML."""
    folder = tmp_path_factory.mktemp("texts")
    write_model(folder / "models/tweets/model.onnx")
    write_reference(folder / "models/tweets", "text")
    (folder / "models/tweets/config.json").write_text(json.dumps({"data_digest": "d" * 64}))
    write_surroundings(folder)
    with contextlib.chdir(folder):
        package.run(make_target("tweets", LIMITS, "text"))
    with installed(folder, "tweets", tmp_path_factory) as served:
        yield served
