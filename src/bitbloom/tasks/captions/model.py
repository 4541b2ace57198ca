"""Task `captions`: a photo → a sentence that says what is in it, and photos and sentences that belong together.

Arrays: as `bitbloom.tasks.captions.samples` packs them; where a tower is frozen also what `features` made of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bitbloom.config.models.caption import CaptionModel
    from bitbloom.config.sections.augment import Augment
    from bitbloom.config.sections.train import Train
    from bitbloom.contracts import Batch, Outputs
    from bitbloom.models.captioner import Captioner

CAPTION, VIEW, VIEWS, GAP = 16, 17, 18, 19
"""Purposes that a sample's seed is derived for, beside those of its augmentation."""


def build(model: CaptionModel, meta: Mapping[str, Any], pretrained: bool = True) -> nn.Module:
    """Both towers and the writer."""
    from bitbloom.models import captioner

    return captioner.build(model, meta, pretrained)


def parameter_groups(network: nn.Module, train: Train) -> list[dict[str, Any]]:
    """The towers learn at the learning rate, falling from layer to layer; what is new on top of them at the head's."""
    from bitbloom.training import groups

    towers = ("dual.vision_model.", "dual.text_model.")
    new = [parameter for name, parameter in network.named_parameters() if not name.startswith(towers)]
    return groups.parameter_groups(network, new, train)


def batch(
    arrays: Mapping[str, NDArray[Any]], seeds: NDArray[np.uint64] | None, augment: Augment | None, model: CaptionModel
) -> Batch:
    """Some sentences of a photo, drawn, for training (c = `model.sentences`, p = 1), all of them (c = p = C) without `seeds`.

    `words` int64 [n, c, W]; for training `shown`, the same with some words left out; `pixels` float32 [n, 3, s, s], or `places`
    float32 [n, T, D] of a frozen image tower; `tokens` int64 [n, p, l], or `meanings` float32 [n, p, width] of a frozen text one.
    """
    import torch

    words = arrays["words"]
    rows = np.arange(len(words))[:, None]
    if seeds is None:
        found = {"words": words}
        columns = np.broadcast_to(np.arange(words.shape[1]), words.shape[:2])
    else:
        columns = drawn(words, seeds, model.sentences)
        found = {"words": words[rows, columns]}
        found["shown"] = with_gaps(found["words"], seeds, model.writer.word_dropout)
        columns = columns[:, :1]
    paired = "meanings" if "meanings" in arrays else "tokens"
    found[paired] = arrays[paired][rows, columns]
    return {name: torch.from_numpy(array) for name, array in found.items()} | _seen(arrays, seeds, augment, model)


def drawn(words: NDArray[np.int64], seeds: NDArray[np.uint64], count: int) -> NDArray[np.int64]:
    """Which of its sentences each photo is learned with, [n, count]: a drawn one and those after it, in a ring."""
    from bitbloom.data.vocabulary import PADDING
    from bitbloom.numerics import seeds as draw

    there = (words[:, :, 0] != PADDING).sum(axis=1)
    first = draw.below(draw.derive(seeds, CAPTION), there)
    chosen: NDArray[np.int64] = (first[:, None] + np.arange(count)) % there[:, None]
    return chosen


def with_gaps(words: NDArray[np.int64], seeds: NDArray[np.uint64], share: float) -> NDArray[np.int64]:
    """`words` [n, c, W] with UNKNOWN in place of a share of them, each drawn alone."""
    from bitbloom.data.vocabulary import END, PADDING, START, UNKNOWN
    from bitbloom.numerics import seeds as draw

    places = np.arange(words[0].size).reshape(words.shape[1:])
    left_out = draw.happens(draw.derive(seeds[:, None, None], GAP, places), share)
    return np.where(left_out & ~np.isin(words, (PADDING, START, END)), UNKNOWN, words)


def _seen(
    arrays: Mapping[str, NDArray[Any]], seeds: NDArray[np.uint64] | None, augment: Augment | None, model: CaptionModel
) -> Batch:
    """The photos' side of a batch."""
    import torch

    from bitbloom.models.augment import vary
    from bitbloom.models.preprocess import Preprocess, scale
    from bitbloom.numerics import seeds as draw

    if "places" in arrays:
        views = np.full(len(arrays["places"]), arrays["places"].shape[1])
        view = np.zeros_like(views) if seeds is None else draw.below(draw.derive(seeds, VIEW), views)
        return {"places": torch.from_numpy(arrays["places"][np.arange(len(views)), view].astype(np.float32))}
    preprocess, images = Preprocess(model.image.image_size, model.image.mean, model.image.std), torch.from_numpy(arrays["images"])
    if seeds is None:
        return {"pixels": preprocess(images)}
    assert augment is not None, "given wherever seeds are"
    return {"pixels": preprocess.normalise(vary(scale(images), seeds, model.image.image_size, augment))}


def features(
    network: nn.Module,
    arrays: Mapping[str, NDArray[Any]],
    seeds: NDArray[np.uint64],
    augment: Augment | None,
    model: CaptionModel,
) -> dict[str, NDArray[Any]]:
    """What the frozen towers say of some samples.

    `places` float16 [n, views, T, D] of the image tower, the first view the photo as it is; `meanings` float32 [n, C, width] of
    the text tower.
    """
    import torch

    from bitbloom.numerics import seeds as draw

    captioner = _captioner(network)
    found: dict[str, NDArray[Any]] = {}
    if model.image_layers == 0:
        varied = (None, *(draw.derive(seeds, VIEWS, view) for view in range(1, model.views)))
        views = [captioner.places(_seen(arrays, view, augment, model)["pixels"]) for view in varied]
        found["places"] = torch.stack(views, dim=1).half().numpy()
    if model.text_layers == 0:
        tokens = torch.from_numpy(arrays["tokens"])
        found["meanings"] = captioner.meaning(tokens.flatten(0, 1)).view(*tokens.shape[:2], -1).numpy()
    return found


def forward(network: nn.Module, batch: Batch) -> Outputs:
    """Unit vectors `images` [n, E] and `texts` [n, c, E], and `surprise` [n, c]: mean -log p of a sentence's words, 0 of none."""
    captioner = _captioner(network)
    places, texts = _places(captioner, batch), _texts(captioner, batch)
    surprise = _surprise(captioner, places, batch["words"], batch["words"], 0.0)
    return {"images": captioner.image_embedding(places), "texts": texts, "surprise": surprise}


def loss(network: nn.Module, batch: Batch, train: Train) -> Tensor:
    """The symmetric contrastive loss within the micro-batch, and cross-entropy of the next word with label smoothing."""
    import torch
    from torch.nn.functional import cross_entropy

    captioner = _captioner(network)
    places, texts = _places(captioner, batch), _texts(captioner, batch)[:, 0]
    similar = captioner.similarity(captioner.image_embedding(places), texts)
    pairs = torch.arange(len(similar))
    contrast = (cross_entropy(similar, pairs) + cross_entropy(similar.T, pairs)) / 2
    written = _surprise(captioner, places, batch["words"], batch["shown"], train.label_smoothing).mean()
    return captioner.contrast_weight * contrast + written


def score(outputs: Outputs, arrays: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Loss of writing, and recall at 5 in both directions among the validation split's photos and first sentences."""
    images, firsts = outputs["images"], outputs["texts"][:, 0]
    similar = images @ firsts.T
    own = similar.diagonal()
    above = [(side > own[:, None]).sum(dim=1) < 5 for side in (similar, similar.T)]
    recall = sum(int(hits.sum()) for hits in above) / (2 * len(own))
    there = outputs["surprise"] > 0
    surprise = float(outputs["surprise"].sum() / there.sum())
    return {"loss": surprise, "recall": recall, "score": recall}


def _captioner(network: nn.Module) -> Captioner:
    from bitbloom.models.captioner import Captioner

    assert isinstance(network, Captioner)
    return network


def _places(captioner: Captioner, batch: Batch) -> Tensor:
    return batch["places"] if "places" in batch else captioner.places(batch["pixels"])


def _texts(captioner: Captioner, batch: Batch) -> Tensor:
    """Unit vectors [n, c, E] of the sentences."""
    if "meanings" in batch:
        return captioner.text_embedding(batch["meanings"])
    tokens = batch["tokens"]
    return captioner.text_embedding(captioner.meaning(tokens.flatten(0, 1))).view(*tokens.shape[:2], -1)


def _surprise(captioner: Captioner, places: Tensor, words: Tensor, shown: Tensor, smoothing: float) -> Tensor:
    """Mean -log p of each sentence's words [n, c], each given those `shown` before it; `smoothing` of them over all words."""
    from torch.nn.functional import cross_entropy

    from bitbloom.data.vocabulary import PADDING

    wanted = words[:, :, 1:]
    many = places[:, None].expand(-1, words.shape[1], -1, -1).flatten(0, 1)
    logits = captioner.next_words(many, shown.flatten(0, 1)[:, :-1]).flatten(0, 1)
    each = cross_entropy(logits, wanted.flatten(), reduction="none", ignore_index=PADDING, label_smoothing=smoothing)
    surprise: Tensor = each.view_as(wanted).sum(dim=2) / (wanted != PADDING).float().sum(dim=2).clamp(min=1.0)
    return surprise
