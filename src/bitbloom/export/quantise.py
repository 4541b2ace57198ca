"""Static int8 of an exported graph, with ranges measured by PyTorch.

ONNX Runtime chooses code by CPU, so ranges measured by it would make the file depend on the CPU. PyTorch runs the same exported
program under the portable pins instead: the program's nodes and the graph's values share their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor

Range = tuple[float, float]
QUANTISED = ("MatMul", "Gemm", "Conv")
"""Operations whose inputs and weights become int8. Outputs, biases, norms and softmax stay float32."""


class Ranges(torch.fx.Interpreter):
    """Runs a program and records the smallest and largest value of every float tensor by the name of its node."""

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        super().__init__(program.module())
        self.found: dict[str, Range] = {}

    def run_node(self, n: torch.fx.Node) -> Any:
        """Run one node and widen its range."""
        value = super().run_node(n)
        if isinstance(value, Tensor) and value.is_floating_point() and value.numel():
            low, high = float(value.min()), float(value.max())
            before = self.found.get(n.name, (low, high))
            self.found[n.name] = (min(low, before[0]), max(high, before[1]))
        return value


@torch.no_grad()
def measure(program: torch.export.ExportedProgram, batches: Iterable[Sequence[Tensor]]) -> dict[str, Range]:
    """The range of every tensor over these batches of the program's inputs."""
    ranges = Ranges(program)
    for inputs in batches:
        ranges.run(*inputs)
    return ranges.found


def static_int8(model: onnx.ModelProto, ranges: dict[str, Range], kept: Sequence[str] = ()) -> onnx.ModelProto:
    """The graph with 8-bit weights (one scale for each output channel) and 8-bit inputs of the QUANTISED operations.

    The outputs `kept` stay float32, although a QUANTISED operation reads them too.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorData, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    quantised = onnx.ModelProto()
    quantised.CopyFrom(model)
    outputs = list(model.graph.output)
    del quantised.graph.output[:]  # the quantiser rounds an output that an operation reads, but no inner value
    quantised.graph.output.extend(output for output in outputs if output.name not in kept)
    del quantised.graph.value_info[:]  # the quantiser rejects the exporter's symbolic shapes
    data = {name: TensorData(lowest=np.float32(low), highest=np.float32(high)) for name, (low, high) in ranges.items()}
    quantizer = QDQQuantizer(
        quantised,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, data),
        nodes_to_quantize=heavy_nodes(quantised, ranges),
        nodes_to_exclude=[],
        op_types_to_quantize=list(QUANTISED),
        extra_options={"OpTypesToExcludeOutputQuantization": list(QUANTISED), "DedicatedQDQPair": False},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()  # the quantiser appends its nodes; ONNX requires each value before its use
    result: onnx.ModelProto = quantizer.model.model
    del result.graph.output[:]
    result.graph.output.extend(outputs)
    return result


def heavy_nodes(model: onnx.ModelProto, ranges: dict[str, Range]) -> Sequence[str]:
    """Names of the nodes with a constant weight and an input of known range."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type in QUANTISED and node.input[0] in ranges and node.input[1] in constants
    ]


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write the graph without stack traces, doc strings and inferred shapes, which depend on the machine."""
    for item in (model, model.graph, *model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        item.doc_string = ""
        if item is not model:
            del item.metadata_props[:]
    del model.graph.value_info[:]
    path.write_bytes(model.SerializeToString(deterministic=True))
