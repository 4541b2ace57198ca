"""A run from a folder of W&B's client, `offline-run-<time>-<id>` or `run-<time>-<id>`.

`wandb leet inspect --json`, a documented command of the locked client, prints the records of its binary log, one JSON object per
line. No module of the client is imported, and it calls no server. A client start takes about a second, so what was read is kept
in `.bitbloom/runs/wandb/` until the log changes.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.runs import record
from bitbloom.experiments.runs.record import WANDB, Run, relative
from bitbloom.experiments.runs.store import STORE, keep_newest
from bitbloom.pipeline.recovery import STATE

FOLDERS = STATE / "wandb"
"""Where a build logs without a server."""
READ = STORE / "wandb"
"""What was read, as `<folder>.json`."""
NAME = re.compile(r"(?:offline-)?run-(?P<when>\d{8}_\d{6})-(?P<id>.+)")
OFFLINE = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}
TEST = "test/"
"""Start of the names of test metrics in a run's summary."""


def folders(place: Path = FOLDERS) -> dict[str, Path]:
    """Id → the newest folder of each run in a folder of runs. The links to the latest run are left out."""
    found = (path for path in place.glob("*run-*") if path.is_dir() and not path.is_symlink() and NAME.fullmatch(path.name))
    return {_id(path): path for path in sorted(found, key=lambda path: NAME.fullmatch(path.name)["when"])}  # type: ignore[index]


def log_file(path: Path) -> Path | None:
    """The log of a run's folder, or the path itself if it is one; None for any other path."""
    if path.is_file() and path.suffix == ".wandb":
        return path
    logs = sorted(path.glob("run-*.wandb")) if path.is_dir() else []
    return logs[0] if len(logs) == 1 else None


def read(folder: Path) -> tuple[Run, list[str]]:
    """The run in a folder or a `.wandb` file, and a message for each part of its log that is damaged.

    Raises:
        BitBloomError: there is no log, or it has no run.
    """
    log = log_file(folder)
    if log is None:
        raise BitBloomError(f"{folder} has no run-*.wandb: it is not a folder of a run of W&B")
    state, kept = log.stat(), READ / f"{log.parent.name}.json"
    version = {"format": record.FORMAT, "log": relative(log), "bytes": state.st_size, "changed": state.st_mtime_ns}
    if (before := _kept(kept)) and before["version"] == version:
        return Run(**before["run"]), before["warnings"]
    lines, warnings = _inspect(log)
    run = _run(log, lines)
    content = {name: value for name, value in record.as_json(run).items() if name != "format"}
    canonical.write_json(kept, {"version": version, "run": content, "warnings": warnings})
    keep_newest(READ.glob("*.json"))
    return Run(**json.loads(canonical.json_text(content))), warnings


def _kept(path: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = canonical.read_json(path)
        record.check(content["run"])
        return content
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _inspect(log: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The records of a log, and what the client says of damaged parts."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(log)]
    done = subprocess.run(command, env=os.environ | OFFLINE, capture_output=True, text=True, check=False)
    said = [
        line.removeprefix("wandb leet inspect: ").removeprefix("Error: ") for line in done.stderr.splitlines() if line.strip()
    ]
    if done.returncode:
        raise BitBloomError(f"{log} is not a log of W&B: {said[-1] if said else f'exit code {done.returncode}'}")
    return [json.loads(line) for line in done.stdout.splitlines()], [f"{log}: {line}" for line in said]


def _run(log: Path, lines: Iterable[Mapping[str, Any]]) -> Run:
    started: dict[str, Any] = {}
    config: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    rows: dict[int, dict[str, float]] = {}
    weights = ""
    for line in lines:
        content: dict[str, Any] = line.get(line.get("type", "")) or {}
        match line.get("type"):
            case "run":
                started |= {name: value for name, value in content.items() if name != "config"}
                config |= (content.get("config") or {}).get("update") or {}
            case "config":
                config |= content.get("update") or {}
            case "summary":
                summary |= content.get("update") or {}
            case "history":
                _add_row(rows, content.get("item") or {})
            case "artifact" if content.get("type") == "model":
                weights = str(_metadata(content).get("sha256", ""))
                started.setdefault("model", str(content.get("name", "")).removesuffix("-model"))
    if "run_id" not in started:
        raise BitBloomError(f"{log} has no run: it was interrupted at its start, or is damaged")
    config.pop("_wandb", None)
    overrides = config.pop("overrides", None)
    digests = {"data": config.pop("data_sha256", ""), "weights": weights}
    return Run(
        id=str(started["run_id"]),
        training=str(started["run_id"]),
        target=str(started.get("run_group") or started.get("model") or started.get("project") or ""),
        origin=WANDB,
        workspace=relative(log.parent),
        when=str(started.get("start_time", ""))[:19] + "Z",
        seconds=None,
        overrides=None if overrides is None else [str(item) for item in overrides],
        commit=(started.get("git") or {}).get("commit"),
        config=config,
        digests={name: str(digest) for name, digest in digests.items() if digest},
        metrics={
            name.removeprefix(TEST): value for name, value in summary.items() if name.startswith(TEST) and _is_number(value)
        },
        curves=[rows[epoch] for epoch in sorted(rows)],
    )


def _add_row(rows: dict[int, dict[str, float]], item: Mapping[str, Any]) -> None:
    """Add a row of the history. One without an epoch, as of another project, has its step instead."""
    values = {name: value for name, value in item.items() if not name.startswith("_") and "." not in name and _is_number(value)}
    if values.keys() - {"epoch", "step"}:
        epoch = int(values.get("epoch", item.get("_step", len(rows))))
        rows[epoch] = rows.get(epoch, {}) | values | {"epoch": epoch}


def _metadata(artifact: Mapping[str, Any]) -> dict[str, Any]:
    found = artifact.get("metadata") or {}
    return json.loads(found) if isinstance(found, str) else dict(found)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _id(path: Path) -> str:
    found = NAME.fullmatch(path.name)
    return found["id"] if found else path.name
