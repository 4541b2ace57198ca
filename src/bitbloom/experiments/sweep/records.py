"""The folder of a trial, and the record of what is known of it.

.bitbloom/sweeps/<name>/trials/<hash of the overrides>/
    params/, requirements.lock, data/processed/<target>, …   as in the workspace of a variant; the data is linked
    .bitbloom/checkpoints/                                   of the training, as in every workspace
    models/<target>/{config,training}.json, ledger.jsonl     at the end; of the weights only their digest stays
    trial.json                                               the record
    log.txt                                                  output of its processes
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bitbloom.core import canonical
from bitbloom.experiments.sweep.study import Progress

TRIAL = "bitbloom.experiments.sweep.trial"
"""The module that trains. It imports PyTorch, which the process of a search does not need."""
RECORD, LOG, LOCK = "trial.json", "log.txt", "lock"


def folder(sweep: Path, overrides: Sequence[str]) -> Path:
    """The folder of a trial: equal overrides have equal bytes, so they share one."""
    return sweep / "trials" / hashlib.sha256("\n".join(overrides).encode()).hexdigest()[:12]


def read(place: Path) -> Progress:
    """What is known of a trial; nothing if it never ran."""
    if not (place / RECORD).exists():
        return Progress()
    record = canonical.read_json(place / RECORD)
    return Progress(**{**record, "curve": tuple(record["curve"])})


def command(given: Mapping[str, Any]) -> list[str]:
    """The command of a process that runs a task, from `Sweep.described`."""
    epoch = [] if given["until"] is None else [str(given["until"])]
    return [sys.executable, "-m", TRIAL, given["place"], given["target"], given["metric"], *epoch]


def write(place: Path, progress: Progress) -> None:
    """Replace the record of a trial."""
    canonical.write_json(place / RECORD, vars(progress))
