"""The folder of a trial, and the record of what is known of it.

.bitbloom/sweeps/<name>/trials/<hash of the configuration>/
    params/, requirements.lock, data/processed/<target>, …   as in the workspace of a variant; the data is linked
    .bitbloom/checkpoints/                                   of the training, as in every workspace
    models/<target>/{config,training}.json, ledger.jsonl     at the end; of the weights only their digest stays
    trial.json                                               the record, with the digest of the trial's inputs
    log.txt                                                  output of its processes
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from bitbloom.core import canonical
from bitbloom.experiments.sweep.study import Progress
from bitbloom.pipeline import composition

TRIAL = "bitbloom.experiments.sweep.trial"
"""The module that trains. It imports PyTorch, which the process of a search does not need."""
RECORD, LOG, LOCK = "trial.json", "log.txt", "lock"
ATTEMPTS = 3
"""Times that a task starts when its process is killed, each from its newest checkpoint."""


def folder(sweep: Path, tree: DictConfig) -> Path:
    """The folder of a trial: equal configurations have equal bytes, so they share one."""
    return sweep / "trials" / hashlib.sha256(composition.yaml_text(tree).encode()).hexdigest()[:12]


def read(place: Path, inputs: str) -> Progress:
    """What is known of a trial with these inputs; nothing if it never ran, or if the record is of other inputs."""
    if not (place / RECORD).exists():
        return Progress()
    record = canonical.read_json(place / RECORD)
    if record.pop("inputs", "") != inputs:
        return Progress()
    return Progress(**{**record, "curve": tuple(record["curve"])})


def command(given: Mapping[str, Any]) -> list[str]:
    """The command of a process that runs a task, from `Sweep.described`."""
    epoch = [] if given["until"] is None else [str(given["until"])]
    return [sys.executable, "-m", TRIAL, given["place"], given["target"], given["metric"], *epoch]


def write(place: Path, progress: Progress, inputs: str) -> None:
    """Replace the record of a trial, whose inputs have this digest."""
    canonical.write_json(place / RECORD, {**vars(progress), "inputs": inputs})
