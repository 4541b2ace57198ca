"""export: the network, its preprocessing and its softmax as one ONNX graph, and a static int8 variant.

    python -m bitbloom.stages.export petals      # → models/petals/{model.onnx, model.int8.onnx, parity.json}

The graph takes `images` uint8 [n, 3, S, S] and gives `probabilities` float32 [n, classes]. What ONNX Runtime computes is
compared with PyTorch here, and only counts and verdicts are kept: its last bits depend on the CPU.
"""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bitbloom import canonical
from bitbloom.config import Model
from bitbloom.dataset import Dataset
from bitbloom.errors import BitBloomError
from bitbloom.inference import load_network
from bitbloom.models import quantise
from bitbloom.models.preprocess import Preprocess
from bitbloom.numerics import pins
from bitbloom.stages import main
from bitbloom.target import Target

READS = ("task", "export")
BATCH = 32


class Served(nn.Module):
    """Preprocessing, network and softmax: uint8 [n, 3, S, S] → probabilities float32 [n, classes]."""

    def __init__(self, network: nn.Module, model: Model) -> None:
        super().__init__()
        self.preprocess = Preprocess(model.image_size, model.mean, model.std)
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Stored squares to probabilities."""
        return torch.softmax(self.network(self.preprocess(images)), dim=-1)


def run(target: Target) -> None:
    """Write the two graphs and `parity.json`.

    Raises:
        BitBloomError: a label differs from PyTorch's on the test split, or a probability by more than `export.tolerance`.
    """
    pins.pin_torch()
    _, network, config = load_network(target)
    served = Served(network, Model(**config["model"])).eval()
    dataset = Dataset.open(target.processed)
    program, graph = to_onnx(served, config["meta"]["image_size"], target.export.opset)
    describe(graph, config, target.task)
    with canonical.replacing(target.models / "model.onnx") as temporary:
        quantise.save(graph, temporary)
    if target.export.int8:
        ranges = quantise.measure(program, calibration(dataset, target.export.calibration_samples))
        with canonical.replacing(target.models / "model.int8.onnx") as temporary:
            quantise.save(quantise.static_int8(graph, ranges), temporary)
    parity = compare(target, served, dataset)
    canonical.write_json(target.models / "parity.json", parity)
    check(parity, target)


def to_onnx(served: Served, side: int, opset: int) -> tuple[torch.export.ExportedProgram, onnx.ModelProto]:
    """The exported program and its ONNX graph, any number of images at a time."""
    example = torch.zeros(2, 3, side, side, dtype=torch.uint8)
    batch = {"images": {0: torch.export.Dim("n", min=1, max=1 << 16)}}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses torchvision, which nothing here uses
    warnings.filterwarnings("ignore", category=FutureWarning, module="copyreg")
    exported = torch.onnx.export(
        served,
        (example,),
        dynamo=True,
        opset_version=opset,
        input_names=["images"],
        output_names=["probabilities"],
        dynamic_shapes=batch,
        verbose=False,
    )
    if exported is None or exported.exported_program is None:
        raise BitBloomError("torch.onnx.export gave no program")
    return exported.exported_program, exported.model_proto


def describe(graph: onnx.ModelProto, config: dict[str, Any], task: str) -> None:
    """What a reader of the file alone has to know, as its metadata."""
    meta = config["meta"]
    properties = {"classes": json.dumps(meta["classes"], ensure_ascii=False), "image_size": str(meta["image_size"]), "task": task}
    onnx.helper.set_model_props(graph, properties)


def calibration(dataset: Dataset, count: int) -> list[Tensor]:
    """Batches of training images, spread evenly over the split."""
    train = dataset.split("train")
    chosen = train[np.linspace(0, len(train) - 1, min(count, len(train))).astype(np.int64)]
    images = dataset.take(chosen)["images"]
    return [torch.from_numpy(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]


def compare(target: Target, served: Served, dataset: Dataset) -> dict[str, Any]:
    """Counts and verdicts on the test split: ONNX Runtime against PyTorch, and what int8 costs."""
    test = dataset.split("test")
    images, labels = dataset.take(test)["images"], dataset.take(test)["labels"]
    expected = by_torch(served, images)
    found = by_onnx(target.models / "model.onnx", images)
    parity: dict[str, Any] = {
        "samples": len(test),
        "labels_equal": int((found.argmax(1) == expected.argmax(1)).sum()),
        "within_tolerance": bool(np.abs(found - expected).max() <= target.export.tolerance),
        "tolerance": target.export.tolerance,
    }
    measured: dict[str, Any] = {"largest_difference": float(np.abs(found - expected).max())}
    if target.export.int8:
        parity["int8"], measured["int8"] = int8_cost(target, expected.argmax(1) == labels, images, labels)
    record(target, measured)
    return parity


def int8_cost(
    target: Target, right: NDArray[np.bool_], images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The verdict that is hashed, and the measured accuracies that are not: ONNX Runtime's last bits depend on the CPU."""
    kept = by_onnx(target.models / "model.int8.onnx", images).argmax(1) == labels
    cost = float(right.mean() - kept.mean())
    verdict = {"accuracy_cost_bound": target.export.int8_cost, "within_bound": cost <= target.export.int8_cost}
    return verdict, {"accuracy": float(kept.mean()), "accuracy_fp32": float(right.mean()), "accuracy_cost": cost}


def record(target: Target, measured: dict[str, Any]) -> None:
    """Add what differs from machine to machine to reports/<target>/run.json, which is not hashed."""
    path = target.reports / "run.json"
    before = canonical.read_json(path) if path.exists() else {}
    canonical.write_json(path, before | {"export": measured})


@torch.no_grad()
def by_torch(served: Served, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Probabilities [n, classes] by PyTorch."""
    parts = [served(torch.from_numpy(images[start : start + BATCH])) for start in range(0, len(images), BATCH)]
    result: NDArray[np.float32] = torch.cat(parts).numpy()
    return result


def by_onnx(path: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Probabilities [n, classes] by ONNX Runtime, one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    parts = [session.run(None, {"images": images[start : start + BATCH]})[0] for start in range(0, len(images), BATCH)]
    return np.concatenate(parts)


def check(parity: dict[str, Any], target: Target) -> None:
    """Raises BitBloomError when the exported graph is not the network."""
    if parity["labels_equal"] != parity["samples"] or not parity["within_tolerance"]:
        raise BitBloomError(
            f"{target.models}/model.onnx is not the network: {parity['labels_equal']} of {parity['samples']} labels are equal, "
            f"probabilities within {parity['tolerance']}: {parity['within_tolerance']} (see parity.json)"
        )


if __name__ == "__main__":
    main(run, READS)
