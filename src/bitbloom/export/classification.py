"""Export of a classifier: one ONNX graph of preprocessing, network and softmax, and a static int8 variant.

A task's `export` is one line:

    return classification.export(trained, graph, config, folder)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from bitbloom.contracts import Parity, Trained
from bitbloom.core import canonical, progress
from bitbloom.export import quantise
from bitbloom.export.graphs import Graph, batches, by_onnx, by_torch, tensors, write
from bitbloom.models.classifier import has_attention

if TYPE_CHECKING:
    from bitbloom.config.sections.export import Export
    from bitbloom.data.dataset import Arrays, Dataset

FP32, INT8 = "model.onnx", "model.int8.onnx"
PROBABILITIES, ATTENTION, EMBEDDING = "probabilities", "attention", "embedding"
"""Names of outputs. A service computes the last two on request only."""


class Calibrated(torch.nn.Module):
    """Logits [n, classes] → probabilities, with temperature scaling."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        """float32 [n, classes] → float32 [n, classes]."""
        return (logits / self.temperature).softmax(dim=-1)


class Classifier(torch.nn.Module):
    """The exported steps: preprocessing, network and calibrated softmax, with the outputs of `Classifier.outputs`."""

    def __init__(self, preprocess: torch.nn.Module, network: torch.nn.Module, calibrated: Calibrated, classes: int) -> None:
        super().__init__()
        self.preprocess, self.network, self.calibrated = preprocess, network, calibrated
        self.attends = has_attention(network)
        self.head = find_head(network, classes)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        attention, embedding = (ATTENTION,) if self.attends else (), (EMBEDDING,) if self.head else ()
        return (PROBABILITIES, *attention, *embedding)

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Inputs [n, …] → float32: probabilities [n, classes], attention maps [n, grid, grid], embeddings [n, d]."""
        network: Any = self.network
        with entering(self.head) as entered:
            found = network.with_attention(self.preprocess(inputs)) if self.attends else (network(self.preprocess(inputs)),)
        embeddings = (pooled(entered[-1]),) if entered else ()
        return (self.calibrated(found[0]), *found[1:], *embeddings)


def find_head(network: torch.nn.Module, classes: int) -> torch.nn.Module | None:
    """The classification head: the last linear layer with one output for each class. Its input is the embedding."""
    linear = (module for module in network.modules() if isinstance(module, torch.nn.Linear))
    heads = [module for module in linear if module.out_features == classes]
    return heads[-1] if heads else None


@contextlib.contextmanager
def entering(module: torch.nn.Module | None) -> Iterator[list[torch.Tensor]]:
    """Yield a list of the inputs of a module, which the block fills by running it."""
    entered: list[torch.Tensor] = []
    if module is None:
        yield entered
        return
    hook = module.register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0]))
    try:
        yield entered
    finally:
        hook.remove()


def pooled(features: torch.Tensor) -> torch.Tensor:
    """The input of a head, [n, d]; a head that reads each token, [n, l, d], has the mean of them."""
    return features if features.dim() == 2 else features.flatten(1, -2).mean(dim=1)


def export(trained: Trained, graph: Graph, config: Export, folder: Path) -> Parity:
    """Write the graph and its int8 variant.

    Its inputs are arrays of the data set; its first output is `probabilities` float32 [n, classes].
    """
    dataset = trained.dataset
    program, proto = write(graph, select(graph, dataset, dataset.split("test")[:2]), folder / FP32, config.opset)
    if config.int8:
        samples = calibration(graph, dataset, config.calibration_samples)
        ranges = quantise.measure(program, progress.track(samples, "measure ranges for int8"))
        names = [str(name) for name in program.graph_signature.user_outputs]
        ranges |= {name: ranges[node] for name, node in zip(graph.outputs, names, strict=True)}  # the graph renames its outputs
        with canonical.replacing(folder / INT8) as temporary:
            quantise.save(quantise.static_int8(proto, ranges, (EMBEDDING,)), temporary)
    return compare(graph, dataset, config, folder)


def select(graph: Graph, dataset: Dataset, positions: NDArray[np.int64]) -> Arrays:
    """The graph's inputs at these positions."""
    found = dataset.take(positions)
    return {name: found[name] for name in graph.inputs}


def calibration(graph: Graph, dataset: Dataset, count: int) -> list[tuple[torch.Tensor, ...]]:
    """Batches of at most `count` training samples, spread evenly over the split."""
    train = dataset.split("train")
    chosen = train[np.linspace(0, len(train) - 1, min(count, len(train))).astype(np.int64)]
    return [tensors(batch) for batch in batches(select(graph, dataset, chosen))]


def compare(graph: Graph, dataset: Dataset, config: Export, folder: Path) -> Parity:
    """Compare labels and all outputs of ONNX Runtime with PyTorch on the test split, and measure the cost of int8."""
    test = dataset.split("test")
    inputs, labels = select(graph, dataset, test), dataset.take(test)["labels"]
    from_torch = by_torch(graph, inputs, "compare: PyTorch")
    from_onnx = by_onnx(folder / FP32, inputs, "compare: ONNX Runtime")
    difference = max(largest_difference(from_onnx[name], from_torch[name]) for name in graph.outputs)
    expected, found = from_torch[PROBABILITIES], from_onnx[PROBABILITIES]
    verdict = {
        "samples": len(test),
        "labels_equal": equal_labels(expected, found, config.tolerance),
        "within_tolerance": difference <= config.tolerance,
        "tolerance": config.tolerance,
    }
    measured: dict[str, Any] = {"largest_difference": difference}
    if config.int8:
        kept = by_onnx(folder / INT8, inputs, "compare: int8")[PROBABILITIES].argmax(1) == labels
        measured["int8"] = int8_cost(expected.argmax(1) == labels, kept, config.int8_cost)
    return Parity(verdict, measured, describe_difference(verdict))


def largest_difference(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """The largest difference of two arrays, as a fraction of the largest expected value if that is above 1."""
    return float(np.abs(found - expected).max() / max(1.0, float(np.abs(expected).max())))


def equal_labels(expected: NDArray[np.float32], found: NDArray[np.float32], tolerance: float) -> int:
    """The number of rows of two arrays [n, classes] with equal likeliest classes.

    Classes closer than twice the tolerance count as equal, because the CPU decides which of them is the likeliest.
    """
    named = np.take_along_axis(expected, found.argmax(1)[:, None], axis=1)[:, 0]
    return int((expected.max(1) - named <= 2 * tolerance).sum())


def int8_cost(right: NDArray[np.bool_], kept: NDArray[np.bool_], bound: float) -> dict[str, Any]:
    """The loss of accuracy by int8 on this CPU, and whether it is within the bound.

    ONNX Runtime's int8 kernels depend on the CPU: one without VNNI adds in 16 bits, which can overflow. Another CPU may have
    another verdict.
    """
    cost = float(right.mean() - kept.mean())
    return {
        "accuracy": float(kept.mean()),
        "accuracy_fp32": float(right.mean()),
        "accuracy_cost": cost,
        "accuracy_cost_bound": bound,
        "within_bound": cost <= bound,
    }


def describe_difference(verdict: dict[str, Any]) -> str:
    """The difference between the fp32 graph and the network, as text; empty when they are equal."""
    if verdict["labels_equal"] == verdict["samples"] and verdict["within_tolerance"]:
        return ""
    return (
        f"{verdict['labels_equal']} of {verdict['samples']} labels are equal, "
        f"outputs within {verdict['tolerance']}: {verdict['within_tolerance']}"
    )
