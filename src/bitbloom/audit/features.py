"""Features of photos and texts by frozen pretrained networks of weights.lock, computed once for each sample.

`.bitbloom/audit/<target>-<network>.npz` keeps them by the digests of the samples, so a second audit computes those of new samples
only. A worker process runs one thread on batches of a fixed size: neither the number of workers nor that of cores changes a bit.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitbloom.core import canonical, processes
from bitbloom.core.progress import advancing
from bitbloom.data import imaging
from bitbloom.models import weights

if TYPE_CHECKING:
    from torch import nn

STORE = Path(".bitbloom/audit")
BATCH = 8
"""Samples in one pass: the activations of more photos do not fit the caches of a core."""
TOKENS = 64
"""Longest text in tokens; what follows is cut off."""

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Extractor:
    """A frozen network.

    Attributes:
        name: of its weights in weights.lock.
        version: changes when the code gives other features.
        compute: the features [n, d] of n inputs; worker processes import it by its name.
    """

    name: str
    version: str
    compute: Callable[[Sequence[str]], Features]

    @property
    def identity(self) -> str:
        """What the features depend on besides the sample."""
        return f"{self.version} {weights.locked(self.name).member_sha256}"


def of_photos(paths: Sequence[str]) -> Features:
    """Return features [n, 1280] of image files: the means of those of the photo and of its mirror image."""
    import torch

    from bitbloom.audit.efficientnet import SIDE

    photos = torch.from_numpy(np.stack([imaging.square(Path(path).read_bytes(), SIDE) for path in paths]))
    with torch.inference_mode():
        network = _photo_network()
        found: Features = ((network(photos) + network(photos.flip(3))) / 2).numpy()
    return found


def of_texts(texts: Sequence[str]) -> Features:
    """Return features [n, 384] of texts: the mean over their tokens, as the encoder was trained."""
    import torch

    from bitbloom.models import tokens
    from bitbloom.models.text_classifier import additive_mask

    tokenizer = tokens.open_tokenizer(weights.tokenizer_file(f"locked:{TEXTS.name}"), TOKENS)
    rows = torch.from_numpy(tokens.encode(tokenizer, texts)[0])
    mask = (rows != tokens.padding(tokenizer)).to(torch.float32)
    with torch.inference_mode():
        hidden = _text_network()(input_ids=rows, attention_mask=additive_mask(mask)).last_hidden_state
        found: Features = ((hidden * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)).numpy()
    return found


PHOTOS = Extractor("efficientnet-lite0", "1", of_photos)
TEXTS = Extractor("minilm", "1", of_texts)


@functools.cache
def _photo_network() -> nn.Module:
    from bitbloom.audit import efficientnet
    from bitbloom.numerics import pins

    pins.pin_torch()
    return efficientnet.load(weights.ensure(PHOTOS.name))


@functools.cache
def _text_network() -> nn.Module:
    from transformers import BertConfig, BertModel

    from bitbloom.models.layers import EAGER
    from bitbloom.numerics import pins

    pins.pin_torch()
    state = weights.state(f"locked:{TEXTS.name}")
    words, width = state["embeddings.word_embeddings.weight"].shape
    sizes: dict[str, Any] = {"num_hidden_layers": 6, "num_attention_heads": 12, "attn_implementation": EAGER}
    shape = BertConfig(vocab_size=words, hidden_size=width, intermediate_size=4 * width, **sizes)
    network: Any = BertModel(shape, add_pooling_layer=False)
    weights.load_backbone(network, state)
    frozen: nn.Module = network.eval()
    return frozen


def features(extractor: Extractor, inputs: Sequence[str], digests: Sequence[str], file: Path) -> Features:
    """Return the features [n, d] of n inputs, those of known digests from `file`, which then has exactly these.

    Args:
        extractor: the network.
        inputs: what its `compute` takes.
        digests: identifies each input by its content.
        file: of earlier features, `.npz`.
    """
    known = _read(file, extractor)
    missing = {digest: each for digest, each in zip(digests, inputs, strict=True) if digest not in known}
    if missing:
        weights.ensure(extractor.name)
        known |= dict(zip(missing, _compute(extractor, list(missing.values())), strict=True))
    if missing or len(known) > len(set(digests)):
        _write(file, extractor, {digest: known[digest] for digest in sorted(set(digests))})
    return np.stack([known[digest] for digest in digests])


def digest(text: str) -> str:
    """Return the SHA-256 of a text, 64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def _compute(extractor: Extractor, inputs: Sequence[str]) -> Features:
    batches = [inputs[first : first + BATCH] for first in range(0, len(inputs), BATCH)]
    workers = min(processes.workers(), max(1, len(batches) // 8))  # a process takes seconds to start
    found = []
    with advancing(f"features by {extractor.name}", len(inputs)) as advance:
        for batch in processes.spread(partial(_filled, extractor.compute), batches, workers, chunk=1):
            found.append(batch)
            advance(len(batch))
    return np.concatenate(found)


def _filled(compute: Callable[[Sequence[str]], Features], batch: Sequence[str]) -> Features:
    """Compute a batch that is filled with repetitions: the bits of products with few rows depend on the CPU."""
    repeated = [batch[position % len(batch)] for position in range(BATCH)]
    return compute(repeated)[: len(batch)].astype(np.float32)


def _read(file: Path, extractor: Extractor) -> dict[str, Any]:
    """Earlier features by digest; none if there is no file, or another version of the network wrote it."""
    if not file.is_file():
        return {}
    with np.load(file, allow_pickle=False) as stored:
        if str(stored["identity"]) != extractor.identity:
            return {}
        return dict(zip(stored["digests"].tolist(), stored["features"], strict=True))


def _write(file: Path, extractor: Extractor, known: dict[str, Any]) -> None:
    with canonical.replacing(file) as temporary, temporary.open("wb") as stream:
        np.savez(stream, identity=extractor.identity, digests=np.array(list(known)), features=np.stack(list(known.values())))
