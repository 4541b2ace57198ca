"""Task `captions`: generate a caption of a photo, and retrieve photos by sentences.

Arrays: those of `bitbloom.tasks.captions.samples`, and, if a tower is frozen, those of `features`.
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

CAPTION, VIEW, VIEWS, DROPOUT = 16, 17, 18, 19
"""Purposes of a sample's derived seeds, in addition to those of augmentation."""


def build(model: CaptionModel, meta: Mapping[str, Any], pretrained: bool = True) -> nn.Module:
    """Build both towers and the decoder."""
    from bitbloom.models import captioner

    return captioner.build(model, meta, pretrained)


def parameter_groups(network: nn.Module, train: Train) -> list[dict[str, Any]]:
    """Return the optimiser groups: towers with layer-wise learning rates, new modules with the rate of the head."""
    from bitbloom.training import groups

    towers = ("dual.vision_model.", "dual.text_model.")
    new = [parameter for name, parameter in network.named_parameters() if not name.startswith(towers)]
    return groups.parameter_groups(network, new, train)


def batch(
    arrays: Mapping[str, NDArray[Any]], seeds: NDArray[np.uint64] | None, augment: Augment | None, model: CaptionModel
) -> Batch:
    """Return a batch: drawn captions for training (c = `model.sentences`, p = 1), all captions (c = p = C) without `seeds`.

    `words` int64 [n, c, W]; for training also `shown`, the same with word dropout; `pixels` float32 [n, 3, s, s], or `places`,
    patch features float32 [n, T, D] of a frozen image tower; `tokens` int64 [n, p, l], or `meanings`, text features float32
    [n, p, width] of a frozen text tower.
    """
    import torch

    words = arrays["words"]
    rows = np.arange(len(words))[:, None]
    if seeds is None:
        found = {"words": words}
        columns = np.broadcast_to(np.arange(words.shape[1]), words.shape[:2])
    else:
        columns = draw_captions(words, seeds, model.sentences)
        found = {"words": words[rows, columns]}
        found["shown"] = word_dropout(found["words"], seeds, model.writer.word_dropout)
        columns = columns[:, :1]
    paired = "meanings" if "meanings" in arrays else "tokens"
    found[paired] = arrays[paired][rows, columns]
    return {name: torch.from_numpy(array) for name, array in found.items()} | _image_inputs(arrays, seeds, augment, model)


def draw_captions(words: NDArray[np.int64], seeds: NDArray[np.uint64], count: int) -> NDArray[np.int64]:
    """Return the captions of each photo for a training step, [n, count]: a drawn one and its successors, cyclically."""
    from bitbloom.data.vocabulary import PADDING
    from bitbloom.numerics import seeds as draw

    captions = (words[:, :, 0] != PADDING).sum(axis=1)
    first = draw.below(draw.derive(seeds, CAPTION), captions)
    chosen: NDArray[np.int64] = (first[:, None] + np.arange(count)) % captions[:, None]
    return chosen


def word_dropout(words: NDArray[np.int64], seeds: NDArray[np.uint64], probability: float) -> NDArray[np.int64]:
    """Replace words [n, c, W] by UNKNOWN, each independently with this probability."""
    from bitbloom.data.vocabulary import END, PADDING, START, UNKNOWN
    from bitbloom.numerics import seeds as draw

    positions = np.arange(words[0].size).reshape(words.shape[1:])
    dropped = draw.happens(draw.derive(seeds[:, None, None], DROPOUT, positions), probability)
    return np.where(dropped & ~np.isin(words, (PADDING, START, END)), UNKNOWN, words)


def _image_inputs(
    arrays: Mapping[str, NDArray[Any]], seeds: NDArray[np.uint64] | None, augment: Augment | None, model: CaptionModel
) -> Batch:
    """Return the image inputs of a batch."""
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
    assert augment is not None, "augment is given with seeds"
    return {"pixels": preprocess.normalise(vary(scale(images), seeds, model.image.image_size, augment))}


def features(
    network: nn.Module,
    arrays: Mapping[str, NDArray[Any]],
    seeds: NDArray[np.uint64],
    augment: Augment | None,
    model: CaptionModel,
) -> dict[str, NDArray[Any]]:
    """Return the outputs of the frozen towers.

    `places` float16 [n, views, T, D]: patch features of the image tower, the first view without augmentation; `meanings` float32
    [n, C, width]: text features of the text tower.
    """
    import torch

    from bitbloom.numerics import seeds as draw

    captioner = _captioner(network)
    found: dict[str, NDArray[Any]] = {}
    if model.image_layers == 0:
        view_seeds = (None, *(draw.derive(seeds, VIEWS, view) for view in range(1, model.views)))
        views = [captioner.patch_features(_image_inputs(arrays, seed, augment, model)["pixels"]) for seed in view_seeds]
        found["places"] = torch.stack(views, dim=1).half().numpy()
    if model.text_layers == 0:
        tokens = torch.from_numpy(arrays["tokens"])
        found["meanings"] = captioner.text_features(tokens.flatten(0, 1)).view(*tokens.shape[:2], -1).numpy()
    return found


def forward(network: nn.Module, batch: Batch) -> Outputs:
    """Return unit vectors `images` [n, E] and `texts` [n, c, E], and `nll` [n, c]: mean -log p per word, 0 without a caption."""
    captioner = _captioner(network)
    patches, texts = _patch_features(captioner, batch), _text_embeddings(captioner, batch)
    nll = _nll(captioner, patches, batch["words"], batch["words"], 0.0)
    return {"images": captioner.image_embedding(patches), "texts": texts, "nll": nll}


def loss(network: nn.Module, batch: Batch, train: Train) -> Tensor:
    """Return the symmetric contrastive loss of the micro-batch plus the cross-entropy of the next word with label smoothing."""
    import torch
    from torch.nn.functional import cross_entropy

    captioner = _captioner(network)
    patches, texts = _patch_features(captioner, batch), _text_embeddings(captioner, batch)[:, 0]
    similarity = captioner.similarity(captioner.image_embedding(patches), texts)
    pairs = torch.arange(len(similarity))
    contrastive = (cross_entropy(similarity, pairs) + cross_entropy(similarity.T, pairs)) / 2
    generative = _nll(captioner, patches, batch["words"], batch["shown"], train.label_smoothing).mean()
    return captioner.contrast_weight * contrastive + generative


def score(outputs: Outputs, arrays: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Return the loss of the decoder, and recall at 5 in both directions for photos and first captions."""
    images, firsts = outputs["images"], outputs["texts"][:, 0]
    similarity = images @ firsts.T
    own = similarity.diagonal()
    found = [(ranked > own[:, None]).sum(dim=1) < 5 for ranked in (similarity, similarity.T)]
    recall = sum(int(hits.sum()) for hits in found) / (2 * len(own))
    nll = outputs["nll"]
    loss = float(nll.sum() / (nll > 0).sum())
    return {"loss": loss, "recall": recall, "score": recall}


def _captioner(network: nn.Module) -> Captioner:
    from bitbloom.models.captioner import Captioner

    assert isinstance(network, Captioner)
    return network


def _patch_features(captioner: Captioner, batch: Batch) -> Tensor:
    return batch["places"] if "places" in batch else captioner.patch_features(batch["pixels"])


def _text_embeddings(captioner: Captioner, batch: Batch) -> Tensor:
    """Return unit vectors [n, c, E] of the captions."""
    if "meanings" in batch:
        return captioner.text_embedding(batch["meanings"])
    tokens = batch["tokens"]
    return captioner.text_embedding(captioner.text_features(tokens.flatten(0, 1))).view(*tokens.shape[:2], -1)


def _nll(captioner: Captioner, patches: Tensor, words: Tensor, shown: Tensor, smoothing: float) -> Tensor:
    """Return the mean negative log likelihood per word [n, c], given the `shown` words, with label smoothing."""
    from torch.nn.functional import cross_entropy

    from bitbloom.data.vocabulary import PADDING

    targets = words[:, :, 1:]
    repeated = patches[:, None].expand(-1, words.shape[1], -1, -1).flatten(0, 1)
    logits = captioner.next_words(repeated, shown.flatten(0, 1)[:, :-1]).flatten(0, 1)
    losses = cross_entropy(logits, targets.flatten(), reduction="none", ignore_index=PADDING, label_smoothing=smoothing)
    nll: Tensor = losses.view_as(targets).sum(dim=2) / (targets != PADDING).float().sum(dim=2).clamp(min=1.0)
    return nll
