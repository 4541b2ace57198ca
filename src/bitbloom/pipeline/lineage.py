"""What DVC's records say of a workspace: the stages that are current, and the identity of its training."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import graph


def recorded_id(target: str, workspace: Path) -> str:
    """16 hexadecimal digits: a hash of the dependencies and parameters of the target's training in dvc.lock.

    While a training runs, `expected_id` has the same before DVC writes them. Raises BitBloomError when the target is not trained.
    """
    recorded = stages(workspace / graph.lock(target))
    if "train" not in recorded:
        raise BitBloomError(f"target '{target}' is not trained: make train TARGET={target}")
    return identity(recorded["train"])


def expected_id(target: str, workspace: Path) -> str | None:
    """The `recorded_id` of a running training, from its inputs; None if they include a folder that no stage makes."""
    stage = stages(workspace / graph.pipeline(target) / "dvc.yaml")["train"]
    made: dict[str, dict[str, Any]] = {}
    for recorded in stages(workspace / graph.lock(target)).values():
        made |= {out["path"]: out for out in recorded.get("outs", ())}
    dependencies = [made.get(path) or _dependency(path, workspace) for path in stage["deps"]]
    if None in dependencies:
        return None
    parameters: dict[str, dict[str, Any]] = {}
    for item in stage.get("params", ()):
        for file, keys in item.items():
            tree = yaml.safe_load((workspace / file).read_text(encoding="utf-8"))
            parameters[file] = {key: tree[key] for key in keys}
    return identity({"cmd": stage["cmd"], "deps": dependencies, "params": parameters})


def current(target: str, workspace: Path) -> set[str]:
    """The stages that ran with the recorded outputs of the others. `make train` leaves the reports of an earlier model."""
    return current_of(stages(workspace / graph.lock(target)))


def current_of(recorded: Mapping[str, Any]) -> set[str]:
    """As `current`, of the stages of a `dvc.lock`."""
    made = {out["path"]: out.get("md5") for entry in recorded.values() for out in entry.get("outs", ())}
    return {
        stage
        for stage, entry in recorded.items()
        if all(made.get(dep["path"], dep.get("md5")) == dep.get("md5") for dep in entry.get("deps", ()))
    }


def stages(path: Path) -> dict[str, Any]:
    """The stages of a `dvc.yaml` or a `dvc.lock`; empty for a missing file."""
    return dict(yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]) if path.exists() else {}


def identity(entry: dict[str, Any]) -> str:
    """16 hexadecimal digits: a hash of the inputs of a stage's entry in a `dvc.lock`."""
    inputs = {key: _as_recorded(entry.get(key)) for key in ("cmd", "deps", "params")}
    return hashlib.sha256(canonical.json_text(inputs).encode()).hexdigest()[:16]


def _as_recorded(value: Any) -> Any:
    """A value as PyYAML reads it in a `dvc.lock`: DVC writes 0.00005 as `5e-05`, which is a text in YAML 1.1."""
    if isinstance(value, dict):
        return {key: _as_recorded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_recorded(item) for item in value]
    text = repr(value)
    return text if isinstance(value, float) and "e" in text and "." not in text else value


def _dependency(path: str, workspace: Path) -> dict[str, Any] | None:
    """DVC's record of a file."""
    file = workspace / path
    if not file.is_file():
        return None
    content = file.read_bytes()
    found = {"path": path, "hash": "md5", "md5": hashlib.md5(content, usedforsecurity=False).hexdigest(), "size": len(content)}
    return found | ({"isexec": True} if os.access(file, os.X_OK) and file.stat().st_mode & 0o111 else {})
