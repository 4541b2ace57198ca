"""What a run of W&B has besides its curves: metrics, figures, predictions, and the model with its lineage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitbloom.core import canonical
from bitbloom.core.digests import digest
from bitbloom.pipeline.tracking import logged

SAMPLES = 32


def log_evaluation(run: Any, reports: Path) -> None:
    """Log metrics, the confusion matrix and figures of `reports/<target>`."""
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


def log_samples(run: Any, reports: Path, processed: Path, kind: str) -> None:
    """The first test samples with their labels and predictions, or their generated sentences; with photos if there are any."""
    import wandb

    from bitbloom.data.dataset import Dataset
    from bitbloom.evaluation import kinds

    found, tables = kinds.results(kind), reports / "tables"
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


def log_model(run: Any, target: str, workspace: Path) -> None:
    """Log the data as an input of the run, and the model with its exported graphs and its card as an output.

    W&B's client can use an artifact only online. Offline, `data_sha256` in the config names the data.
    """
    import wandb

    if not run.offline:
        data = wandb.Artifact(f"{target}-data", type="dataset", metadata={"sha256": data_digest(target, workspace)})
        data.add_file(str(workspace / "data/processed" / target / "samples.parquet"))
        run.use_artifact(data)
    weights = workspace / "models" / target / "model.safetensors"
    model = wandb.Artifact(f"{target}-model", type="model", metadata={"sha256": digest(weights)})
    for file in logged.model_files(target, workspace):
        model.add_file(str(file))
    run.log_artifact(model)


def data_digest(target: str, workspace: Path) -> str:
    """The SHA-256 of the processed data."""
    return digest(workspace / "data/processed" / target)
