"""The interfaces of a task, and the types that rooms exchange.

A task is the folder `tasks/<task>/` with four modules. Each stage loads only the modules that it needs:

    samples.py     `Samples`: description and packing of samples                    ingest, prepare
    model.py       `TaskModel`: network, batches, loss, score                       features, train, evaluate, export
    evaluate.py    `Evaluator`: metrics and figures of the test split               evaluate
    export.py      `Exporter`: the graphs for the service                           export

A task also needs `expectations/<task>.json`, the suite of its manifest, and `conf/<target>.yaml`. Its own service and page
(`bentos/<task>/`) are optional: the default is `bentos/common/<kind of model>/`. A source of raw files is one module in
`data/sources/`, which defines the protocol.

A task never reads files of the build: stages pass bytes, rows, arrays and modules to it, and write its results.
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
    from bitbloom.drift.observations import Observations

Batch = dict[str, "torch.Tensor"]
"""A micro-batch: named tensors."""
Outputs = dict[str, "torch.Tensor"]
"""Named outputs of a network: tensors whose first axis is the sample."""


class Samples(Protocol):
    """`samples.py`."""

    EXAMPLE: str
    """Example of a file name for `bitbloom predict`, for hints."""
    KEPT: Sequence[str]
    """Columns of the manifest that later stages read in addition to id, label, key and attributes."""
    READ: Sequence[str]
    """Further columns of the manifest that `near_duplicates` or `pack` read."""

    def describe(self, data: bytes, attributes: Mapping[str, object]) -> dict[str, object]:
        """Return the manifest columns of a sample, from its bytes and the attributes of its source.

        Invalid bytes raise no error: `decodable` is False and `error` has the reason.
        """
        ...

    def near_duplicates(self, rows: pd.DataFrame, raw: Sequence[bytes], prepare: Prepare) -> list[tuple[int, int]]:
        """Return pairs of row positions (i < j) with nearly the same content."""
        ...

    def pack(self, rows: pd.DataFrame, raw: Sequence[bytes], prepare: Prepare) -> tuple[Arrays, dict[str, Any]]:
        """Decode all samples into arrays; also return the metadata for the model (`meta.json`)."""
        ...


class TaskModel(Protocol):
    """`model.py`."""

    def build(self, model: Model, meta: Mapping[str, Any], pretrained: bool = True) -> torch.nn.Module:
        """Build the network; if `pretrained`, draw its weights from the global generator or load those of `model.weights`."""
        ...

    def parameter_groups(self, network: torch.nn.Module, train: Train) -> list[dict[str, Any]]:
        """Return optimiser groups (`params`, `lr`, `weight_decay`)."""
        ...

    def batch(
        self, arrays: Mapping[str, NDArray[Any]], seeds: NDArray[np.uint64] | None, augment: Augment | None, model: Model
    ) -> Batch:
        """Return the tensors of samples; with `seeds` [n], each is augmented by `augment`, with None none is."""
        ...

    def forward(self, network: torch.nn.Module, batch: Batch) -> Outputs:
        """Return the outputs for a batch, for `score` and the evaluator."""
        ...

    def loss(self, network: torch.nn.Module, batch: Batch, train: Train) -> torch.Tensor:
        """Return the mean loss of a micro-batch, a scalar."""
        ...

    def score(self, outputs: Outputs, arrays: Mapping[str, NDArray[Any]]) -> dict[str, float]:
        """Return validation metrics from the outputs of all validation samples; training maximises the key `score`."""
        ...


class FeatureExtractor(Protocol):
    """Additional function of `model.py` for models with frozen parts."""

    def features(
        self,
        network: torch.nn.Module,
        arrays: Mapping[str, NDArray[Any]],
        seeds: NDArray[np.uint64],
        augment: Augment,
        model: Model,
    ) -> dict[str, NDArray[Any]]:
        """Return the outputs of the frozen parts: arrays that `batch` uses instead of the raw ones."""
        ...


class Trained(Protocol):
    """A trained network in evaluation mode, for evaluation and export."""

    @property
    def task(self) -> TaskModel:
        """The `model.py` of its task."""
        ...

    @property
    def network(self) -> torch.nn.Module:
        """The network."""
        ...

    @property
    def model(self) -> Model:
        """The `model` section that it was built from."""
        ...

    @property
    def meta(self) -> dict[str, Any]:
        """The task's metadata of the training data (`meta.json`)."""
        ...

    @property
    def dataset(self) -> Dataset:
        """The processed data."""
        ...

    @property
    def data_digest(self) -> str:
        """SHA-256 of the training data."""
        ...

    def outputs(self, split: str) -> Outputs:
        """Return the outputs for the included samples of a split, in the order of `dataset.split`."""
        ...


@dataclass(frozen=True)
class Evaluation:
    """Results of an evaluation: metrics, figures and tables."""

    metrics: dict[str, Any]
    """All numbers. `metrics.json` gets the headlines, the tables get all."""
    figures: dict[str, tuple[str, Figure]]
    """File stem → (caption, figure), in the order of the report."""
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """File stem → rows, written as JSON for `dvc plots`."""
    narrow: dict[str, Figure] = field(default_factory=dict)
    """File stem → the figure for narrow windows, which the report alone shows. Without one the wide figure scrolls."""


class Evaluator(Protocol):
    """`evaluate.py`."""

    def evaluate(self, trained: Trained, history: dict[str, Any], config: Evaluate) -> Evaluation:
        """Return metrics, figures and tables of a trained network on the test split."""
        ...


@dataclass(frozen=True)
class Parity:
    """Comparison of the exported graphs with the network.

    Attributes:
        verdict: content of `parity.json`: counts and verdicts that are the same on every CPU, unlike the floats of ONNX Runtime.
        measured: the differences and the cost of int8, for `run.json`, which is not hashed.
        wrong: description of a failed comparison; empty on success.
    """

    verdict: dict[str, Any]
    measured: dict[str, Any]
    wrong: str


class Exporter(Protocol):
    """`export.py`."""

    def export(self, trained: Trained, config: Export, folder: Path) -> Parity:
        """Write the model's `EXPORTS` to `folder`, and compare them with the network on the test split."""
        ...

    def reference(self, trained: Trained, sizes: Mapping[str, int]) -> Observations:
        """Return what a service is compared with: see `bitbloom.export.reference`.

        `sizes` has the bytes of each sample's file by its id.
        """
        ...
