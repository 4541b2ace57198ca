"""evaluate: measure the trained model on the test split and write the report.

python -m bitbloom.stages.evaluate petals
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bitbloom import tasks
from bitbloom.core import canonical
from bitbloom.core.digests import file_digest
from bitbloom.core.errors import BitBloomError
from bitbloom.data import splits
from bitbloom.data.dataset import SPLITS, Dataset
from bitbloom.evaluation.report import card, dataset_card, html, style
from bitbloom.evaluation.report.content import Content, DataFacts, Leak, Picture
from bitbloom.evaluation.shown import ShownTrained
from bitbloom.numerics import pins
from bitbloom.stages import main
from bitbloom.training import inference

if TYPE_CHECKING:
    from bitbloom.config.target import Target
    from bitbloom.contracts import Evaluation, Trained

READS = ("task", "title", "source.kind", "dataset", "numerics", "evaluate")
PARTS = ("model", "evaluate")
SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}


def run(target: Target) -> None:
    """Write reports/<target>/: `metrics.json`, `tables/`, `figures/`, `model_card.md`, `dataset_card.md`,
    `index.html`.

    Raises:
        BitBloomError: the model, its data or its training curves are missing, or the test split is empty.
    """
    pins.pin_torch()
    _require(target)
    trained = ShownTrained.of(inference.load(target, tasks.model(target.task)))
    history = canonical.read_json(target.models / "training.json")
    found = tasks.evaluator(target.task).evaluate(trained, history, target.evaluate)
    content = _content(target, trained, history, found)
    _write(target.reports, found, content)
    print("evaluate: " + ", ".join(f"{line.name} {line.text}" for line in content.headlines))


def _require(target: Target) -> None:
    """Raise BitBloomError that names the command for a missing input."""
    needed = {target.processed / "meta.json": "data", target.models / "model.safetensors": "train"}
    for path, goal in needed.items():
        if not path.exists():
            raise BitBloomError(f"{path} is missing: run `make {goal} TARGET={target.name}` first")
    if len(Dataset.open(target.processed).split("test")) == 0:
        raise BitBloomError(f"{target.processed} has no test samples: add data, or give `prepare.split` a larger third number")


def _content(target: Target, trained: Trained, history: dict[str, Any], found: Evaluation) -> Content:
    """The content of the report and the card."""
    dataset = trained.dataset
    validation = target.reports / "validation.json"
    narrow = {stem: style.png(figure) for stem, figure in found.narrow.items()}
    pictures = [
        Picture(stem, caption, str(figure.get_label()), style.png(figure), narrow.get(stem))
        for stem, (caption, figure) in found.figures.items()
    ]
    counts = {SPLIT_NAMES[name]: len(dataset.split(name)) for name in SPLITS}
    excluded = int(np.count_nonzero(dataset.samples["excluded"]))
    return Content(
        target=target.name,
        task=target.task,
        title=target.section("title"),
        source=target.section("source.kind"),
        profile=target.numerics.profile,
        metrics=found.metrics,
        pictures=pictures,
        tables=found.tables,
        history=history,
        model=asdict(trained.model),
        splits=counts | ({"excluded": excluded} if excluded else {}),
        gate=canonical.read_json(validation) if validation.exists() else None,
        digests=_digests(target, trained),
        data=_data_facts(target, dataset),
    )


def _data_facts(target: Target, dataset: Dataset) -> DataFacts:
    """What the dataset card says of the data."""
    rows = dataset.samples
    counts = [rows["label"].iloc[dataset.split(name)].value_counts() for name in SPLITS]
    out = rows[rows["excluded"]].sort_values("id")
    given = Counter(splits.given_by_source(rows["attributes"]))
    leaks = dataset.meta.get("leaks", ())
    return DataFacts(
        provenance=target.section("dataset"),
        classes=[(str(label), tuple(int(found.get(label, 0)) for found in counts)) for label in sorted(set(rows["label"]))],
        excluded=list(zip(out["id"].astype(str), out["reason"].astype(str), strict=True)),
        arrays={name: f"{array.dtype} {list(array.shape)}" for name, array in sorted(dataset.arrays.items())},
        given={SPLIT_NAMES[name]: given[name] for name in SPLITS if given[name]},
        leaks=[Leak(SPLIT_NAMES[one["lower"]], SPLIT_NAMES[one["higher"]], one["pairs"]) for one in leaks],
    )


def _digests(target: Target, trained: Trained) -> dict[str, str]:
    """The digest of the data, as recorded by training, and those of the model's files."""
    files = [target.models / name for name in ("model.safetensors", "config.json", "training.json")]
    return {target.processed.as_posix(): trained.data_digest} | {path.as_posix(): file_digest(path) for path in files}


def _write(folder: Path, found: Evaluation, content: Content) -> None:
    """Write all outputs. Whole folders are replaced, so that no file of an earlier run stays."""
    with canonical.replacing_folder(folder / "figures") as figures:
        for picture in content.pictures:
            (figures / f"{picture.stem}.png").write_bytes(picture.png)
    with canonical.replacing_folder(folder / "tables") as tables:
        for stem, rows in (found.tables | content.number_tables).items():
            canonical.write_json(tables / f"{stem}.json", rows)
    canonical.write_text(folder / "model_card.md", card.render(content))
    canonical.write_text(folder / "dataset_card.md", dataset_card.render(content))
    canonical.write_text(folder / "index.html", html.render(content))
    canonical.write_json(folder / "metrics.json", content.scalars)


if __name__ == "__main__":
    main(run, READS)
