"""export: the network, its preprocessing and its softmax as one ONNX graph, and a static int8 variant.

    python -m bitbloom.stages.export petals      # → models/petals/{model.onnx, model.int8.onnx, parity.json}

The graph takes the arrays that the task names (`images` uint8 [n, 3, S, S]) and gives `probabilities` float32 [n, classes].
What ONNX Runtime computes is compared with PyTorch here, and only counts and verdicts are kept: its last bits depend on the CPU.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from bitbloom import canonical, config
from bitbloom.dataset import Arrays, Dataset
from bitbloom.errors import BitBloomError
from bitbloom.inference import load_network
from bitbloom.models import quantise
from bitbloom.numerics import pins
from bitbloom.stages import main
from bitbloom.target import Target
from bitbloom.tasks import Served

READS = ("task", "export")
BATCH = 32


def run(target: Target) -> None:
    """Write the two graphs and `parity.json`.

    Raises:
        BitBloomError: a label differs from PyTorch's on the test split, or a probability by more than `export.tolerance`.
    """
    pins.pin_torch()
    task, network, trained = load_network(target)
    served = task.served(network, config.model(trained["model"]), trained["meta"])
    served.module.eval()
    dataset = Dataset.open(target.processed)
    program, graph = to_onnx(served, taken(served, dataset, dataset.split("test")[:2]), target.export.opset)
    onnx.helper.set_model_props(graph, {**served.properties, "task": target.task})
    with canonical.replacing(target.models / "model.onnx") as temporary:
        quantise.save(graph, temporary)
    if target.export.int8:
        ranges = quantise.measure(program, calibration(served, dataset, target.export.calibration_samples))
        with canonical.replacing(target.models / "model.int8.onnx") as temporary:
            quantise.save(quantise.static_int8(graph, ranges), temporary)
    parity = compare(target, served, dataset)
    canonical.write_json(target.models / "parity.json", parity)
    check(parity, target)


def taken(served: Served, dataset: Dataset, positions: NDArray[np.int64]) -> Arrays:
    """The graph's inputs at some positions."""
    found = dataset.take(positions)
    return {name: found[name] for name in served.inputs}


def batches(inputs: Mapping[str, NDArray[Any]]) -> Iterator[Arrays]:
    """The inputs in batches of BATCH samples."""
    count = len(next(iter(inputs.values())))
    for start in range(0, count, BATCH):
        yield {name: array[start : start + BATCH] for name, array in inputs.items()}


def tensors(inputs: Arrays) -> tuple[torch.Tensor, ...]:
    """The arrays as tensors."""
    return tuple(torch.from_numpy(array) for array in inputs.values())


def to_onnx(served: Served, example: Arrays, opset: int) -> tuple[torch.export.ExportedProgram, onnx.ModelProto]:
    """The exported program and its ONNX graph; `example` has two samples and stands for any number."""
    sizes = {name: torch.export.Dim(name, min=1, max=1 << 16) for axes in served.free for name in axes.values()}
    shapes = tuple({axis: sizes[name] for axis, name in axes.items()} for axes in served.free)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses torchvision, which nothing here uses
    warnings.filterwarnings("ignore", category=FutureWarning, module="copyreg")
    exported = torch.onnx.export(
        served.module,
        tensors(example),
        dynamo=True,
        opset_version=opset,
        input_names=list(served.inputs),
        output_names=["probabilities"],
        dynamic_shapes=shapes,
        verbose=False,
    )
    if exported is None or exported.exported_program is None:
        raise BitBloomError("torch.onnx.export gave no program")
    return exported.exported_program, exported.model_proto


def calibration(served: Served, dataset: Dataset, count: int) -> Iterator[tuple[torch.Tensor, ...]]:
    """Batches of training samples, spread evenly over the split."""
    train = dataset.split("train")
    chosen = train[np.linspace(0, len(train) - 1, min(count, len(train))).astype(np.int64)]
    return (tensors(batch) for batch in batches(taken(served, dataset, chosen)))


def compare(target: Target, served: Served, dataset: Dataset) -> dict[str, Any]:
    """Counts and verdicts on the test split: ONNX Runtime against PyTorch, and what int8 costs."""
    test = dataset.split("test")
    inputs, labels = taken(served, dataset, test), dataset.take(test)["labels"]
    expected = by_torch(served, inputs)
    found = by_onnx(target.models / "model.onnx", inputs)
    parity: dict[str, Any] = {
        "samples": len(test),
        "labels_equal": int((found.argmax(1) == expected.argmax(1)).sum()),
        "within_tolerance": bool(np.abs(found - expected).max() <= target.export.tolerance),
        "tolerance": target.export.tolerance,
    }
    measured: dict[str, Any] = {"largest_difference": float(np.abs(found - expected).max())}
    if target.export.int8:
        parity["int8"], measured["int8"] = int8_cost(target, expected.argmax(1) == labels, inputs, labels)
    record(target, measured)
    return parity


def int8_cost(
    target: Target, right: NDArray[np.bool_], inputs: Arrays, labels: NDArray[np.int64]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The verdict that is hashed, and the measured accuracies that are not: ONNX Runtime's last bits depend on the CPU."""
    kept = by_onnx(target.models / "model.int8.onnx", inputs).argmax(1) == labels
    cost = float(right.mean() - kept.mean())
    verdict = {"accuracy_cost_bound": target.export.int8_cost, "within_bound": cost <= target.export.int8_cost}
    return verdict, {"accuracy": float(kept.mean()), "accuracy_fp32": float(right.mean()), "accuracy_cost": cost}


def record(target: Target, measured: dict[str, Any]) -> None:
    """Add what differs from machine to machine to reports/<target>/run.json, which is not hashed."""
    path = target.reports / "run.json"
    before = canonical.read_json(path) if path.exists() else {}
    canonical.write_json(path, before | {"export": measured})


@torch.no_grad()
def by_torch(served: Served, inputs: Arrays) -> NDArray[np.float32]:
    """Probabilities [n, classes] by PyTorch."""
    result: NDArray[np.float32] = torch.cat([served.module(*tensors(batch)) for batch in batches(inputs)]).numpy()
    return result


def by_onnx(path: Path, inputs: Arrays) -> NDArray[np.float32]:
    """Probabilities [n, classes] by ONNX Runtime, one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, batch)[0] for batch in batches(inputs)])


def check(parity: dict[str, Any], target: Target) -> None:
    """Raises BitBloomError when the exported graph is not the network."""
    if parity["labels_equal"] != parity["samples"] or not parity["within_tolerance"]:
        raise BitBloomError(
            f"{target.models}/model.onnx is not the network: {parity['labels_equal']} of {parity['samples']} labels are equal, "
            f"probabilities within {parity['tolerance']}: {parity['within_tolerance']} (see parity.json)"
        )


if __name__ == "__main__":
    main(run, READS)
