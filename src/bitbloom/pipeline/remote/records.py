"""What DVC recorded of stages: in `dvc.lock`, in the records of runs, and in the `.dvc` file of the user's own data."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import graph
from bitbloom.pipeline.remote.cache import digest

UNCOUNTED = frozenset({"size", "nfiles"})
"""What DVC leaves out of the digest that names a record of a run."""


@dataclass(frozen=True)
class Output:
    """An output: its path in the workspace, its stage, and its MD5 (with `.dir` for a folder)."""

    path: str
    stage: str
    md5: str


@dataclass(frozen=True)
class Record:
    """One run of a stage: the command, the MD5 of each input, the parameters by file, and the outputs."""

    stage: str
    command: str
    inputs: Mapping[str, str]
    parameters: Mapping[str, Any]
    outputs: tuple[Output, ...]


def of_lock(workspace: Path, target: str) -> list[Record]:
    """The stages in a target's lock; empty without one. Raises BitBloomError for a damaged lock."""
    lock = workspace / graph.lock(target)
    if not lock.exists():
        return []
    try:
        stages = _load(lock)["stages"]
        return [_record(name, entry) for name, entry in stages.items()]
    except (YAMLError, KeyError, TypeError, AttributeError) as error:
        raise BitBloomError(f"{lock} is damaged: `git checkout {lock}`, or build again") from error


def of_run(file: Path) -> Record | None:
    """The record of a run; None when the file is damaged: its name is the digest of its content."""
    try:
        entry = _load(file)
        if run_digest(entry) != file.name:
            return None
        return _record(entry["cmd"].split()[2].rpartition(".")[2], entry)
    except (YAMLError, KeyError, TypeError, AttributeError, IndexError, ValueError):
        return None


def run_digest(entry: Any) -> str:
    """The name that DVC gives a record: SHA-256 of its JSON without sizes."""
    return hashlib.sha256(json.dumps(_counted(entry), sort_keys=True).encode()).hexdigest()


def _counted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _counted(item) for key, item in value.items() if key not in UNCOUNTED}
    return [_counted(item) for item in value] if isinstance(value, list) else value


def of_external(workspace: Path, folders: Iterable[str]) -> list[Output]:
    """The user's own data, as the `.dvc` files name it."""
    files = {folder: workspace / f"{folder}.dvc" for folder in folders}
    read = {folder: _load(file) for folder, file in files.items() if file.exists()}
    return [Output(folder, "import", str(out["md5"])) for folder, entry in read.items() for out in entry["outs"] if "md5" in out]


def _load(file: Path) -> Any:
    """Parse as DVC does: YAML 1.2, where 1e-05 is a number."""
    return YAML(typ="safe").load(file.read_text(encoding="utf-8"))


def _record(stage: str, entry: Mapping[str, Any]) -> Record:
    return Record(
        stage,
        entry["cmd"],
        {dependency["path"]: dependency["md5"] for dependency in entry.get("deps", ())},
        entry.get("params", {}),
        tuple(Output(out["path"], stage, out["md5"]) for out in entry.get("outs", ()) if "md5" in out),
    )


def matching(workspace: Path, stages: Sequence[graph.Stage], records: Sequence[Record]) -> dict[str, Record]:
    """Stage → the first record that holds for the present code, parameters and data, as far as the stages before have one.

    An output that is not known before a build is taken as it stands in a record, so this may name more than a build uses.

    Args:
        workspace: of the build.
        stages: in order.
        records: of the lock first, then of runs.
    """
    made = [path for stage in stages for path in (*stage.outputs, *stage.metrics)]
    known: dict[str, str] = {}
    digests: dict[str, str | None] = {}
    found: dict[str, Record] = {}
    for stage in stages:
        for record in records:
            if (
                record.command == stage.as_dvc()["cmd"]
                and record.inputs.keys() == set(stage.inputs)
                and all(_is_current(workspace, path, md5, made, known, digests) for path, md5 in record.inputs.items())
                and _has_parameters(workspace, record.parameters)
            ):
                found[stage.stage] = record
                known |= {output.path: output.md5 for output in record.outputs}
                break
    return found


def _is_current(
    workspace: Path, path: str, md5: str, made: Sequence[str], known: Mapping[str, str], digests: dict[str, str | None]
) -> bool:
    """Whether an input has this MD5: in the workspace, or as the record of the stage that makes it says."""
    if path in known:
        return known[path] == md5
    if graph.is_made(path, made):  # inside a folder that a record names as one
        return any(path.startswith(f"{folder}/") for folder in known)
    if path not in digests:
        file = workspace / path
        digests[path] = digest(file) if file.is_file() else None
    return digests[path] in (md5, None)  # a folder is not compared: DVC does it


def _has_parameters(workspace: Path, recorded: Mapping[str, Any]) -> bool:
    for name, values in recorded.items():
        file = workspace / name
        present = _parameters(file) if file.exists() else {}
        if any(_parameter(present, key) != value for key, value in values.items()):
            return False
    return True


def _parameters(file: Path) -> dict[str, Any]:
    read = _load(file)
    return dict(read) if isinstance(read, dict) else {}


def _parameter(present: Any, key: str) -> Any:
    """A parameter by its key, in which a dot leads into a section; None for one that does not exist."""
    for part in key.split("."):
        present = present.get(part) if isinstance(present, dict) else None
    return present


def is_run_of(file: Path, target: str) -> bool:
    """Whether a record of a run is one of a target, by the command in it."""
    return re.search(rf"^cmd: python -m bitbloom\.stages\.\w+ {re.escape(target)}$", file.read_text("utf-8"), re.M) is not None
