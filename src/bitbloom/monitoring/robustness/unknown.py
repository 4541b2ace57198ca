"""Four scores that tell inputs of no known class from known ones, and their comparison.

A score is larger for a stranger input. All scores are fitted to the validation split, which training does not see:

- `max softmax`: 1 - the largest calibrated probability (Hendrycks and Gimpel 2017, arXiv:1610.02136),
- `energy`: -log sum exp of the logits (Liu et al. 2020, arXiv:2010.03759),
- `mahalanobis`: distance of the embedding to the nearest class mean, with one covariance (Lee et al. 2018, arXiv:1807.03888),
- `neighbours`: the distance that a service computes, `drift/familiar.py` (Sun et al. 2022, arXiv:2204.06507).

A captioning model has no classes: only `neighbours` is defined, on the vectors of its photos.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from bitbloom.core.errors import BitBloomError
from bitbloom.drift import familiar
from bitbloom.evaluation import metrics
from bitbloom.monitoring.robustness.subject import select, spread

if TYPE_CHECKING:
    from bitbloom.contracts import Outputs
    from bitbloom.data.dataset import Dataset
    from bitbloom.monitoring.robustness.subject import Subject

Floats = familiar.Vectors
Score = Callable[["Outputs"], Floats]


@dataclass(frozen=True)
class Found:
    """The comparison of a score on known and unknown inputs.

    Attributes:
        auroc: probability that an unknown input has a larger score than a known one; 0.5 by chance.
        threshold: score that `familiar.KNOWN` of the validation samples do not exceed; each is scored without itself.
        known: fraction of the test samples that the threshold accepts.
        rejected: fraction of the unknown inputs that it rejects.
        scores: the scores of the known and of the unknown inputs.
    """

    auroc: float
    threshold: float
    known: float
    rejected: float
    scores: tuple[Floats, Floats]

    @property
    def numbers(self) -> dict[str, float]:
        """The rounded numbers."""
        names = ("auroc", "threshold", "known", "rejected")
        rounded: dict[str, float] = metrics.rounded({name: float(getattr(self, name)) for name in names})
        return rounded


def compare(subject: Subject, strangers: Dataset) -> dict[str, Found]:
    """Compare all scores on the test samples and on unknown inputs. Raises BitBloomError without validation samples."""
    trained = subject.trained
    positions = trained.dataset.split("val")
    if len(positions) <= familiar.NEIGHBOURS:
        raise BitBloomError(
            f"{subject.label} has {len(positions)} validation samples: unknown inputs need more than {familiar.NEIGHBOURS}"
        )
    validation = select(trained.dataset, positions)
    fitted, known, unknown = (subject.outputs(samples) for samples in (validation, subject.test, strangers))
    labels = np.asarray(validation.arrays["labels"]) if subject.kind != "caption" else None
    return {
        name: _found(own, score(known), score(unknown))
        for name, (score, own) in scores(fitted, labels, subject.temperature).items()
    }


def scores(fitted: Outputs, labels: NDArray[np.int64] | None, temperature: float) -> Mapping[str, tuple[Score, Floats]]:
    """Name → score, and the scores of the validation samples, whose outputs and labels (None without classes) are given."""
    embeddings = vectors(fitted)
    references = embeddings[spread(np.arange(len(embeddings)), familiar.REFERENCES)]
    every: dict[str, tuple[Score, Floats]] = {}
    if labels is not None:
        fit, held = slice(0, None, 2), slice(1, None, 2)  # one half for the means and the covariance, the other for the threshold
        made: dict[str, Score] = {
            "max softmax": lambda outputs: 1 - _softmax(outputs["logits"] / temperature),
            "energy": lambda outputs: -torch.logsumexp(outputs["logits"].double() / temperature, dim=1).numpy(),
            "mahalanobis": _mahalanobis(fitted["embedding"][fit].double().numpy(), labels[fit]),
        }
        every = {name: (score, score({key: output[held] for key, output in fitted.items()})) for name, score in made.items()}
    own = familiar.distances(references, references, familiar.NEIGHBOURS + 1)  # the nearest one is the sample itself
    every["neighbours"] = (lambda outputs: familiar.distances(vectors(outputs), references, familiar.NEIGHBOURS), own)
    return every


def vectors(outputs: Outputs) -> Floats:
    """Embeddings of unit length, [n, d]: of a classifier what its head reads, of a captioning model the vector of the photo."""
    found: Floats = outputs["embedding" if "embedding" in outputs else "images"].double().numpy()
    return familiar.units(found)


def _softmax(logits: torch.Tensor) -> Floats:
    largest: Floats = torch.softmax(logits.double(), dim=1).max(dim=1).values.numpy()
    return largest


def _mahalanobis(embeddings: Floats, labels: NDArray[np.int64]) -> Score:
    from sklearn.covariance import LedoitWolf

    means = np.stack([embeddings[labels == label].mean(axis=0) for label in np.unique(labels)])
    centred = embeddings - means[np.searchsorted(np.unique(labels), labels)]
    precision = LedoitWolf(assume_centered=True).fit(centred).precision_

    def score(outputs: Outputs) -> Floats:
        apart = outputs["embedding"].double().numpy()[:, None] - means  # [n, classes, d]
        distances: Floats = np.sqrt(np.einsum("ncd,de,nce->nc", apart, precision, apart).min(axis=1))
        return distances

    return score


def _found(own: Floats, known: Floats, unknown: Floats) -> Found:
    from sklearn.metrics import roc_auc_score

    truth = np.repeat([0, 1], [len(known), len(unknown)])
    auroc = float(roc_auc_score(truth, np.concatenate([known, unknown])))
    limit = familiar.threshold(own)
    return Found(auroc, limit, float((known <= limit).mean()), float((unknown > limit).mean()), (known, unknown))


def best(found: Mapping[str, Any]) -> str:
    """The name of the score with the largest AUROC, the first of equals."""
    return max(found, key=lambda name: found[name].auroc)
