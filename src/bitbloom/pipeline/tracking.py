"""Tracking of finished builds with Weights & Biases. A build never depends on it, waits for it or fails because of it.

A build starts it in the background after all outputs exist, so it can neither use a seeded generator nor delay a stage. It logs
offline unless WANDB_API_KEY is set. `bitbloom track TARGET` does the same in the foreground and shows errors.
BITBLOOM_TRACK=0 disables it, and so does CI.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import yaml

from bitbloom.config.target import params_path
from bitbloom.core import canonical, checkout
from bitbloom.core.digests import digest
from bitbloom.core.errors import BitBloomError
from bitbloom.data.dataset import Dataset
from bitbloom.evaluation import kinds
from bitbloom.pipeline import graph
from bitbloom.pipeline.recovery import STATE

LOG = STATE / "tracking.log"
SAMPLES = 32


def start(target: str, workspace: Path) -> None:
    """Log a build in a detached process."""
    if (
        os.environ.get("BITBLOOM_TRACK") == "0"
        or os.environ.get("CI")
        or not (workspace / "reports" / target / "metrics.json").exists()
        or _is_logged(target, workspace)
    ):
        return
    command = [sys.executable, "-m", "bitbloom.pipeline.tracking", target, str(workspace)]
    with LOG.open("ab") as log:
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def log(target: str, workspace: Path) -> str:
    """Log config, curves, metrics, mistakes, the confusion matrix and the model with its lineage. Returns the run's id.

    The id is the digest of the inputs of training, so a resumed or repeated build continues its run.
    """
    import wandb

    models, reports = workspace / "models" / target, workspace / "reports" / target
    config = yaml.safe_load((workspace / params_path(target)).read_text(encoding="utf-8"))
    identity = run_id(target, workspace)
    mode: Literal["online", "offline"] = "online" if os.environ.get("WANDB_API_KEY") else "offline"
    with wandb.init(project="bitbloom", name=target, id=identity, resume="allow", config=config, mode=mode) as run:
        run.define_metric("*", step_metric="epoch")
        for row in canonical.read_json(models / "training.json")["epochs"]:
            run.log(row)
        if (reports / "metrics.json").exists():
            _log_evaluation(run, reports)
            _log_samples(run, reports, workspace / "data/processed" / target, config["model"])
        _log_model(run, target, workspace)
    if (reports / "metrics.json").exists():
        canonical.write_text(*_logged(target, workspace))
    return identity


def _logged(target: str, workspace: Path) -> tuple[Path, str]:
    """The path and the content of the note that a run was logged. An equal build is not logged again."""
    return STATE / "tracked" / run_id(target, workspace), digest(workspace / "reports" / target / "metrics.json")


def _is_logged(target: str, workspace: Path) -> bool:
    note, found = _logged(target, workspace)
    return note.exists() and note.read_text(encoding="utf-8") == found


def run_id(target: str, workspace: Path) -> str:
    """16 hexadecimal digits: a hash of the dependencies and parameters of the target's training in dvc.lock."""
    lock = workspace / graph.lock(target)
    stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"] if lock.exists() else {}
    if "train" not in stages:
        raise BitBloomError(f"target '{target}' is not trained: make train TARGET={target}")
    entry = stages["train"]
    inputs = {key: entry.get(key) for key in ("cmd", "deps", "params")}
    return hashlib.sha256(canonical.json_text(inputs).encode()).hexdigest()[:16]


def _log_evaluation(run: Any, reports: Path) -> None:
    import wandb

    metrics = canonical.read_json(reports / "metrics.json")
    run.summary.update({f"test/{name}": value for name, value in metrics.items() if isinstance(value, int | float)})
    confusion = reports / "tables" / "confusion.json"
    if confusion.exists():
        rows: list[Any] = [[row["actual"], row["predicted"]] for row in canonical.read_json(confusion)]
        columns: list[str | int] = ["actual", "predicted"]
        run.log({"confusion": wandb.Table(columns, rows)})
    for picture in sorted((reports / "figures").glob("*.png")):
        run.log({f"figures/{picture.stem}": wandb.Image(str(picture))})


def _log_samples(run: Any, reports: Path, processed: Path, model: dict[str, Any]) -> None:
    """The first test samples with their labels and predictions, or their generated sentences; with photos if there are any."""
    import wandb

    found, tables = kinds.results(str(model["kind"])), reports / "tables"
    whole = tables / "predictions.json"  # a confusion table of many classes does not name all of them
    predictions = canonical.read_json(whole if whole.exists() else tables / f"{found.table}.json")[:SAMPLES]
    dataset = Dataset.open(processed)
    positions = dataset.split("test")[:SAMPLES]
    names = list(dataset.samples["id"].iloc[positions])
    shown: list[Any] = names
    if "images" in dataset.arrays:
        shown = [
            wandb.Image(image.transpose(1, 2, 0), caption=name)
            for image, name in zip(dataset.take(positions)["images"], names, strict=True)
        ]
    rows: list[Any] = [[sample, *(row[key] for key in found.columns)] for sample, row in zip(shown, predictions, strict=True)]
    run.log({"sample predictions": wandb.Table(["sample", *found.columns], rows)})


def _log_model(run: Any, target: str, workspace: Path) -> None:
    """Log the model as an artifact that uses the data artifact."""
    import wandb

    trained = canonical.read_json(workspace / "models" / target / "config.json")
    data = wandb.Artifact(f"{target}-data", type="dataset", metadata={"sha256": trained["data_digest"]})
    data.add_file(str(workspace / "data/processed" / target / "samples.parquet"))
    run.use_artifact(data) if run.settings._offline is False else run.log_artifact(data)
    weights = workspace / "models" / target / "model.safetensors"
    model = wandb.Artifact(f"{target}-model", type="model", metadata={"sha256": digest(weights)})
    for name in ("model.safetensors", "config.json", "ledger.jsonl"):
        model.add_file(str(workspace / "models" / target / name))
    run.log_artifact(model)


if __name__ == "__main__":
    checkout.require()
    log(sys.argv[1], Path(sys.argv[2]))
