"""A `dvc.lock` in DVC's format with every stage of a target. A checkout may have none before its first build."""

from __future__ import annotations

import hashlib
from typing import Any

import yaml

from bitbloom.pipeline import composition, graph


def text(target: str) -> str:
    """The text of a lock of this target. The digest of each file is that of its path."""
    stages = {stage.stage: _record(stage) for stage in graph.stages(target, composition.compose(target))}
    return yaml.safe_dump({"schema": "2.0", "stages": stages}, sort_keys=False)


def _record(stage: graph.Stage) -> dict[str, Any]:
    entry = stage.as_dvc()
    params = {file: dict.fromkeys(keys, "value") for param in entry["params"] for file, keys in param.items()}
    outputs = [*entry["outs"], *entry.get("metrics", [])]
    files = {"deps": list(map(_file, entry["deps"])), "outs": list(map(_file, outputs))}
    return {"cmd": entry["cmd"], "params": params, **files}


def _file(path: str) -> dict[str, Any]:
    folder = "" if "." in path.rpartition("/")[2] else ".dir"
    return {"path": path, "hash": "md5", "md5": hashlib.md5(path.encode()).hexdigest() + folder, "size": len(path)}
