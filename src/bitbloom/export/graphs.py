"""ONNX graphs of PyTorch modules: reproducible files, and their outputs by PyTorch and by ONNX Runtime."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import torch

from bitbloom.core import canonical, progress
from bitbloom.core import onnx_runtime as runtime
from bitbloom.core.errors import BitBloomError
from bitbloom.export import quantise

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from bitbloom.data.dataset import Arrays

BATCH = 32


@dataclass(frozen=True)
class Graph:
    """A module to export, with the names of its inputs and outputs.

    Attributes:
        module: tensors in the order of `inputs` → a tensor, or a tuple of them in the order of `outputs`.
        inputs: names of the graph's inputs.
        outputs: names of its outputs.
        free: for each input, the names of its dynamic axes (`{0: "n"}`).
        properties: the metadata of the graph, which its users need.
    """

    module: torch.nn.Module
    inputs: Sequence[str]
    outputs: Sequence[str]
    free: Sequence[Mapping[int, str]]
    properties: Mapping[str, str]


def write(graph: Graph, example: Arrays, file: Path, opset: int) -> tuple[torch.export.ExportedProgram, onnx.ModelProto]:
    """Export, add the properties and write the file; `example` has at least two samples and represents any number."""
    program, proto = to_onnx(graph, example, opset)
    onnx.helper.set_model_props(proto, dict(graph.properties))
    with canonical.replacing(file) as temporary:
        quantise.save(proto, temporary)
    return program, proto


def to_onnx(graph: Graph, example: Arrays, opset: int) -> tuple[torch.export.ExportedProgram, onnx.ModelProto]:
    """The exported program and its ONNX graph."""
    sizes = {name: torch.export.Dim(name, min=1, max=1 << 16) for axes in graph.free for name in axes.values()}
    shapes = tuple({axis: sizes[name] for axis, name in axes.items()} for axes in graph.free)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns that torchvision is missing, which is not used here
    warnings.filterwarnings("ignore", category=FutureWarning, module="copyreg")
    warnings.filterwarnings("ignore", message="# The axis name")  # several inputs share one axis on purpose
    exported = torch.onnx.export(
        graph.module.eval(),
        tensors({name: example[name] for name in graph.inputs}),
        dynamo=True,
        opset_version=opset,
        input_names=list(graph.inputs),
        dynamic_shapes=shapes,
        verbose=False,
    )
    if exported is None or exported.exported_program is None:
        raise BitBloomError("torch.onnx.export returned no program")
    proto = exported.model_proto
    name_outputs(proto, graph.outputs)
    return exported.exported_program, proto


def name_outputs(proto: onnx.ModelProto, names: Sequence[str]) -> None:
    """Name the outputs of a graph. An inner value of the same name, as of the operation `embedding`, gets another one."""
    exported = [output.name for output in proto.graph.output]
    renamed = {name: f"{name}_inner" for name in names} | dict(zip(exported, names, strict=True))
    for node in proto.graph.node:
        for values in (node.input, node.output):
            values[:] = [renamed.get(value, value) for value in values]
    for value in (*proto.graph.output, *proto.graph.value_info):
        value.name = renamed.get(value.name, value.name)


def batches(inputs: Arrays) -> Iterator[Arrays]:
    """The inputs in batches of BATCH samples."""
    count = len(next(iter(inputs.values())))
    for start in range(0, count, BATCH):
        yield {name: array[start : start + BATCH] for name, array in inputs.items()}


def tensors(inputs: Arrays) -> tuple[torch.Tensor, ...]:
    """The arrays as tensors."""
    return tuple(torch.from_numpy(array) for array in inputs.values())


def shown_batches(inputs: Arrays, description: str) -> Iterator[Arrays]:
    """The inputs in batches of BATCH samples, with their progress on stderr if there is a description."""
    if not description:
        return batches(inputs)
    return progress.track(batches(inputs), description, -(-len(next(iter(inputs.values()))) // BATCH))


@torch.no_grad()
def by_torch(graph: Graph, inputs: Arrays, shown: str = "") -> Arrays:
    """The outputs of PyTorch. `shown` describes the progress, if it is to be shown."""
    parts = [_named(graph.module(*tensors(batch)), graph.outputs) for batch in shown_batches(inputs, shown)]
    return {name: torch.cat([part[name] for part in parts]).numpy() for name in graph.outputs}


def _named(found: torch.Tensor | tuple[torch.Tensor, ...], names: Sequence[str]) -> dict[str, torch.Tensor]:
    return dict(zip(names, (found,) if isinstance(found, torch.Tensor) else found, strict=True))


def by_onnx(file: Path, inputs: Arrays, shown: str = "") -> Arrays:
    """The outputs of ONNX Runtime on one thread. `shown` describes the progress, if it is to be shown."""
    import numpy as np

    opened = session(file)
    names = [output.name for output in opened.get_outputs()]
    parts = [dict(zip(names, opened.run(names, batch), strict=True)) for batch in shown_batches(inputs, shown)]
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def session(file: Path) -> InferenceSession:
    """A session of ONNX Runtime on one thread."""
    onnxruntime = runtime.onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    opened: InferenceSession = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return opened
