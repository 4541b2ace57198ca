"""What a task offers, and what goes from room to room: the files that a newcomer writes.

A task is the folder `tasks/<task>/` with four modules, each loaded by the stages that need it and by no other:

    samples.py     `Samples`: what a sample is, before there is a model             ingest, prepare
    model.py       `TaskModel`: network, batches, loss, score                       features, train, evaluate, export
    evaluate.py    `Evaluator`: numbers and figures of the test split               evaluate
    export.py      `Exporter`: the graphs that are served                           export

Beside it stand `expectations/<task>.json`, the suite of its manifest, and `conf/<target>.yaml`. A service and a page of its own
(`bentos/<task>/`) are optional: without them `bentos/common/<kind of model>/` serves it. A source of raw files is one module in
`data/sources/`, whose protocol is there.

A task never reads a path of the build: stages give it bytes, rows, arrays and modules, and write what it returns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from matplotlib.figure import Figure

    from bitbloom.config.models import Model
    from bitbloom.config.sections.augment import Augment
    from bitbloom.config.sections.evaluate import Evaluate
    from bitbloom.config.sections.export import Export
    from bitbloom.config.sections.prepare import Prepare
    from bitbloom.config.sections.train import Train
    from bitbloom.data.dataset import Arrays, Dataset

Batch = dict[str, "torch.Tensor"]
"""A micro-batch: the same names, as tensors."""
Outputs = dict[str, "torch.Tensor"]
"""Outputs of a network for some samples, by name: tensors whose first axis is the sample."""


class Samples(Protocol):
    """`samples.py`."""

    EXAMPLE: str
    """Name of a file that `bitbloom predict` takes, for hints."""
    KEPT: Sequence[str]
    """Columns of the manifest that later stages read beside id, label, key and attributes."""

    def describe(self, data: bytes, attributes: Mapping[str, object]) -> dict[str, object]:
        """Manifest columns of one sample, of its bytes and of what its source knows of it.

        Never raises on bad bytes: `decodable` is False and `error` says why.
        """
        ...

    def near_duplicates(self, rows: pd.DataFrame, raw: Sequence[bytes], prepare: Prepare) -> list[tuple[int, int]]:
        """Pairs of row positions (i < j) that show nearly the same thing."""
        ...

    def pack(self, rows: pd.DataFrame, raw: Sequence[bytes], prepare: Prepare) -> tuple[Arrays, dict[str, Any]]:
        """Decode all samples into arrays, and say what the model has to know of them (`meta.json`)."""
        ...


class TaskModel(Protocol):
    """`model.py`."""

    def build(self, model: Model, meta: Mapping[str, Any], pretrained: bool = True) -> torch.nn.Module:
        """The network, its weights drawn from the global generator or loaded as `model.weights` says; not if not `pretrained`."""
        ...

    def parameter_groups(self, network: torch.nn.Module, train: Train) -> list[dict[str, Any]]:
        """Optimiser groups (`params`, `lr`, `weight_decay`)."""
        ...

    def batch(
        self, arrays: Mapping[str, NDArray[Any]], seeds: NDArray[np.uint64] | None, augment: Augment | None, model: Model
    ) -> Batch:
        """Tensors of some samples; `seeds` [n] augments each with its own by `augment`, None leaves them as they are."""
        ...

    def forward(self, network: torch.nn.Module, batch: Batch) -> Outputs:
        """Outputs of a batch, which `score` and the evaluation measure."""
        ...

    def loss(self, network: torch.nn.Module, batch: Batch, train: Train) -> torch.Tensor:
        """Mean loss of a micro-batch, a scalar."""
        ...

    def score(self, outputs: Outputs, arrays: Mapping[str, NDArray[Any]]) -> dict[str, float]:
        """Validation numbers from the outputs of all validation samples; `accuracy`-like key `score` is maximised."""
        ...


class FeatureExtractor(Protocol):
    """What `model.py` offers beside that for a model of which parts may keep their weights."""

    def features(
        self,
        network: torch.nn.Module,
        arrays: Mapping[str, NDArray[Any]],
        seeds: NDArray[np.uint64],
        augment: Augment,
        model: Model,
    ) -> dict[str, NDArray[Any]]:
        """Outputs of those parts for some samples: arrays that `batch` then takes instead of those they were made from."""
        ...


class Trained(Protocol):
    """A trained network in evaluation mode, as evaluation and export get it."""

    @property
    def task(self) -> TaskModel:
        """The `model.py` of its task."""
        ...

    @property
    def network(self) -> torch.nn.Module: ...

    @property
    def model(self) -> Model:
        """The `model` section that it was built from."""
        ...

    @property
    def meta(self) -> dict[str, Any]:
        """What its task noted of the data it was trained on (`meta.json`)."""
        ...

    @property
    def dataset(self) -> Dataset: ...

    @property
    def data_digest(self) -> str:
        """SHA-256 of the data that it was trained on."""
        ...

    def outputs(self, split: str) -> Outputs:
        """Its outputs for a split's included samples, in the order of `dataset.split`."""
        ...


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found: numbers, pictures, and the samples worth looking at."""

    metrics: dict[str, Any]
    figures: dict[str, tuple[str, Figure]]
    """File stem → (caption, figure), in the order of the report."""
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """File stem → rows, written as JSON for `dvc plots`."""


class Evaluator(Protocol):
    """`evaluate.py`."""

    def evaluate(self, trained: Trained, history: dict[str, Any], config: Evaluate) -> Evaluation:
        """Metrics, figures and tables of a trained network's outputs for the test split."""
        ...


@dataclass(frozen=True)
class Parity:
    """Whether what was exported gives the outputs of the network.

    Attributes:
        verdict: `parity.json`: counts and verdicts that are the same on every CPU, although the floats of ONNX Runtime are not.
        measured: the differences themselves and what int8 costs, for `run.json`, which is not hashed.
        wrong: what differs from the network, in words; empty when all is well.
    """

    verdict: dict[str, Any]
    measured: dict[str, Any]
    wrong: str


class Exporter(Protocol):
    """`export.py`."""

    def export(self, trained: Trained, config: Export, folder: Path) -> Parity:
        """Write the files that the model's `EXPORTS` names to `folder`, and compare them with the network on the test split."""
        ...
