"""Exporter of `captions`: three graphs and a search index of photos.

`image.onnx` maps `images` uint8 [n, 3, S, S] to `vector` float32 [n, E], a unit vector, and `memory` float32
[n, L, 2, H, T, D]: keys and values of T patch features for the cross-attention of the decoder's L layers with H heads.
`text.onnx` maps `tokens` int64 [n, l] to `vector`. `decoder.onnx` is one step of the decoder; `past` float32
[n, L, 2, H, W, D] holds keys and values of the previous words. `index/` has the embeddings of the test split's photos, their
captions and thumbnails.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import log_softmax
from transformers.cache_utils import EncoderDecoderCache

from bitbloom.config.models.caption import CaptionModel
from bitbloom.contracts import Parity, Trained
from bitbloom.core import canonical
from bitbloom.core.progress import track
from bitbloom.data import vocabulary
from bitbloom.export import reference as references
from bitbloom.export.graphs import BATCH, Graph, by_onnx, by_torch, session, write
from bitbloom.models import decoding, generation
from bitbloom.models.captioner import Captioner
from bitbloom.models.preprocess import Preprocess

if TYPE_CHECKING:
    from bitbloom.config.sections.export import Export
    from bitbloom.data.dataset import Arrays
    from bitbloom.drift.observations import Observations

INDEX = "index"
THUMBNAIL = 160
"""Side of a photo in the index, pixels."""
CLOSE_CALLS = 100
"""One greedy sentence in CLOSE_CALLS, and at least one, may differ from PyTorch: two words can have nearly equal scores."""


def export(trained: Trained, config: Export, folder: Path) -> Parity:
    """Write the graphs and the index, and compare them with the network on the test split."""
    made = graphs(trained)
    examples = example_inputs(trained, made)
    for name, graph in made.items():
        write(graph, examples[name], folder / f"{name}.onnx", config.opset)
    write_index(trained, config.index, folder / INDEX)
    return compare(trained, made, config, folder)


def reference(trained: Trained, sizes: Mapping[str, int]) -> Observations:
    """Return the descriptors of the photos, and the embeddings of the validation split; a sentence is not a label."""
    return references.of_images(trained, None, sizes)


def graphs(trained: Trained) -> dict[str, Graph]:
    """Return the three graphs by file name."""
    model, meta, captioner = trained.model, trained.meta, trained.network
    assert isinstance(model, CaptionModel) and isinstance(captioner, Captioner)
    step_inputs = ("words", "position", "memory", "past")
    rows: tuple[dict[int, str], ...] = ({0: "n"}, {}, {0: "n"}, {0: "n"})
    return {
        "image": Graph(
            ImageEncoder(captioner, model),
            ("images",),
            ("vector", "memory"),
            ({0: "n"},),
            {"image_size": str(meta["image_size"])},
        ),
        "text": Graph(TextEncoder(captioner), ("tokens",), ("vector",), ({0: "n", 1: "l"},), {"tokenizer": meta["tokenizer"]}),
        "decoder": Graph(
            DecoderStep(captioner),
            step_inputs,
            ("scores", "present"),
            rows,
            {"vocabulary": json.dumps(meta["vocabulary"], ensure_ascii=False)},
        ),
    }


class ImageEncoder(nn.Module):
    """Stored photos → embeddings, and the keys and values for the decoder's cross-attention."""

    def __init__(self, captioner: Captioner, model: CaptionModel) -> None:
        super().__init__()
        self.preprocess = Preprocess(model.image.image_size, model.image.mean, model.image.std)
        self.captioner = captioner

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 [n, 3, S, S] → [n, E] and [n, L, 2, H, T, D]."""
        patches = self.captioner.patch_features(self.preprocess(images))
        memory = self.captioner.bridge(patches)
        layers = (layer.crossattention.self for layer in _layers(self.captioner))
        kept = [torch.stack([_heads(one.key(memory), one), _heads(one.value(memory), one)], dim=1) for one in layers]
        return self.captioner.image_embedding(patches), torch.stack(kept, dim=1)


class TextEncoder(nn.Module):
    """Tokens → embeddings."""

    def __init__(self, captioner: Captioner) -> None:
        super().__init__()
        self.captioner = captioner

    def forward(self, tokens: Tensor) -> Tensor:
        """int64 [n, l] → [n, E]."""
        return self.captioner.text_embedding(self.captioner.text_features(tokens))


class DecoderStep(nn.Module):
    """One step of the decoder."""

    def __init__(self, captioner: Captioner) -> None:
        super().__init__()
        self.captioner = captioner

    def forward(self, words: Tensor, position: Tensor, memory: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """int64 [n], int64 [1], [n, L, 2, H, T, D], [n, L, 2, H, W, D] → log-probabilities [n, V], new `past`."""
        decoder: Any = self.captioner.writer
        hidden = decoder.bert.embeddings(input_ids=words[:, None], position_ids=position[None])
        positions = torch.arange(past.shape[4])
        mask = torch.where(positions <= position, 0.0, torch.finfo(torch.float32).min)[None, None, None]
        cache = StepCache(past, memory, positions == position)
        for layer in _layers(self.captioner):
            hidden = layer(hidden, mask, encoder_hidden_states=hidden, past_key_values=cache)
        return log_softmax(decoder.cls(hidden)[:, 0], dim=-1), cache.present()


class StepCache(EncoderDecoderCache):
    """Key and value cache for the attention of `transformers`: words at fixed positions, the photo's memory as given."""

    def __init__(self, past: Tensor, memory: Tensor, current: Tensor) -> None:
        self.past, self.current = past, current[:, None]
        self.written: dict[int, Tensor] = {}
        self.self_attention_cache: Any = self
        kept = [SimpleNamespace(keys=memory[:, number, 0], values=memory[:, number, 1]) for number in range(memory.shape[1])]
        self.cross_attention_cache: Any = SimpleNamespace(layers=kept)
        self.is_updated = dict.fromkeys(range(memory.shape[1]), True)

    def update(self, key: Tensor, value: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Store a word's key and value [n, H, 1, D] at its position; return all keys and values, [n, H, W, D]."""
        self.written[layer] = torch.where(self.current, torch.stack([key, value], dim=1), self.past[:, layer])
        return self.written[layer][:, 0], self.written[layer][:, 1]

    def present(self) -> Tensor:
        """Return the keys and values of all layers, [n, L, 2, H, W, D]."""
        return torch.stack([self.written[layer] for layer in sorted(self.written)], dim=1)


def _layers(captioner: Captioner) -> Any:
    return captioner.writer.get_submodule("bert.encoder.layer")


def _heads(projected: Tensor, attention: Any) -> Tensor:
    """[n, T, H · D] → [n, H, T, D]."""
    heads = attention.num_attention_heads
    return projected.view(projected.shape[0], -1, heads, projected.shape[-1] // heads).transpose(1, 2)


def example_inputs(trained: Trained, made: dict[str, Graph]) -> dict[str, Arrays]:
    """Return the inputs of each graph for two test photos."""
    found = trained.dataset.take(np.resize(trained.dataset.split("test"), 2))
    memory = by_torch(made["image"], {"images": found["images"]})["memory"]
    assert isinstance(trained.network, Captioner)
    length = trained.network.longest
    return {
        "image": {"images": found["images"]},
        "text": {"tokens": found["tokens"][:, 0]},
        "decoder": first_step(memory, found["words"][:, 0, 0], length),
    }


def first_step(memory: NDArray[np.float32], words: NDArray[np.int64], length: int) -> Arrays:
    """Return the decoder's inputs for the first word of each photo."""
    past = np.zeros((*memory.shape[:4], length, memory.shape[5]), np.float32)
    return {"words": words, "position": np.zeros(1, np.int64), "memory": memory, "past": past}


def write_index(trained: Trained, most: int, folder: Path) -> None:
    """Write the index of at most `most` photos of the test split, with the embeddings of PyTorch: the same on every CPU."""
    dataset = trained.dataset
    chosen = dataset.split("test")[:most]
    embeddings = trained.outputs("test")["images"][: len(chosen)].numpy()
    rows = dataset.samples.iloc[chosen]
    with canonical.replacing_folder(folder) as temporary:
        np.save(temporary / "embeddings.npy", embeddings)
        photos = [
            {"id": id_, "captions": json.loads(captions)} for id_, captions in zip(rows["id"], rows["captions"], strict=True)
        ]
        canonical.write_json(temporary / "photos.json", photos)
        (temporary / "photos").mkdir()
        for number, position in enumerate(chosen):
            (temporary / "photos" / f"{number:05d}.jpg").write_bytes(
                encoded(dataset.arrays["images"][position], "JPEG", THUMBNAIL)
            )


def encoded(image: NDArray[np.uint8], form: str, side: int = 1 << 16) -> bytes:
    """Encode uint8 [3, S, S] as an image file of at most `side` pixels per side."""
    photo = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
    photo.thumbnail((side, side))
    with io.BytesIO() as stream:
        photo.save(stream, form)
        return stream.getvalue()


def compare(trained: Trained, made: dict[str, Graph], config: Export, folder: Path) -> Parity:
    """Compare embeddings and greedy sentences of ONNX Runtime and PyTorch."""
    test = trained.dataset.take(trained.dataset.split("test"))
    differences = {}
    for name, inputs in (("image", {"images": test["images"]}), ("text", {"tokens": test["tokens"][:, 0]})):
        expected = by_torch(made[name], inputs, f"compare {name}: PyTorch")
        found = by_onnx(folder / f"{name}.onnx", inputs, f"compare {name}: ONNX Runtime")
        differences[name] = float(np.abs(found["vector"] - expected["vector"]).max())
    sentences = sentences_by_onnx(folder, test["images"], trained.meta["vocabulary"])
    equal = sum(one == other for one, other in zip(sentences, greedy_sentences(trained, test["images"]), strict=True))
    verdict = {
        "samples": len(sentences),
        "within_tolerance": max(differences.values()) <= config.tolerance,
        "tolerance": config.tolerance,
        "sentences_equal": len(sentences) - equal <= max(1, len(sentences) // CLOSE_CALLS),
    }
    measured = {"largest_differences": differences, "sentences_equal": equal, "sentences": len(sentences)}
    wrong = "" if verdict["within_tolerance"] and verdict["sentences_equal"] else f"{measured}"
    return Parity(verdict, measured, wrong)


def sentences_by_onnx(folder: Path, images: NDArray[np.uint8], names: Sequence[str]) -> list[str]:
    """Generate greedy sentences of photos [n, 3, S, S] with the exported graphs, one photo at a time as in the service."""
    image, decoder = (session(folder / f"{name}.onnx") for name in ("image", "decoder"))
    memories = (image.run(["memory"], {"images": photo[None]})[0] for photo in track(images, "sentences: ONNX Runtime"))
    return [vocabulary.sentence(decoding.by_graph(decoder, memory, width=1)[0].words, names) for memory in memories]


@torch.no_grad()
def greedy_sentences(trained: Trained, images: NDArray[np.uint8]) -> list[str]:
    """Generate greedy sentences of stored photos with PyTorch."""
    assert isinstance(trained.network, Captioner) and isinstance(trained.model, CaptionModel)
    encoder = ImageEncoder(trained.network, trained.model)
    found: list[str] = []
    for first in track(range(0, len(images), BATCH), "sentences: PyTorch"):
        patches = trained.network.patch_features(encoder.preprocess(torch.tensor(images[first : first + BATCH])))
        generated = generation.greedy(trained.network, patches)
        found += [vocabulary.sentence(words, trained.meta["vocabulary"]) for words in generated]
    return found
