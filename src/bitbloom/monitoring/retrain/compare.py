"""The serving model and a candidate on the test split of the new data: on its old part, and on the part from the log.

Both predict the same files by the code of the service. A candidate is better when it is right where the serving model is wrong
more often than the reverse, on the new part, by an exact one-sided sign test of the pairs (McNemar 1947), and when it loses at
most `tolerance` of accuracy on the old part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bitbloom.core.errors import BitBloomError
from bitbloom.core.progress import track
from bitbloom.monitoring.retrain.version import FROM_LOG
from bitbloom.serving import rows

if TYPE_CHECKING:
    from bitbloom.serving.files import OpenModel

FEWEST = 10
"""Smallest number of new test samples, below which no comparison says anything."""


@dataclass(frozen=True)
class Part:
    """A part of the test split: the accuracies, and the samples that only one of the two models labels right."""

    samples: int
    serving: float
    candidate: float
    only_serving: int
    only_candidate: int

    @property
    def p_value(self) -> float:
        """The probability of at least as many wins of the candidate if neither were better: a binomial tail."""
        pairs = self.only_serving + self.only_candidate
        tail = sum(math.comb(pairs, wins) for wins in range(self.only_candidate, pairs + 1))
        return float(tail / 2**pairs)

    @property
    def line(self) -> str:
        """The numbers as text."""
        return f"{self.samples} samples: serving {self.serving:.3f}, candidate {self.candidate:.3f} (p {self.p_value:.2g})"


@dataclass(frozen=True)
class Rule:
    """When a candidate is better: the largest p-value on the new part, the largest loss of accuracy on the old one."""

    p_value: float = 0.05
    tolerance: float = 0.02


@dataclass(frozen=True)
class Comparison:
    """Both parts, and the reasons why the candidate is not better; none when it is."""

    old: Part
    new: Part
    reasons: tuple[str, ...]

    @property
    def better(self) -> bool:
        """Whether the candidate replaces the serving model."""
        return not self.reasons

    def as_json(self) -> dict[str, Any]:
        """For the record of a promotion."""
        parts = {name: asdict(part) | {"p_value": part.p_value} for name, part in (("old", self.old), ("new", self.new))}
        return parts | {"better": self.better, "reasons": list(self.reasons)}


def compare(target: str, serving: OpenModel, candidate: OpenModel, rule: Rule) -> Comparison:
    """Compare two models on the test split of a built target, whose samples from the log are named `log-…`.

    Raises:
        BitBloomError: the data is missing, or the log gave too few test samples.
    """
    table = _test_split(target)
    is_new = table["id"].str.rpartition("/")[2].str.startswith(FROM_LOG)
    if int(is_new.sum()) < FEWEST:
        raise BitBloomError(
            f"only {int(is_new.sum())} labelled inputs of the log are in the test split, and a comparison needs {FEWEST}: "
            "collect more feedback"
        )
    right = {name: _right(model, table, Path("data/raw") / target, name) for name, model in _named(serving, candidate)}
    pairs = pd.DataFrame(right, index=table.index)
    old, new = _part(pairs[~is_new]), _part(pairs[is_new])
    return Comparison(old, new, tuple(_reasons(old, new, rule)))


def _named(serving: OpenModel, candidate: OpenModel) -> Sequence[tuple[str, OpenModel]]:
    return (("serving", serving), ("candidate", candidate))


def _test_split(target: str) -> pd.DataFrame:
    """The rows of the manifest that are in the test split, and not excluded."""
    samples = pd.read_parquet(Path("data/processed") / target / "samples.parquet", columns=["id", "split", "excluded"])
    chosen = samples[(samples["split"] == "test") & ~samples["excluded"]]["id"]
    manifest = pd.read_parquet(Path("data/raw") / target / "manifest.parquet")
    return manifest[manifest["id"].isin(chosen)].reset_index(drop=True)


def _right(model: OpenModel, table: pd.DataFrame, raw: Path, name: str) -> list[bool]:
    """Whether the model labels each sample right."""
    label = _labels(model, raw)
    return [label(row) == row["label"] for row in track(table.to_dict("records"), f"test the {name} model")]


def _labels(model: OpenModel, raw: Path) -> Callable[[Mapping[Any, Any]], object]:
    if model.kind == "text":
        return lambda row: model.compute(rows.Row(row["id"], row["text"], row["keyword"], row["location"]))["label"]
    return lambda row: model.compute((raw / row["path"]).read_bytes())["label"]


def _part(pairs: pd.DataFrame) -> Part:
    serving, candidate = pairs["serving"].to_numpy(bool), pairs["candidate"].to_numpy(bool)
    return Part(
        samples=len(pairs),
        serving=float(serving.mean()),
        candidate=float(candidate.mean()),
        only_serving=int((serving & ~candidate).sum()),
        only_candidate=int((candidate & ~serving).sum()),
    )


def _reasons(old: Part, new: Part, rule: Rule) -> list[str]:
    reasons = []
    if new.p_value > rule.p_value:
        reasons.append(f"on the new part it is not better: {new.line}, at most {rule.p_value:g} is needed")
    if old.serving - old.candidate > rule.tolerance:
        reasons.append(f"on the old part it loses more than {rule.tolerance:g}: {old.line}")
    return reasons
