"""Labelled inputs: the photos and texts of the prediction log, joined with the labels of feedback by the prediction's id."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from bitbloom.core.errors import BitBloomError
from bitbloom.monitoring import log_parts
from bitbloom.monitoring.log_parts import FEEDBACK_COLUMNS
from bitbloom.serving.prediction_log import storage

LOG_COLUMNS = ("time", "id", "input_digest", "kind", "label", "content")


@dataclass(frozen=True)
class Labelled:
    """An input with its true label."""

    digest: str
    """SHA-256 of `content`."""
    content: bytes
    label: str
    predicted: str


@dataclass(frozen=True)
class Joined:
    """The labelled inputs, sorted by digest, and what was left out.

    Attributes:
        samples: one for each input.
        kind: image or text; "" when there is no sample.
        predictions: rows of the log.
        feedback: predictions with a label.
        without_content: labelled predictions whose input the log did not keep.
        unknown: ids of feedback that are not in the log.
        repeated: labelled predictions of an input that has another one; the latest label counts.
    """

    samples: list[Labelled]
    kind: str
    predictions: int
    feedback: int
    without_content: int
    unknown: int
    repeated: int

    @property
    def line(self) -> str:
        """The numbers as a line of text."""
        return (
            f"{self.predictions:,} logged predictions, {self.feedback:,} with feedback; {len(self.samples):,} labelled inputs "
            f"({self.repeated:,} repeated, {self.without_content:,} without content, {self.unknown:,} labels of unknown ids)"
        )


def read(address: str) -> Joined:
    """Join the log and the feedback at an address: a folder, gs://bucket/prefix or s3://bucket/prefix.

    Raises:
        BitBloomError: the address cannot be read, has no log or no feedback, or a part is damaged.
    """
    labels = log_parts.feedback(address)
    feedback = pd.DataFrame(columns=list(FEEDBACK_COLUMNS)) if labels is None else labels.to_pandas()
    predictions, kept = 0, []
    for part in log_parts.read(address, storage.LOG, LOG_COLUMNS):
        predictions += part.num_rows
        kept.append(
            part.filter(pc.field("id").isin(pa.array(feedback["id"], pa.string())))
        )  # the memory holds labelled inputs alone
    if not predictions:
        raise BitBloomError(f"{address} has no predictions: start the service with BITBLOOM_LOG={address}")
    if feedback.empty:
        raise BitBloomError(f"{address} has no feedback: send true labels to POST /feedback of the service")
    return replace(join(pa.concat_tables(kept).to_pandas(), feedback), predictions=predictions)


def join(log: pd.DataFrame, feedback: pd.DataFrame) -> Joined:
    """Join the rows of a log with those of feedback; of several labels of an id or an input, the latest counts.

    Args:
        log: columns time, id, input_digest, kind, label, content (bytes or None).
        feedback: columns time, id, label.

    Raises:
        BitBloomError: the log holds several kinds of input, or a content has another digest than its row.
    """
    known = log.drop_duplicates("id")
    latest = feedback.sort_values(["time", "id", "label"], kind="stable").drop_duplicates("id", keep="last")
    merged = latest.merge(known, on="id", suffixes=("_feedback", ""))
    kept = merged[merged["content"].notna()]
    kinds = sorted(set(kept["kind"]))
    if len(kinds) > 1:
        raise BitBloomError(f"the log holds several kinds of input ({', '.join(kinds)}): give the log of one service")
    order = kept.sort_values(["input_digest", "time_feedback", "id"], kind="stable")
    unique = order.drop_duplicates("input_digest", keep="last")
    samples = [_sample(row) for row in unique.to_dict("records")]
    return Joined(
        samples=samples,
        kind=kinds[0] if kinds else "",
        predictions=len(known),
        feedback=len(merged),
        without_content=len(merged) - len(kept),
        unknown=len(latest) - len(merged),
        repeated=len(kept) - len(unique),
    )


def _sample(row: dict[Any, Any]) -> Labelled:
    content = bytes(row["content"])
    digest = hashlib.sha256(content).hexdigest()
    if digest != row["input_digest"]:
        raise BitBloomError(f"the content of prediction {row['id']} differs from its digest: the log is damaged")
    return Labelled(digest, content, str(row["label_feedback"]), str(row["label"]))
