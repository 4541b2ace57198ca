"""Export of a classifier: one ONNX graph of preprocessing, network and softmax, and a static int8 variant.

A task's `export` is one line:

    return classification.export(trained, graph, config, folder)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from bitbloom.contracts import Parity, Trained
from bitbloom.core import canonical, progress
from bitbloom.export import quantise
from bitbloom.export.graphs import Graph, batches, by_onnx, by_torch, tensors, write

if TYPE_CHECKING:
    from bitbloom.config.sections.export import Export
    from bitbloom.data.dataset import Arrays, Dataset

FP32, INT8 = "model.onnx", "model.int8.onnx"
PROBABILITIES = "probabilities"


class Calibrated(torch.nn.Module):
    """Logits [n, classes] → probabilities, with temperature scaling."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        """float32 [n, classes] → float32 [n, classes]."""
        return (logits / self.temperature).softmax(dim=-1)


def export(trained: Trained, graph: Graph, config: Export, folder: Path) -> Parity:
    """Write the graph and its int8 variant.

    Its inputs are arrays of the data set; its first output is `probabilities` float32 [n, classes].
    """
    dataset = trained.dataset
    program, proto = write(graph, select(graph, dataset, dataset.split("test")[:2]), folder / FP32, config.opset)
    if config.int8:
        samples = calibration(graph, dataset, config.calibration_samples)
        ranges = quantise.measure(program, progress.track(samples, "measure ranges for int8"))
        with canonical.replacing(folder / INT8) as temporary:
            quantise.save(quantise.static_int8(proto, ranges), temporary)
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
    difference = max(float(np.abs(from_onnx[name] - from_torch[name]).max()) for name in graph.outputs)
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
