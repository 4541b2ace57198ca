"""A trained model under examination, with the test samples that are damaged."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bitbloom import tasks
from bitbloom.config.target import Target
from bitbloom.contracts import TaskModel
from bitbloom.core.digests import file_digest
from bitbloom.core.errors import BitBloomError
from bitbloom.data import texts
from bitbloom.data.dataset import Dataset
from bitbloom.evaluation import calibration
from bitbloom.models import tokens
from bitbloom.monitoring.robustness import photos, sentences
from bitbloom.training import inference

if TYPE_CHECKING:
    from bitbloom.contracts import Batch, Outputs
    from bitbloom.training.inference import Trained

WEIGHTS = "model.safetensors"


@dataclass(frozen=True, eq=False)
class Subject:
    """A trained model and its test samples.

    Attributes:
        label: how the report names it: the target, or the overrides of a variant.
        target: its target.
        trained: its network and data.
        kind: of the model: image, text or caption.
        temperature: divides the logits of a classifier; 1 otherwise.
        digest: SHA-256 of the weights.
        test: the examined samples, a data set of their own.
    """

    label: str
    target: Target
    trained: Trained
    kind: str
    temperature: float
    digest: str
    test: Dataset

    @property
    def damages(self) -> dict[str, str]:
        """Name → group of the damages of its inputs."""
        if self.kind == "text":
            return {name: group for name, (group, _) in sentences.NOISES.items()}
        return {name: corruption.group for name, corruption in photos.CORRUPTIONS.items()}

    @property
    def labels(self) -> NDArray[np.int64]:
        """[n] Classes of the test samples."""
        return np.asarray(self.test.arrays["labels"])

    def outputs(self, samples: Dataset) -> Outputs:
        """Outputs for all rows of a data set; a classifier's also have `embedding` [n, d], the input of its head."""
        return outputs(self.trained, samples)


def load(name: str, workspace: Path = Path(), label: str = "", most: int = 0) -> Subject:
    """Load the trained model of a target from the workspace of its build, with up to `most` test samples (0: all).

    Raises:
        BitBloomError: the target is not built, or has no test samples.
    """
    with contextlib.chdir(workspace):
        target = Target.load(name)
        weights = target.models / WEIGHTS
        for path, goal in ((target.processed / "meta.json", "prepare"), (weights, "train")):
            if not path.exists():
                raise BitBloomError(f"{path} is missing: run `make {goal} TARGET={name}` first")
        trained, digest = inference.load(target, tasks.model(target.task)), file_digest(weights)
        positions = trained.dataset.split("test")
        if len(positions) == 0:
            raise BitBloomError(f"{target.processed} has no test samples: give `prepare.split` a larger third number")
        kind: str = trained.model.kind
        temperature = calibration.temperature(trained) if kind != "caption" else 1.0
        return Subject(
            label or name, target, trained, kind, temperature, digest, select(trained.dataset, spread(positions, most))
        )


def spread(positions: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Up to `most` of the positions, evenly spread; all of them for 0."""
    if not most or most >= len(positions):
        return positions
    return positions[np.linspace(0, len(positions) - 1, most).round().astype(np.int64)]


def select(dataset: Dataset, positions: NDArray[np.int64]) -> Dataset:
    """A data set of some samples, in memory."""
    return Dataset(dataset.take(positions), dataset.samples.iloc[positions].reset_index(drop=True), dataset.meta)


def damaged(subject: Subject, name: str, severity: int) -> Dataset:
    """The test samples with a damage; severity 0 leaves them as they are."""
    seeds = subject.test.sample_seeds()
    if subject.kind == "text":
        rows = subject.test.samples
        return with_texts(subject.test, sentences.damage_all(rows["text"].tolist(), name, severity, seeds.tolist()))
    return with_images(subject.test, photos.corrupt(np.asarray(subject.test.arrays["images"]), name, severity, seeds))


def with_images(samples: Dataset, images: NDArray[np.uint8]) -> Dataset:
    """The same samples with other photos [n, 3, S, S]. Features of the old photos are left out."""
    kept = {key: array for key, array in samples.arrays.items() if key != "places"}
    return Dataset(kept | {"images": images}, samples.samples, samples.meta)


def with_texts(samples: Dataset, changed: Sequence[str]) -> Dataset:
    """The same samples with other texts, tokenised as in training; keyword and location stay."""
    rows = samples.samples.assign(text=list(changed))
    encoded, lengths = encode(samples.meta, samples.arrays["tokens"].shape[1], joined(rows))
    return Dataset(dict(samples.arrays) | {"tokens": encoded, "lengths": lengths}, rows, samples.meta)


def joined(rows: Any) -> list[str]:
    """The model's inputs of rows with text, keyword and location."""
    return [texts.joined(*row) for row in zip(rows["text"], rows["keyword"], rows["location"], strict=True)]


def encode(meta: Mapping[str, Any], length: int, given: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tokens [n, length] and lengths [n] of texts."""
    from tokenizers import Tokenizer

    return tokens.encode(tokens.fitted(Tokenizer.from_str(meta["tokenizer"]), length), given)


def outputs(trained: Trained, samples: Dataset) -> Outputs:
    """Outputs of a network for all rows of a data set, with `embedding` of a classifier."""
    with _Watched(trained) as task:
        return inference.outputs(cast(TaskModel, task), trained.network, samples, np.arange(len(samples.samples)), trained.model)


class _Watched:
    """The task of a model, whose `forward` also returns what the head of a classifier reads."""

    def __init__(self, trained: Trained) -> None:
        self.task, self.network, self.seen = trained.task, trained.network, dict[str, torch.Tensor]()
        self.head = head(trained.network, len(trained.meta["classes"])) if "classes" in trained.meta else None

    def __enter__(self) -> _Watched:
        self.handle = self.head.register_forward_pre_hook(self._see) if self.head is not None else None
        return self

    def __exit__(self, *_: object) -> None:
        if self.handle is not None:
            self.handle.remove()

    def _see(self, _: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self.seen["embedding"] = inputs[0]

    def batch(self, *arguments: Any) -> Batch:
        return self.task.batch(*arguments)

    def forward(self, network: nn.Module, batch: Batch) -> Outputs:
        return self.task.forward(network, batch) | self.seen


def head(network: nn.Module, classes: int) -> nn.Module:
    """The classification head: the last linear layer with an output for each class. Raises BitBloomError without one."""
    found = [layer for layer in network.modules() if isinstance(layer, nn.Linear) and layer.out_features == classes]
    if not found:
        raise BitBloomError(f"{type(network).__name__} has no linear layer with {classes} outputs, so it has no embedding")
    return found[-1]


def cells(subject: Subject, severities: Sequence[int] = photos.SEVERITIES) -> Iterator[tuple[str, int]]:
    """Every damage with every severity."""
    yield from ((name, severity) for name in subject.damages for severity in severities)
