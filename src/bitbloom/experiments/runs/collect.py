"""A run from the workspace of a build: what its configuration, DVC's records and its outputs say."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from bitbloom.config.target import params_path
from bitbloom.core import canonical, git
from bitbloom.core.digests import file_digest
from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.reasons import reason
from bitbloom.experiments.runs.record import WORKSPACE, Run, relative
from bitbloom.pipeline import graph, lineage, live, summary
from bitbloom.stages import STAGES

DATA = "data/"
TRAINING = "training.json"


def targets(workspace: Path) -> list[str]:
    """The targets that a workspace holds a finished training of."""
    return sorted(path.parent.name for path in (workspace / "models").glob(f"*/{TRAINING}"))


def collect(target: str, workspace: Path) -> Run | None:
    """The run that a workspace holds; None when there is none of its configuration, as before the end of its training.

    Raises:
        BitBloomError: one of the files is damaged.
    """
    try:
        return _collect(target, workspace)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise BitBloomError(f"{workspace}: the records of '{target}' are damaged ({reason(error)}): build it again") from error


def _collect(target: str, workspace: Path) -> Run | None:
    training = workspace / "models" / target / TRAINING
    params = workspace / params_path(target)
    if not training.exists() or not params.exists():
        return None
    config = yaml.safe_load(params.read_text(encoding="utf-8"))
    entries = _current(target, workspace, config)
    if "train" not in entries:
        return None
    overrides = [str(item) for item in config.pop("overrides", None) or ()]
    identity, inputs = lineage.identity(entries["train"]), _inputs(entries)
    return Run(
        id=_identity(identity, config),
        training=identity,
        target=target,
        origin=WORKSPACE,
        workspace=relative(workspace),
        when=timestamp(training.stat().st_mtime),
        overrides=overrides,
        stages=[stage for stage in STAGES if stage in entries],
        config=config,
        code=inputs["code"],
        locks=inputs["locks"],
        data=inputs["data"],
        outputs={path: md5 for path, md5 in _files(entries.values(), "outs") if not path.startswith(DATA)},
        digests=_digests(target, workspace, entries),
        metrics=_metrics(target, workspace) if "evaluate" in entries else {},
        curves=live.trained_rows(target, workspace),
    )


def with_commit(run: Run, workspace: Path) -> dict[str, Any]:
    """What git says of a build that just ended: the fields `commit`, `dirty` and `committed`."""
    params = params_path(run.target)
    head = git.head()
    return {
        "commit": head,
        "dirty": None if head is None else git.clean_commit() is None,
        "committed": None if head is None else (workspace / params).read_bytes() == git.committed(params),
    }


def timestamp(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _current(target: str, workspace: Path, config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The entries in dvc.lock of stages that ran with the outputs of the others and with this configuration."""
    recorded = lineage.stages(workspace / graph.lock(target))
    current = lineage.current_of(recorded)
    mine = params_path(target).as_posix()
    return {
        stage: entry
        for stage, entry in recorded.items()
        if stage in current and _ran_with(entry.get("params", {}).get(mine, {}), config)
    }


def _ran_with(recorded: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    """Whether the recorded keys, which may be dotted, have the same values in a configuration."""
    return all(_equal(value, _value(config, key)) for key, value in recorded.items())


def _value(config: Mapping[str, Any], key: str) -> Any:
    found: Any = config
    for name in key.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _equal(recorded: Any, value: Any) -> bool:
    """Whether two plain values are equal. DVC writes `1e-05`, a number in YAML 1.2, which PyYAML reads as a text."""
    if isinstance(recorded, Mapping) and isinstance(value, Mapping):
        return recorded.keys() == value.keys() and all(_equal(recorded[key], value[key]) for key in recorded)
    if isinstance(recorded, list) and isinstance(value, list):
        return len(recorded) == len(value) and all(map(_equal, recorded, value))
    if isinstance(recorded, str) and isinstance(value, float):
        with contextlib.suppress(ValueError):
            return float(recorded) == value
    return bool(recorded == value)


def _identity(training: str, config: Mapping[str, Any]) -> str:
    text = canonical.json_text({"training": training, "config": config})
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _inputs(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """The fields `code`, `locks` and `data` of stages."""
    found: dict[str, dict[str, str]] = {"code": {}, "locks": {}, "data": {}}
    made = {out["path"] for entry in entries.values() for out in entry.get("outs", ())}
    for path, md5 in _files(entries.values(), "deps", "outs"):
        if path.startswith(DATA):
            found["data"][path] = md5
        elif path not in made:
            found["locks" if path.endswith(".lock") else "code"][path] = md5
    for entry in entries.values():
        for name, weights in entry.get("params", {}).get("weights.lock", {}).items():
            found["locks"][f"weights.lock: {name}"] = _short_hash(weights)
    return {kind: dict(sorted(files.items())) for kind, files in found.items()}


def _files(entries: Iterable[Mapping[str, Any]], *kinds: str) -> list[tuple[str, str]]:
    """Path and MD5 of the files of these kinds, `deps` or `outs`, each once."""
    found = {item["path"]: str(item.get("md5", "")) for entry in entries for kind in kinds for item in entry.get(kind, ())}
    return sorted(found.items())


def _short_hash(value: Any) -> str:
    return hashlib.md5(json.dumps(value, sort_keys=True).encode(), usedforsecurity=False).hexdigest()


def _digests(target: str, workspace: Path, entries: Mapping[str, Any]) -> dict[str, str]:
    """As `summary.digests`, of the current stages only. The data's digest is the one that training recorded."""
    models = workspace / "models" / target
    found = {
        "data": str(canonical.read_json(models / "config.json").get("data_digest", "")),
        "weights": file_digest(models / "model.safetensors"),
    }
    if "export" in entries:
        found["model"] = summary.model_digest(target, workspace)
    bento = workspace / "reports" / target / "bento.json"
    if "package" in entries and bento.exists():
        found["Bento"] = str(canonical.read_json(bento)["digest"])
    return {name: digest for name, digest in found.items() if digest}


def _metrics(target: str, workspace: Path) -> dict[str, float]:
    metrics = canonical.read_json(workspace / "reports" / target / "metrics.json")
    return {name: value for name, value in metrics.items() if isinstance(value, int | float) and not isinstance(value, bool)}
