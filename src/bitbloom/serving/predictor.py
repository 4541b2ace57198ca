"""The exported classifier of photos: bytes of a photo in, label and probabilities out.

`bitbloom predict` and the service both use it. It needs NumPy, Pillow and ONNX Runtime only.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

from bitbloom.core import onnx_runtime as runtime
from bitbloom.core.digests import file_digest
from bitbloom.core.errors import BitBloomError
from bitbloom.data import imaging
from bitbloom.drift.familiar import Familiar

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, RunOptions

MODEL = "model.onnx"
PROBABILITIES, ATTENTION, EMBEDDING = "probabilities", "attention", "embedding"
"""Outputs of a graph. The last two are computed on request."""
TOP = 5

Embedding = NDArray[np.float32]


class ClassProbability(TypedDict):
    """A label and its probability, 0 to 1."""

    label: str
    probability: float


class Prediction(TypedDict):
    """The likeliest label of a photo, the five likeliest, and the SHA-256 of the model."""

    label: str
    probability: float
    top5: list[ClassProbability]
    model_digest: str
    attention: NotRequired[list[list[float]]]
    """The attention map, on request: rows of patches of the centre square, fractions that add up to 1."""
    distance: NotRequired[float]
    """Distance to known photos in the space of embeddings, 0 to 2, if the model has a reference."""
    known: NotRequired[bool]
    """Whether the distance is one that known photos have. Otherwise the photo shows none of the classes, or is damaged."""


class Failure(TypedDict):
    """Why there is no prediction, and what to do."""

    error: str


@dataclass(frozen=True)
class Predictor:
    """A model of the export stage in an ONNX Runtime session.

    Attributes:
        session: input `images` uint8 [n, 3, side, side], outputs `probabilities` float32 [n, classes]; on request `attention`
            and `embedding`.
        classes: names in the order of the outputs.
        image_size: side of the square that the graph takes, pixels.
        digest: SHA-256 of the model file.
        max_pixels: larger photos are rejected.
        familiar: known photos, with which each one is compared; None without a reference.
    """

    session: InferenceSession
    classes: tuple[str, ...]
    image_size: int
    digest: str
    max_pixels: int
    familiar: Familiar | None = None

    @classmethod
    def open(cls, path: Path, digest: str | None = None, max_pixels: int = imaging.MAX_PIXELS) -> Predictor:
        """Open a model file, or the `model.onnx` of a folder.

        Raises:
            BitBloomError: there is no model, it is not the one of this `digest`, or it is not of the export stage.
        """
        return cls.of(*open_session(path, digest), path, max_pixels)

    @classmethod
    def of(cls, session: InferenceSession, digest: str, path: Path, max_pixels: int = imaging.MAX_PIXELS) -> Predictor:
        """The predictor of an open session. Raises BitBloomError when it is not of the export stage."""
        metadata = session.get_modelmeta().custom_metadata_map
        try:
            classes, side = tuple(json.loads(metadata["classes"])), int(metadata["image_size"])
        except (KeyError, ValueError) as error:
            raise BitBloomError(f"{path} lacks the metadata of the export stage ({error}): export it again") from error
        embeds = EMBEDDING in {output.name for output in session.get_outputs()}
        return cls(session, classes, side, digest, max_pixels, Familiar.beside(path) if embeds else None)

    def predict(self, photo: bytes, attention: bool = False) -> Prediction:
        """The prediction for an image file. Raises UnreadableImage with the reason."""
        return self.classify(self.decode(photo), attention)

    def decode(self, photo: bytes) -> NDArray[np.uint8]:
        """The centre square of an image file, [3, side, side]. Raises UnreadableImage with the reason."""
        return imaging.square(photo, self.image_size, self.max_pixels)

    def classify(self, image: NDArray[np.uint8], attention: bool = False) -> Prediction:
        """The prediction for an image [3, side, side]; `attention` adds the attention map, if the model has one."""
        embedding = (EMBEDDING,) if self.familiar else ()
        return self._prediction(self.run(image, (ATTENTION, *embedding) if attention else embedding))

    def observe(self, image: NDArray[np.uint8], attention: bool = False) -> tuple[Prediction, Embedding | None]:
        """As `classify`, and the embedding [d] of the same run; None if the model has none."""
        outputs = self.run(image, (ATTENTION, EMBEDDING) if attention else (EMBEDDING,))
        return self._prediction(outputs), outputs.get(EMBEDDING)

    def _prediction(self, outputs: dict[str, NDArray[np.float32]]) -> Prediction:
        probabilities = outputs[PROBABILITIES]
        order = np.argsort(-probabilities, kind="stable")[:TOP]  # equal ones in the order of the classes
        top = [ClassProbability(label=self.classes[at], probability=shortest(probabilities[at])) for at in order]
        prediction = Prediction(label=top[0]["label"], probability=top[0]["probability"], top5=top, model_digest=self.digest)
        if ATTENTION in outputs:
            prediction["attention"] = [[round(float(value), 5) for value in row] for row in outputs[ATTENTION]]
        if self.familiar and EMBEDDING in outputs:
            distance = self.familiar.distance(outputs[EMBEDDING])
            prediction["distance"], prediction["known"] = round(distance, 4), distance <= self.familiar.threshold
        return prediction

    @functools.cached_property
    def outputs(self) -> frozenset[str]:
        """Names of the model's outputs."""
        return frozenset(output.name for output in self.session.get_outputs())

    def run(self, image: NDArray[np.uint8], also: Sequence[str] = ()) -> dict[str, NDArray[np.float32]]:
        """Outputs for an image [3, side, side] by name: PROBABILITIES [classes], and those of `also` that the model has.

        They are ATTENTION [grid, grid] and EMBEDDING [d].

        Every run has one image: then a prediction cannot depend on the other photos of a batch, although ONNX Runtime
        chooses other code for other sizes of batches. With one thread a batch saves little.
        """
        wanted = [PROBABILITIES, *(name for name in also if name in self.outputs)]
        found = self.session.run(wanted, {"images": image[None]}, wanted_only())
        return {name: outputs[0] for name, outputs in zip(wanted, found, strict=True)}


def open_session(path: Path, digest: str | None = None) -> tuple[InferenceSession, str]:
    """The session of a model file, or of the `model.onnx` of a folder, and its digest.

    Raises:
        BitBloomError: there is no model, it is not the one of this `digest`, or it cannot be loaded.
    """
    file = path / MODEL if path.is_dir() else path
    if not file.is_file():
        raise BitBloomError(
            f"{file} is missing: `bitbloom targets` lists the targets; `make export TARGET=…` makes the model of one"
        )
    found = file_digest(file)
    if digest is not None and found != digest:
        raise BitBloomError(f"{file} has the digest {found}, not {digest}: build it again, or fetch it again")
    return _session(file), found


def _session(file: Path) -> InferenceSession:
    """A session with one thread and the deterministic kernels: the same bits in every run on one kind of CPU."""
    onnxruntime = runtime.onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = 3
    try:
        session: InferenceSession = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        return session
    except Exception as error:  # the runtime's errors share no public base class
        raise BitBloomError(f"{file} cannot be loaded: {str(error).splitlines()[0]}; export it again") from error


@functools.cache
def wanted_only() -> RunOptions:
    """Compute nothing that only an unwanted output needs."""
    options = runtime.onnxruntime().RunOptions()
    options.only_execute_path_to_fetches = True
    return options


def shortest(value: np.float32) -> float:
    """The float with the shortest text that still names this float32: 0.9, not 0.8999999761581421."""
    return float(str(value))
