"""Run one trial of a search that Vertex AI proposes, and report its metric.

    TARGET=petals python deploy/trial.py conf/sweep/petals.yaml --train.learning_rate=0.001 --model.layers=4 …

Vertex AI passes a value for each searched key. The overrides of the trial are those of the same trial in `make sweep`, and
deploy/train.py trains it, so it has the same bytes. The rows go to the file that Vertex AI's agent reads, in the format of
cloudml-hypertune: CLOUD_ML_HP_METRIC_FILE, CLOUD_ML_TRIAL_ID. The other variables are those of deploy/train.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import train

from bitbloom.core import canonical, checkout
from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.sweep import space

METRICS = "/tmp/hypertune/output.metrics"  # noqa: S108 -- where Vertex AI's agent looks


def overrides(path: Path, target: str, given: Sequence[str]) -> tuple[space.Space, tuple[str, ...]]:
    """The space, and the overrides of a trial. Raises BitBloomError for a missing or unknown key."""
    found = space.read(path, target)
    values = found.values(given)
    if missing := sorted({parameter.key for parameter in found.searched} - set(values)):
        raise BitBloomError(f"no value for {', '.join(missing)}")
    return found, found.overrides(values)


def report(rows: Sequence[Mapping[str, Any]], metric: str, environment: Mapping[str, str]) -> None:
    """Append the rows to the agent's file, one JSON object for each epoch."""
    file = Path(environment.get("CLOUD_ML_HP_METRIC_FILE", METRICS))
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as stream:
        for row in rows:
            line = {"timestamp": time.time(), "trial": environment.get("CLOUD_ML_TRIAL_ID", "0")}
            stream.write(json.dumps(line | {metric: str(row[metric]), "global_step": str(row["epoch"])}) + "\n")


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Train the trial and report it."""
    path, target = Path(arguments[0]), environment.get("TARGET", "")
    found, chosen = overrides(path, target, arguments[1:])
    train.main({**environment, "TARGET": found.target, "SET": " ".join(chosen)})  # it goes to its workspace
    report(canonical.read_json(Path("models") / found.target / "training.json")["epochs"], found.metric, environment)


if __name__ == "__main__":
    try:
        checkout.require()
        main(sys.argv[1:], os.environ)
    except BitBloomError as error:
        sys.exit(f"error: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode if error.returncode > 0 else 1)
