"""A stand-in for a trained model of photos and sentences: it names a photo's colour, so that predictions are known in advance."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from bitbloom.config.sections.service import Service
from bitbloom.data.vocabulary import END, SPECIAL
from bitbloom.serving import archive, build, model_files
from bitbloom.serving.settings import LOCK
from support.standin import REPOSITORY, Served, installed

SIDE, LENGTH = 16, 8
COLOURS = {"red": (230, 20, 20), "green": (20, 230, 20), "blue": (20, 20, 230)}
VOCABULARY = (*SPECIAL, "a", "the", *COLOURS, "flower")
NUMBER = {word: number for number, word in enumerate(VOCABULARY)}
FOLLOWS = {
    "<start>": {"a": 6.0, "the": 5.0},
    "a": dict.fromkeys(COLOURS, 0.0),
    "the": dict.fromkeys(COLOURS, 0.0),
    **{colour: {"flower": 6.0} for colour in COLOURS},
    "flower": {"<end>": 6.0},
}
"""The words that may follow a word, and their logits. The photo decides between the colours."""
NEVER, TWICE = -9.0, -20.0
"""Logits of all other words, and of a word that the sentence has already."""
PHOTOS = [("scarlet.jpg", "red"), ("leaf.jpg", "green"), ("sky.jpg", "blue"), ("poppy.jpg", "red"), ("sea.jpg", "blue")]
"""The index: names of photos, and their colours."""
LIMITS = Service(title="Captions", max_bytes=300_000, max_pixels=1_000_000, max_batch=3, max_requests=8, body_seconds=4.0)


def photo(colour: str | tuple[int, int, int], width: int = 64, height: int = 48, kind: str = "JPEG") -> bytes:
    """An image file of one colour."""
    stream = io.BytesIO()
    Image.new("RGB", (width, height), COLOURS[colour] if isinstance(colour, str) else colour).save(stream, kind)
    return stream.getvalue()


def tokenizer() -> Tokenizer:
    """One token per word, in lower case; at most eight tokens."""
    built = Tokenizer(
        models.WordLevel({"[PAD]": 0, "[UNK]": 1, **{word: at for at, word in enumerate(COLOURS, 2)}}, unk_token="[UNK]")
    )
    built.normalizer = normalizers.Lowercase()
    built.pre_tokenizer = pre_tokenizers.Whitespace()
    built.enable_truncation(8)
    built.enable_padding(length=8)
    return built


def write_model(folder: Path) -> Path:
    """Write the folder of a model by the export contract. Returns it."""
    (folder / model_files.THUMBNAILS).mkdir(parents=True)
    _write_image(folder / model_files.IMAGE)
    _write_text(folder / model_files.TEXT)
    _write_decoder(folder / model_files.DECODER)
    write_index(folder)
    return folder


def write_index(folder: Path) -> None:
    """Write the index of PHOTOS, each with one caption."""
    unit = [np.array(COLOURS[colour]) / np.linalg.norm(COLOURS[colour]) for _, colour in PHOTOS]
    np.save(folder / model_files.EMBEDDINGS, np.array(unit, np.float32))
    listed = [{"id": name, "captions": [f"A {colour} flower."]} for name, colour in PHOTOS]
    (folder / model_files.PHOTOS).write_text(json.dumps(listed))
    for at, (_, colour) in enumerate(PHOTOS):
        (folder / model_files.THUMBNAILS / f"{at:05}.jpg").write_bytes(photo(colour, 32, 32))


def _write_image(path: Path) -> None:
    """The embedding is the direction of the mean colour; the memory [n, 1, 2, 1, 1, 3] is the mean colour, twice."""
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "sides"], ["means"], keepdims=0),
        helper.make_node("Div", ["means", "white"], ["colour"]),
        helper.make_node("LpNormalization", ["colour"], ["vector"], axis=1, p=2),
        helper.make_node("Unsqueeze", ["colour", "four"], ["column"]),
        helper.make_node("Expand", ["column", "both"], ["memory"]),
    ]
    constants = {"sides": [2, 3], "white": np.float32(255), "four": [1, 2, 3, 4], "both": [1, 1, 2, 1, 1, 3]}
    inputs = {"images": (TensorProto.UINT8, ["n", 3, SIDE, SIDE])}
    outputs = {"vector": ["n", 3], "memory": ["n", 1, 2, 1, 1, 3]}
    _write(path, nodes, constants, inputs, outputs, {"image_size": str(SIDE)})


def _write_text(path: Path) -> None:
    """The embedding is the direction of the sum of the colours in a sentence; other words add a little grey."""
    table = np.array([(0, 0, 0), (1, 1, 1), *COLOURS.values()], np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["colours"]),
        helper.make_node("ReduceSum", ["colours", "words"], ["sum"], keepdims=0),
        helper.make_node("LpNormalization", ["sum"], ["vector"], axis=1, p=2),
    ]
    inputs = {"tokens": (TensorProto.INT64, ["n", "l"])}
    _write(path, nodes, {"table": table, "words": [1]}, inputs, {"vector": ["n", 3]}, {"tokenizer": tokenizer().to_str()})


def _write_decoder(path: Path) -> None:
    """Log softmax of FOLLOWS + the photo's colour + TWICE for words so far, which `past` has as one-hot rows [LENGTH, V]."""
    size = len(VOCABULARY)
    follows = np.full((size, size), NEVER, np.float32)
    for word, choices in FOLLOWS.items():
        for choice, logit in choices.items():
            follows[NUMBER[word], NUMBER[choice]] = logit
    shows = np.zeros((3, size), np.float32)
    for channel, colour in enumerate(COLOURS):
        shows[channel, NUMBER[colour]] = 4.0
    nodes = [
        helper.make_node("Gather", ["identity", "words"], ["hot"]),
        helper.make_node("Unsqueeze", ["hot", "inner"], ["row"]),
        helper.make_node("Equal", ["positions", "position"], ["here"]),
        helper.make_node("Where", ["here", "row", "past"], ["present"]),
        helper.make_node("ReduceMax", ["present", "others"], ["repeated"], keepdims=0),
        helper.make_node("Mul", ["repeated", "twice"], ["penalty"]),
        helper.make_node("Gather", ["follows", "words"], ["following"]),
        helper.make_node("ReduceMean", ["memory", "others"], ["colour"], keepdims=0),
        helper.make_node("MatMul", ["colour", "shows"], ["seen"]),
        helper.make_node("Sum", ["penalty", "following", "seen"], ["logits"]),
        helper.make_node("LogSoftmax", ["logits"], ["scores"], axis=1),
    ]
    constants = {
        "identity": np.eye(size, dtype=np.float32),
        "inner": [1, 2, 3, 4],
        "positions": np.arange(LENGTH).reshape(LENGTH, 1),
        "others": [1, 2, 3, 4],
        "twice": np.float32(TWICE),
        "follows": follows,
        "shows": shows,
    }
    inputs = {
        "words": (TensorProto.INT64, ["n"]),
        "position": (TensorProto.INT64, [1]),
        "memory": (TensorProto.FLOAT, ["n", 1, 2, 1, 1, 3]),
        "past": (TensorProto.FLOAT, ["n", 1, 2, 1, LENGTH, size]),
    }
    outputs = {"scores": ["n", size], "present": ["n", 1, 2, 1, LENGTH, size]}
    _write(path, nodes, constants, inputs, outputs, {"vocabulary": json.dumps(VOCABULARY)})


def _write(
    path: Path,
    nodes: Sequence[NodeProto],
    constants: Mapping[str, object],
    inputs: Mapping[str, tuple[int, list[object]]],
    outputs: Mapping[str, list[object]],
    properties: Mapping[str, str],
) -> None:
    graph = helper.make_graph(
        nodes,
        "standin",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {"task": "captions", **properties})
    onnx.save(model, path)


def expected_score(photo_colour: str, first: str, colour: str) -> float:
    """Mean log-probability of `<first> <colour> flower`, computed without the graph."""
    seen = dict(zip(COLOURS, (np.array(COLOURS[photo_colour]) * 4.0 / 255).tolist(), strict=True))
    words, total = {"<start>"}, 0.0
    for before, word in zip(("<start>", first, colour, "flower"), (first, colour, "flower", VOCABULARY[END]), strict=True):
        words.add(before)
        logits = [
            FOLLOWS[before].get(other, NEVER) + seen.get(other, 0.0) + (TWICE if other in words else 0.0) for other in VOCABULARY
        ]
        total += logits[NUMBER[word]] - float(np.log(np.exp(logits).sum()))
    return total / 4


def write_service(folder: Path, model: Path) -> Path:
    """Write the folder of this model's service. Returns its path."""
    files = model_files.files(model)
    settings = {name: value for name, value in vars(LIMITS).items() if name != "int8"}
    facts = {"data_digest": "d" * 64, "lock_digest": "l" * 64, "model_digest": model_files.digest(files)}
    named = {"target": "captions", "task": "captions"}
    kind = {"kind": "caption"}
    (folder / "lock").write_text(f"bentoml==1.4.39 \\\n    --hash=sha256:{'a' * 64}\n")
    texts = {
        "service.json": named | kind | settings,
        "provenance.json": named | facts | {"rebuild": "make verify TARGET=captions"},
    }
    context = folder / "context"
    context.mkdir()
    with contextlib.chdir(REPOSITORY):
        build.assemble(context, "captions", "caption", {**files, LOCK: folder / "lock"}, texts)
    return context


@pytest.fixture(scope="session")
def caption_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the stand-in model."""
    return write_model(tmp_path_factory.mktemp("captions") / "models/captions")


@pytest.fixture(scope="session")
def served_captions(caption_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The service for photos and sentences, built, installed and started by BentoML."""
    folder = caption_model.parents[1]
    context = write_service(folder, caption_model)
    with build.built(context, "captions", {"task": "captions"}) as (bento, _):
        archive.write(bento, folder / "dist/captions.bento")
    with installed(folder, "captions", tmp_path_factory) as served:
        yield served
