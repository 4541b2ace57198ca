"""The variants of a trained classifier: their names, their files, and how to load them.

from bitbloom.optimise import variants
predict = variants.load("petals", "pruned-50-int8")      # any name of VARIANTS
predict({"images": images})                              # uint8 [n, 3, S, S] → probabilities float32 [n, classes]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from bitbloom.core import onnx_runtime as runtime
from bitbloom.core.errors import BitBloomError
from bitbloom.evaluation import kinds
from bitbloom.export.classification import FP32, INT8, PROBABILITIES

if TYPE_CHECKING:
    import torch
    from onnxruntime import InferenceSession
    from torch import nn

    from bitbloom.config.target import Target
    from bitbloom.data.dataset import Arrays
    from bitbloom.export.graphs import Graph
    from bitbloom.training.inference import Trained

Predict = Callable[["Arrays"], NDArray[np.float32]]
"""The inputs of an exported graph by name, [n, …] each → probabilities [n, classes]."""

MODELS, OPTIMISED = "models", "dist/optimised"
WEIGHTS = "model.safetensors"
PERCENTAGES = (25, 50)
"""Percentages of the units that pruning removes."""


@dataclass(frozen=True)
class Variant:
    """One way to run the same classifier.

    Attributes:
        name: on the command line.
        title: in the table.
        root: MODELS or OPTIMISED, which have one folder for each target.
        file: its file below the target's folder.
        compiled: whether torch.compile runs it.
        half: whether it runs in bfloat16.
    """

    name: str
    title: str
    root: str
    file: str
    compiled: bool = field(default=False, kw_only=True)
    half: bool = field(default=False, kw_only=True)

    @property
    def by_onnx(self) -> bool:
        """Whether ONNX Runtime runs it, as `bitbloom predict` and the service do."""
        return self.file.endswith(".onnx")

    @property
    def folder(self) -> str | None:
        """The folder that `optimise.make` writes; None for outputs of the build."""
        return Path(self.file).parts[0] if self.root == OPTIMISED else None

    def path(self, target: str) -> Path:
        """Its file."""
        return Path(self.root) / target / self.file


def _pruned(percent: int) -> tuple[Variant, ...]:
    name, title = f"pruned-{percent}", f"{percent} % pruned"
    return (
        Variant(f"{name}-untuned", f"{title}, not tuned", OPTIMISED, f"{name}-untuned/{FP32}"),
        Variant(name, title, OPTIMISED, f"{name}/{FP32}"),
        Variant(f"{name}-int8", f"{title}, static int8", OPTIMISED, f"{name}/{INT8}"),
    )


REFERENCE, SERVED = "torch-fp32", "onnx-fp32"
"""The references for accuracy and for speed: the trained network, and the graph that the service runs by default."""
VARIANTS = (
    Variant(REFERENCE, "PyTorch fp32, eager", MODELS, WEIGHTS),
    Variant("torch-compile", "torch.compile, fp32", MODELS, WEIGHTS, compiled=True),
    Variant("torch-bf16", "PyTorch bf16", OPTIMISED, f"bf16/{WEIGHTS}", half=True),
    Variant("torch-compile-bf16", "torch.compile, bf16", OPTIMISED, f"bf16/{WEIGHTS}", compiled=True, half=True),
    Variant(SERVED, "ONNX Runtime fp32", MODELS, FP32),
    Variant("int8", "static int8", MODELS, INT8),
    Variant("dynamic-int8", "dynamic int8", OPTIMISED, f"dynamic-int8/{FP32}"),
    *(variant for percent in PERCENTAGES for variant in _pruned(percent)),
)


def named(name: str) -> Variant:
    """The variant of this name. Raises BitBloomError for an unknown name."""
    for variant in VARIANTS:
        if variant.name == name:
            return variant
    raise BitBloomError(f"'{name}' is none of {', '.join(variant.name for variant in VARIANTS)}")


def load(target: str, name: str) -> Predict:
    """Load a variant of a target. Raises BitBloomError when it is missing or cannot run on this machine."""
    from bitbloom import tasks
    from bitbloom.config.target import Target
    from bitbloom.training import inference

    variant, found = named(name), Target.load(target)
    return (
        by_onnx(variant.path(target))
        if variant.by_onnx
        else Loader(found, inference.load(found, tasks.model(found.task))).load(variant)
    )


def session(target: str, name: str) -> tuple[InferenceSession, Path]:
    """A variant of a target as a session for predictors, and its file. Raises BitBloomError as `load` does."""
    from bitbloom import tasks
    from bitbloom.config.target import Target
    from bitbloom.serving.predictor import open_session
    from bitbloom.training import inference

    variant, found = named(name), Target.load(target)
    file = variant.path(target)
    if variant.by_onnx:
        return open_session(file)[0], file
    loader = Loader(found, inference.load(found, tasks.model(found.task)))
    return cast("InferenceSession", TorchSession(loader.graph, loader.load(variant))), file


class TorchSession:
    """A variant in PyTorch with the interface of a session of ONNX Runtime."""

    def __init__(self, graph: Graph, predict: Predict) -> None:
        self.graph, self.predict = graph, predict

    def get_inputs(self) -> list[SimpleNamespace]:
        """Names of the graph's inputs."""
        return [SimpleNamespace(name=name) for name in self.graph.inputs]

    def get_outputs(self) -> list[SimpleNamespace]:
        """The probabilities; there is no attention map."""
        return [SimpleNamespace(name=PROBABILITIES)]

    def get_modelmeta(self) -> SimpleNamespace:
        """The metadata of the graph."""
        return SimpleNamespace(custom_metadata_map=dict(self.graph.properties))

    def run(self, _: object, inputs: Arrays, __: object = None) -> list[NDArray[np.float32]]:
        """Probabilities float32 [n, classes]."""
        return [self.predict(inputs)]


class Loader:
    """Loads variants of one trained classifier, whose PyTorch graph is made once."""

    def __init__(self, target: Target, trained: Trained) -> None:
        self.target, self.trained = target.name, trained
        self.graph = graph(target.task, trained)

    def load(self, variant: Variant) -> Predict:
        """Load the variant. Raises BitBloomError when its file is missing or cannot be loaded."""
        file = variant.path(self.target)
        if not file.is_file():
            raise BitBloomError(f"{file} is missing: `make {self._made_by(variant)} TARGET={self.target}` makes it")
        if variant.by_onnx:
            return by_onnx(file)
        module = without_attention(self.graph)
        return by_torch(self.graph, self._in_bf16(module, file) if variant.half else module, variant)

    def _made_by(self, variant: Variant) -> str:
        if variant.root == OPTIMISED:
            return "optimise"
        return "export" if variant.by_onnx else "train"

    def _in_bf16(self, module: nn.Sequential, file: Path) -> nn.Sequential:
        """The same steps with a separate network, which has the weights in `file`."""
        import copy

        from safetensors.torch import load_file
        from torch import nn

        network = in_bf16(copy.deepcopy(self.trained.network))
        network.load_state_dict(load_file(file))
        return nn.Sequential(*(network if part is self.trained.network else part for part in module)).eval()


def graph(task: str, trained: Trained) -> Graph:
    """The graph that the export stage writes of a trained classifier."""
    from bitbloom import tasks

    exporter: Any = tasks.exporter(task)
    made: Graph = exporter.graph(trained)
    return made


def without_attention(graph: Graph) -> nn.Sequential:
    """The module without attention map and embedding, which the service computes on request only."""
    from torch import nn

    from bitbloom.export.classification import Classifier

    module = graph.module
    assert isinstance(module, Classifier)
    return nn.Sequential(module.preprocess, module.network, module.calibrated).eval()


def by_onnx(file: Path) -> Predict:
    """A graph in a session as of the service: one thread, and only the probabilities are computed.

    Raises:
        BitBloomError: the file is missing or cannot be loaded.
    """
    from bitbloom.serving.predictor import open_session

    session, _ = open_session(file)
    options = runtime.onnxruntime().RunOptions()
    options.only_execute_path_to_fetches = True

    def predict(inputs: Arrays) -> NDArray[np.float32]:
        found: NDArray[np.float32] = session.run([PROBABILITIES], inputs, options)[0]
        return found

    return predict


def by_torch(graph: Graph, module: nn.Module, variant: Variant) -> Predict:
    """A module in eager mode or compiled by TorchInductor (Ansel et al. 2024, doi:10.1145/3620665.3640366)."""
    import torch

    run = torch.compile(module) if variant.compiled else module

    def predict(inputs: Arrays) -> NDArray[np.float32]:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=variant.half):
            found: torch.Tensor = run(*(torch.from_numpy(inputs[name]) for name in graph.inputs))
        return found.float().numpy()

    return predict


def in_bf16(network: nn.Module) -> nn.Module:
    """The network itself, with matrices, convolutions and embeddings in bfloat16. Norms and sums stay in float32.

    It runs under autocast, which casts the inputs of these layers.
    """
    import torch
    from torch import nn

    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding):
            module.to(torch.bfloat16)
    return network


def require_classifier(target: str, kind: str) -> None:
    """Raise BitBloomError unless a model of this kind is one classifier."""
    if not kinds.results(kind).classifier:
        raise BitBloomError(f"`optimise` works for models that are one classifier: that of {target} is of kind {kind}")


def checked(target: Target) -> Target:
    """The target itself. Raises BitBloomError when its model is not one classifier or is not exported yet."""
    require_classifier(target.name, target.model.kind)
    if not (file := target.models / FP32).is_file():
        raise BitBloomError(f"{file} is missing: run `make export TARGET={target.name}` first")
    return target
