"""Workspaces of finished builds as far as records of runs read them: parameters, DVC's records, curves, metrics."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import yaml

from bitbloom.config.target import params_path
from bitbloom.core import canonical
from bitbloom.pipeline import graph

NAME = "petals-tiny"
CONFIG: dict[str, Any] = {
    "task": "petals",
    "source": {"kind": "garden", "seed": 1},
    "model": {"kind": "image", "layers": 2},
    "train": {"epochs": 3, "learning_rate": 1e-05, "betas": [0.9, 0.999]},
    "evaluate": {"worst": 16},
}
CODE = {"src/bitbloom/stages/train.py": "1" * 32, "src/bitbloom/models/classifier.py": "2" * 32}
DATA = f"data/processed/{NAME}"
DAY = 86_400
TIME = 1_790_000_000
"""The time of the first workspace's curves."""


def config(**changes: Any) -> dict[str, Any]:
    """CONFIG with other values: `train__epochs=5`."""
    found = {key: dict(value) if isinstance(value, dict) else value for key, value in CONFIG.items()}
    for name, value in changes.items():
        section, _, key = name.partition("__")
        found[section][key] = value
    return found


def curves(epochs: int, loss: float = 1.0) -> list[dict[str, float]]:
    """Rows of a training whose loss falls."""
    return [
        {"epoch": epoch, "step": 2 * epoch, "train_loss": loss / epoch, "val_accuracy": 1 - loss / (epoch + 1)}
        for epoch in range(1, epochs + 1)
    ]


def write(
    workspace: Path,
    tree: dict[str, Any] | None = None,
    *,
    target: str = NAME,
    overrides: tuple[str, ...] = (),
    code: dict[str, str] | None = None,
    lock: str = "3" * 32,
    data: str = "4" * 32,
    accuracy: float | None = 0.75,
    day: int = 0,
) -> Path:
    """Write what a build leaves, and return the workspace. Without an accuracy the build ended after training."""
    tree = tree or config()
    path = params_path(target).as_posix()
    canonical.write_text(workspace / path, yaml.safe_dump({**tree, "overrides": list(overrides)}))
    models, reports = workspace / "models" / target, workspace / "reports" / target
    rows = curves(int(tree["train"]["epochs"]))
    canonical.write_json(models / "training.json", {"epochs": rows})
    canonical.write_text(models / "model.safetensors", f"weights of {tree} {code} {data}")
    canonical.write_json(models / "config.json", {"data_digest": hashlib.sha256(data.encode()).hexdigest()})
    weights = hashlib.md5((models / "model.safetensors").read_bytes()).hexdigest()
    deps = [{"path": name, "md5": md5} for name, md5 in {**CODE, **(code or {}), "requirements.lock": lock, DATA: data}.items()]
    # DVC writes numbers as YAML 1.2 does, which PyYAML reads as texts.
    params = {path: {"train": {**tree["train"], "learning_rate": f"{tree['train']['learning_rate']}"}, "model": tree["model"]}}
    outs = [{"path": f"models/{target}/model.safetensors", "md5": weights}]
    stages = {
        "prepare": {"cmd": f"prepare {target}", "deps": [], "outs": [{"path": DATA, "md5": data}]},
        "train": {"cmd": f"train {target}", "deps": deps, "params": params, "outs": outs},
    }
    if accuracy is not None:
        canonical.write_json(reports / "metrics.json", {"accuracy": accuracy, "log_loss": 1 - accuracy, "samples": 45})
        used = {"path": "src/bitbloom/stages/evaluate.py", "md5": "5" * 32}
        made = {"path": f"reports/{target}/metrics.json", "md5": hashlib.md5(str(accuracy).encode()).hexdigest()}
        evaluated = {path: {"evaluate": tree["evaluate"], "source.kind": tree["source"]["kind"]}}
        stages["evaluate"] = {"cmd": f"evaluate {target}", "deps": [used, *outs], "params": evaluated, "outs": [made]}
    canonical.write_text(workspace / graph.lock(target), yaml.safe_dump({"schema": "2.0", "stages": stages}))
    set_time(models / "training.json", day)
    return workspace


def set_time(path: Path, day: int) -> None:
    """Set the time of a file's last change, in days after TIME."""
    os.utime(path, (TIME + day * DAY, TIME + day * DAY))
