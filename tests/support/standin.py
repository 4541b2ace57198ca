"""A stand-in for a trained model, packaged and served by BentoML: fixtures of the service and page tests.

The model labels a photo by its mean colour, so that each prediction is known in advance.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from PIL import Image

from bitbloom.config.sections.numerics import Numerics
from bitbloom.config.sections.service import Service
from bitbloom.config.target import Target
from bitbloom.core.digests import file_digest
from bitbloom.data.descriptors import image, text
from bitbloom.drift import familiar
from bitbloom.drift.observations import Observations
from bitbloom.serving import build
from bitbloom.serving.predictor import Predictor
from bitbloom.serving.settings import LOCK, PROVENANCE, SETTINGS
from bitbloom.stages import package

REPOSITORY = Path(__file__).parents[2]
SIDE, GRID = 24, 4
COLOURS = {
    "poppy": (220, 30, 30),
    "fern": (40, 170, 50),
    "cornflower": (40, 60, 220),
    "sunflower": (235, 200, 20),
    "orchid": (200, 40, 190),
    "daisy": (250, 250, 250),
}
LIMITS = Service(
    title="Petals",
    max_bytes=300_000,
    max_pixels=1_000_000,
    max_batch=4,
    max_requests=8,
    body_seconds=4.0,
    unsure_below=0.5,
)
SECONDS_TO_START = 60
TOKEN = "sesame"
VARIABLES = ("BITBLOOM_COMMIT", "IMAGE_REVISION", "BITBLOOM_TOKEN", "BITBLOOM_FEEDBACK_TOKEN", "BITBLOOM_LOG")
"""Variables that a service reads. It does not get those of the shell that runs the tests."""


def write_model(path: Path) -> Path:
    """Write an ONNX file by the export contract. Returns its path.

    A class is likelier the nearer its colour is to the mean colour [3] of a photo; attention is proportional to brightness. The
    logits are multiplied by the size of the batch, so that photos in one run have other probabilities than alone. The
    embedding is the mean colour.
    """
    colours = np.array(list(COLOURS.values()), np.float32) / 255
    sharpness = 12.0
    # softmax(-s |x - c|²) = softmax(2 s x·c - s |c|²): linear in the mean colour x.
    constants = {
        "scale": np.float32(1 / 255),
        "weights": 2 * sharpness * colours.T,
        "bias": -sharpness * (colours**2).sum(axis=1),
        "axes": np.array([2, 3]),
        "channel": np.array([1]),
        "grid": np.array([0, GRID, GRID]),
        "least": np.float32(1e-6),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["means"], keepdims=0),
        helper.make_node("Mul", ["means", "scale"], ["embedding"]),
        helper.make_node("MatMul", ["embedding", "weights"], ["products"]),
        helper.make_node("Add", ["products", "bias"], ["distances"]),
        *multiply_by_batch_size("images", "distances", "logits"),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ReduceMean", ["floats", "channel"], ["grey"], keepdims=1),
        helper.make_node("AveragePool", ["grey"], ["patches"], kernel_shape=[SIDE // GRID] * 2, strides=[SIDE // GRID] * 2),
        helper.make_node("Add", ["patches", "least"], ["light"]),
        helper.make_node("ReduceSum", ["light", "axes"], ["total"], keepdims=1),
        helper.make_node("Div", ["light", "total"], ["fractions"]),
        helper.make_node("Reshape", ["fractions", "grid"], ["attention"]),
    ]
    graph = helper.make_graph(
        nodes,
        "standin",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", 3, SIDE, SIDE])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", len(COLOURS)]),
            helper.make_tensor_value_info("attention", TensorProto.FLOAT, ["n", GRID, GRID]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 3]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {"classes": json.dumps(list(COLOURS)), "image_size": str(SIDE), "task": "petals"})
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def multiply_by_batch_size(inputs: str, values: str, result: str) -> list[NodeProto]:
    """Nodes that multiply values by the size of the batch: on every CPU, a batch then has other predictions."""
    return [
        helper.make_node("Shape", [inputs], [f"{inputs} length"], start=0, end=1),
        helper.make_node("Cast", [f"{inputs} length"], [f"{inputs} count"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [values, f"{inputs} count"], [result]),
    ]


def photo(colour: tuple[int, int, int], width: int = 64, height: int = 48, kind: str = "JPEG") -> bytes:
    """An image file of one colour."""
    stream = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(stream, kind)
    return stream.getvalue()


def write_workspace(folder: Path) -> Path:
    """Write the inputs of the package stage, with the stand-in model. Returns the folder."""
    write_model(folder / "models/petals/model.onnx")
    write_reference(folder / "models/petals")
    (folder / "models/petals/config.json").write_text(json.dumps({"data_digest": "d" * 64}))
    write_surroundings(folder)
    return folder


def write_reference(folder: Path, kind: str = "image") -> None:
    """Write the reference of a model of photos or texts, whose inputs are all alike; it is right on three of four of them."""
    names = (image if kind == "image" else text).NAMES
    features = {name: [0.5] * 60 for name in names}
    split = ["train"] * 30 + ["val"] * 30
    truth = [str(number % 4 == 0) for number in range(60)]
    columns = {"split": split, "id": [f"{number:02}" for number in range(60)], "label": ["False"] * 60, "truth": truth}
    Observations.of(kind, features, **columns).write(folder / "reference.parquet")
    if kind == "image":
        familiar.write(folder / familiar.FAMILIAR, familiar.chosen(None))


def greens(model: Path) -> NDArray[np.float32]:
    """References for photos of the colour of `fern`: the stand-in's embeddings of colours near it."""
    predictor = Predictor.open(model)
    shades = [tuple(channel + 2 * step for channel in COLOURS["fern"]) for step in range(-8, 9)]
    return familiar.chosen(np.stack([predictor.observe(predictor.decode(photo((r, g, b))))[1] for r, g, b in shades]))


def write_surroundings(folder: Path) -> None:
    """Write the inputs of the package stage besides the model."""
    shutil.copytree(REPOSITORY / "bentos", folder / "bentos", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "requirements.lock").write_text("torch==0.0.0\n")
    (folder / "requirements-serve.lock").write_text(f"bentoml==1.4.39 \\\n    --hash=sha256:{'a' * 64}\n")


def make_target(task: str = "petals", limits: Service = LIMITS, kind: str = "image") -> Target:
    """The target that the package stage gets."""
    sections = {"task": task, "embedded": True, "overrides": [], "numerics": Numerics(), "service": limits, "model.kind": kind}
    return Target(task, sections)


def write_service(folder: Path, model_digest: str | None = None) -> Path:
    """Write the folder of a service, as the package stage assembles it. Returns its path."""
    model = write_model(folder / "written.onnx")
    facts = {
        "target": "petals",
        "task": "petals",
        "data_digest": "d",
        "lock_digest": "l",
        "model_digest": model_digest or file_digest(model),
        "rebuild": "make verify TARGET=petals",
    }
    folder.joinpath("lock").write_text("")
    context = folder / "src"
    context.mkdir()
    files = {"model.onnx": model, LOCK: folder / "lock"}
    texts = {SETTINGS: package.settings(make_target()), PROVENANCE: facts}
    with contextlib.chdir(REPOSITORY):
        build.assemble(context, "petals", "image", files, texts)
    return context


@dataclass(frozen=True)
class Served:
    """A service at `url`, the workspace of its Bento, its BENTOML_HOME, and what it logs."""

    url: str
    workspace: Path
    home: Path
    log: Path
    target: str = "petals"

    @property
    def model(self) -> Path:
        """The exported model."""
        return self.workspace / "models" / self.target / "model.onnx"

    @property
    def report(self) -> dict[str, object]:
        """The report of the package stage."""
        return json.loads((self.workspace / "reports" / self.target / "bento.json").read_text())


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the package stage has run."""
    folder = write_workspace(tmp_path_factory.mktemp("workspace"))
    with contextlib.chdir(folder):
        package.run(make_target())
    return folder


@pytest.fixture(scope="session")
def served(workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The packaged service, installed and started by BentoML on a free port of the loopback interface."""
    with installed(workspace, "petals", tmp_path_factory) as served:
        yield served


@pytest.fixture(scope="session")
def guarded(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of another process of this service, which requires TOKEN."""
    with serving("petals:latest", served.home, tmp_path_factory.mktemp("guarded"), BITBLOOM_TOKEN=TOKEN) as url:
        yield url


@contextlib.contextmanager
def installed(workspace: Path, target: str, folders: pytest.TempPathFactory) -> Iterator[Served]:
    """The service of a workspace's Bento, in a separate store, while the block runs."""
    from bitbloom.serving.store import install

    home = folders.mktemp(f"bentoml-{target}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_HOME", str(home))
        install(workspace / f"dist/{target}.bento")
    folder = folders.mktemp(f"current-{target}")
    with serving(f"{target}:latest", home, folder) as url:
        yield Served(url, workspace, home, folder / "log", target)


def free_port() -> int:
    """An unused port of the loopback interface."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class StartError(Exception):
    """A service ended, or was not ready in time: its exit code, None if it still runs, and its log."""

    def __init__(self, code: int | None, log: str) -> None:
        super().__init__(f"the service did not start ({code}):\n{log[-3000:]}")
        self.code, self.log = code, log


@contextlib.contextmanager
def serving(bento: str, home: Path, folder: Path, **variables: str) -> Iterator[str]:
    """`bentoml serve` in another folder than the repository and without its modules: the Bento has to contain them."""
    inherited = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", *VARIABLES)}
    environment = inherited | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"} | variables
    with listening([sys.executable, "-m", "bentoml", "serve", bento], environment, folder) as url:
        yield url


@contextlib.contextmanager
def listening(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Iterator[str]:
    """The address of a `bentoml serve` on a free port of the loopback interface, once it is ready. Its log is `folder`/log."""
    port = free_port()
    log = folder / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder,
            env=environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(url, process, log)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        time.sleep(0.1)
    raise StartError(process.poll(), log.read_text(errors="replace"))
