"""Photos and sentences: three graphs and an index of photos to search.

`image.onnx` takes `images` uint8 [n, 3, S, S] and gives `vector` float32 [n, E], a unit vector, and `memory` float32
[n, L, 2, H, T, D], what the writer's L layers look at: H heads' keys and values of T places. `text.onnx` takes `tokens`
int64 [n, l] and gives `vector`. `decoder.onnx` is one step of the writer, with `past` float32 [n, L, 2, H, W, D] to keep keys
and values of the words before. `index/` holds the embeddings of the test split's photos, their sentences, and small photos.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
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
from bitbloom.data import vocabulary
from bitbloom.export.graphs import BATCH, Graph, by_onnx, by_torch, session, write
from bitbloom.models import decoding, writing
from bitbloom.models.captioner import Captioner
from bitbloom.models.preprocess import Preprocess

if TYPE_CHECKING:
    from bitbloom.config.sections.export import Export
    from bitbloom.data.dataset import Arrays

INDEX = "index"
THUMBNAIL = 160
"""Side of a photo of the index, pixels."""
CLOSE_CALLS = 100
"""Of so many greedy sentences one may differ from the network's own, and one of fewer: two words may be as good as each other."""


def export(trained: Trained, config: Export, folder: Path) -> Parity:
    """Write the graphs and the index, and compare them on the test split."""
    made = graphs(trained)
    examples = example_inputs(trained, made)
    for name, graph in made.items():
        write(graph, examples[name], folder / f"{name}.onnx", config.opset)
    write_index(trained, config.index, folder / INDEX)
    return compare(trained, made, config, folder)


def graphs(trained: Trained) -> dict[str, Graph]:
    """The three graphs by the names of their files."""
    model, meta, captioner = trained.model, trained.meta, trained.network
    assert isinstance(model, CaptionModel) and isinstance(captioner, Captioner)
    step_inputs = ("words", "position", "memory", "past")
    rows: tuple[dict[int, str], ...] = ({0: "n"}, {}, {0: "n"}, {0: "n"})
    return {
        "image": Graph(
            ImageSide(captioner, model),
            ("images",),
            ("vector", "memory"),
            ({0: "n"},),
            {"image_size": str(meta["image_size"])},
        ),
        "text": Graph(TextSide(captioner), ("tokens",), ("vector",), ({0: "n", 1: "l"},), {"tokenizer": meta["tokenizer"]}),
        "decoder": Graph(
            WriterStep(captioner),
            step_inputs,
            ("scores", "present"),
            rows,
            {"vocabulary": json.dumps(meta["vocabulary"], ensure_ascii=False)},
        ),
    }


class ImageSide(nn.Module):
    """Photos as they are stored → their vectors, and what the writer looks at."""

    def __init__(self, captioner: Captioner, model: CaptionModel) -> None:
        super().__init__()
        self.preprocess = Preprocess(model.image.image_size, model.image.mean, model.image.std)
        self.captioner = captioner

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 [n, 3, S, S] → [n, E] and [n, L, 2, H, T, D]."""
        places = self.captioner.places(self.preprocess(images))
        seen = self.captioner.bridge(places)
        layers = (layer.crossattention.self for layer in _layers(self.captioner))
        kept = [torch.stack([_heads(each.key(seen), each), _heads(each.value(seen), each)], dim=1) for each in layers]
        return self.captioner.image_embedding(places), torch.stack(kept, dim=1)


class TextSide(nn.Module):
    """Tokens → vectors."""

    def __init__(self, captioner: Captioner) -> None:
        super().__init__()
        self.captioner = captioner

    def forward(self, tokens: Tensor) -> Tensor:
        """int64 [n, l] → [n, E]."""
        return self.captioner.text_embedding(self.captioner.meaning(tokens))


class WriterStep(nn.Module):
    """One word further."""

    def __init__(self, captioner: Captioner) -> None:
        super().__init__()
        self.captioner = captioner

    def forward(self, words: Tensor, position: Tensor, memory: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """int64 [n], int64 [1], [n, L, 2, H, T, D], [n, L, 2, H, W, D] → log-probabilities [n, V], and the new `past`."""
        writer: Any = self.captioner.writer
        hidden = writer.bert.embeddings(input_ids=words[:, None], position_ids=position[None])
        places = torch.arange(past.shape[4])
        mask = torch.where(places <= position, 0.0, torch.finfo(torch.float32).min)[None, None, None]
        cache = StepCache(past, memory, places == position)
        for layer in _layers(self.captioner):
            hidden = layer(hidden, mask, encoder_hidden_states=hidden, past_key_values=cache)
        return log_softmax(writer.cls(hidden)[:, 0], dim=-1), cache.present()


class StepCache(EncoderDecoderCache):
    """What transformers' attention asks for keys and values: the sentence's in places of their own, the photo's as given."""

    def __init__(self, past: Tensor, memory: Tensor, here: Tensor) -> None:
        self.past, self.here = past, here[:, None]
        self.written: dict[int, Tensor] = {}
        self.self_attention_cache: Any = self
        kept = [SimpleNamespace(keys=memory[:, number, 0], values=memory[:, number, 1]) for number in range(memory.shape[1])]
        self.cross_attention_cache: Any = SimpleNamespace(layers=kept)
        self.is_updated = dict.fromkeys(range(memory.shape[1]), True)

    def update(self, key: Tensor, value: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Put a word's key and value [n, H, 1, D] into its place; all of them, [n, H, W, D]."""
        self.written[layer] = torch.where(self.here, torch.stack([key, value], dim=1), self.past[:, layer])
        return self.written[layer][:, 0], self.written[layer][:, 1]

    def present(self) -> Tensor:
        """All layers', [n, L, 2, H, W, D]."""
        return torch.stack([self.written[layer] for layer in sorted(self.written)], dim=1)


def _layers(captioner: Captioner) -> Any:
    return captioner.writer.get_submodule("bert.encoder.layer")


def _heads(projected: Tensor, attention: Any) -> Tensor:
    """[n, T, H · D] → [n, H, T, D]."""
    heads = attention.num_attention_heads
    return projected.view(projected.shape[0], -1, heads, projected.shape[-1] // heads).transpose(1, 2)


def example_inputs(trained: Trained, made: dict[str, Graph]) -> dict[str, Arrays]:
    """For each graph what it takes of two test photos."""
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
    """The decoder's inputs for the first word of each photo."""
    past = np.zeros((*memory.shape[:4], length, memory.shape[5]), np.float32)
    return {"words": words, "position": np.zeros(1, np.int64), "memory": memory, "past": past}


def write_index(trained: Trained, most: int, folder: Path) -> None:
    """The first `most` photos of the test split: embeddings as PyTorch computes them, the same on every CPU."""
    dataset = trained.dataset
    chosen = dataset.split("test")[:most]
    embeddings = trained.outputs("test")["images"][: len(chosen)].numpy()
    rows = dataset.samples.iloc[chosen]
    with canonical.replacing_folder(folder) as temporary:
        np.save(temporary / "embeddings.npy", embeddings)
        photos = [{"id": id_, "captions": json.loads(said)} for id_, said in zip(rows["id"], rows["captions"], strict=True)]
        canonical.write_json(temporary / "photos.json", photos)
        (temporary / "photos").mkdir()
        for number, position in enumerate(chosen):
            (temporary / "photos" / f"{number:05d}.jpg").write_bytes(
                encoded(dataset.arrays["images"][position], "JPEG", THUMBNAIL)
            )


def encoded(image: NDArray[np.uint8], form: str, side: int = 1 << 16) -> bytes:
    """uint8 [3, S, S] → an image file of at most so many pixels a side."""
    photo = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
    photo.thumbnail((side, side))
    with io.BytesIO() as stream:
        photo.save(stream, form)
        return stream.getvalue()


def compare(trained: Trained, made: dict[str, Graph], config: Export, folder: Path) -> Parity:
    """Vectors of photos and first sentences, and the greedy sentences: ONNX Runtime against PyTorch."""
    test = trained.dataset.take(trained.dataset.split("test"))
    differences = {}
    for name, inputs in (("image", {"images": test["images"]}), ("text", {"tokens": test["tokens"][:, 0]})):
        expected, found = by_torch(made[name], inputs), by_onnx(folder / f"{name}.onnx", inputs)
        differences[name] = float(np.abs(found["vector"] - expected["vector"]).max())
    said = sentences_by_onnx(folder, test["images"], trained.meta["vocabulary"])
    equal = sum(one == other for one, other in zip(said, greedy_sentences(trained, test["images"]), strict=True))
    verdict = {
        "samples": len(said),
        "within_tolerance": max(differences.values()) <= config.tolerance,
        "tolerance": config.tolerance,
        "sentences_equal": len(said) - equal <= max(1, len(said) // CLOSE_CALLS),
    }
    measured = {"largest_differences": differences, "sentences_equal": equal, "sentences": len(said)}
    wrong = "" if verdict["within_tolerance"] and verdict["sentences_equal"] else f"{measured}"
    return Parity(verdict, measured, wrong)


def sentences_by_onnx(folder: Path, images: NDArray[np.uint8], names: Sequence[str]) -> list[str]:
    """The greedy sentence of each photo [n, 3, S, S] by the exported graphs, one photo at a time as the service does."""
    image, decoder = (session(folder / f"{name}.onnx") for name in ("image", "decoder"))
    memories = (image.run(["memory"], {"images": photo[None]})[0] for photo in images)
    return [vocabulary.sentence(decoding.by_graph(decoder, memory, width=1)[0].words, names) for memory in memories]


@torch.no_grad()
def greedy_sentences(trained: Trained, images: NDArray[np.uint8]) -> list[str]:
    """What the network writes of photos as they are stored."""
    assert isinstance(trained.network, Captioner) and isinstance(trained.model, CaptionModel)
    side = ImageSide(trained.network, trained.model)
    found: list[str] = []
    for first in range(0, len(images), BATCH):
        places = trained.network.places(side.preprocess(torch.tensor(images[first : first + BATCH])))
        said = writing.greedy(trained.network, places)
        found += [vocabulary.sentence(words, trained.meta["vocabulary"]) for words in said]
    return found
