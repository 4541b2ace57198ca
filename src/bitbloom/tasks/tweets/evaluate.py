"""Evaluator of `tweets`: metrics and figures of a classifier, a TF-IDF baseline, and slices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bitbloom.evaluation import calibration, classification, metrics
from bitbloom.evaluation.report import plots

if TYPE_CHECKING:
    from bitbloom.config.sections.evaluate import Evaluate
    from bitbloom.contracts import Evaluation, Trained
    from bitbloom.data.dataset import Dataset

POSITIVE = "disaster"
COMMON_KEYWORDS = 10
LENGTHS = ("short", "middling", "long")


def evaluate(trained: Trained, history: Mapping[str, Any], config: Evaluate) -> Evaluation:
    """Evaluate the classifier, with `f1` of the class `disaster`, `tfidf_f1` of the baseline, and a table of slices."""
    dataset, logits = trained.dataset, trained.outputs("test")["logits"]
    found = classification.evaluate(logits, dataset, history, config, calibration.temperature(trained), text="text")
    test, classes = dataset.split("test"), dataset.meta["classes"]
    labels, predicted = np.asarray(dataset.arrays["labels"])[test], logits.argmax(dim=1).numpy()
    baseline = tfidf(dataset)
    found.metrics["f1"] = f1(labels, predicted, classes)
    found.metrics["tfidf_f1"] = f1(labels, baseline, classes)
    found.metrics["baselines"]["tf_idf_logistic_regression"] = metrics.rounded(metrics.baseline(labels, baseline, len(classes)))
    rows = dataset.samples.iloc[test].reset_index(drop=True)
    found.tables["slices"] = [
        {"slice": name, "value": value, "samples": int(chosen.sum()), "f1": f1(labels[chosen], predicted[chosen], classes)}
        for name, value, chosen in slices(rows)
        if chosen.any()
    ]
    caption = "F1 by keyword (the commonest), by length in thirds, and whether a text has a twin in the test split."
    found.figures["slices"] = (caption, plots.slices(found.tables["slices"]))
    found.narrow["slices"] = plots.slices(found.tables["slices"], narrow=True)
    return found


def f1(labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: list[str]) -> float:
    """Return the F1 score of the class `disaster`, the metric of Kaggle's competition."""
    from sklearn.metrics import f1_score

    positive = classes.index(POSITIVE)
    return float(metrics.rounded(float(f1_score(labels == positive, predicted == positive, zero_division=0.0))))


def tfidf(dataset: Dataset) -> NDArray[np.int64]:
    """Return predictions [n] of a logistic regression on TF-IDF of single words for the test split."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts, labels = dataset.samples["text"].to_numpy(), np.asarray(dataset.arrays["labels"])
    train, test = dataset.split("train"), dataset.split("test")
    model = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000)).fit(texts[train], labels[train])
    predicted: NDArray[np.int64] = model.predict(texts[test])
    return predicted


def slices(rows: pd.DataFrame) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Iterate over slices of the test split: name, value and rows; by keyword, by length, and by repetition of a text."""
    for keyword in rows["keyword"].replace("", np.nan).value_counts().sort_index().nlargest(COMMON_KEYWORDS).index:
        yield "keyword", str(keyword), (rows["keyword"] == keyword).to_numpy()
    yield "keyword", "(none)", (rows["keyword"] == "").to_numpy()
    thirds = rows["text"].str.len().rank(method="first").to_numpy() * len(LENGTHS) / (len(rows) + 1)
    for number, name in enumerate(LENGTHS):
        yield "length", name, thirds.astype(np.int64) == number
    repeated = rows["key"].duplicated(keep=False).to_numpy()
    yield "repeat", "repeated", repeated
    yield "repeat", "alone", ~repeated
