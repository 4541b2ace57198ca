"""A retraining from end to end: labels, data, gate, build, comparison, promotion.

bitbloom retrain petals --from gs://bucket/petals     # called by `make retrain FROM=…`
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bitbloom.core.errors import BitBloomError
from bitbloom.monitoring.retrain import compare, labelled, promotion, version
from bitbloom.monitoring.retrain import target as targets
from bitbloom.pipeline import build, composition, external
from bitbloom.pipeline.recovery import STATE
from bitbloom.serving import archive
from bitbloom.serving.files import open_model

if TYPE_CHECKING:
    from bitbloom.monitoring.retrain.compare import Comparison, Rule
    from bitbloom.monitoring.retrain.promotion import Entry

FROM_ENVIRONMENT, VARIABLE = "log", "BITBLOOM_LOG"
"""`--from log` is the log that the variable of the service names."""
MODEL = "src"
"""The folder of the service and its model in a Bento."""


@dataclass(frozen=True)
class Outcome:
    """The comparison, and the promotion if the candidate was better and was to be promoted."""

    comparison: Comparison
    entry: Entry | None


def address(given: str) -> str:
    """The address of a log: the given one, or for `log` that of the environment. Raises BitBloomError without one."""
    if given != FROM_ENVIRONMENT:
        return given
    found = os.environ.get(VARIABLE, "").strip()
    if not found:
        raise BitBloomError(
            f"FROM=log is the log of {VARIABLE}, which is not set: give its folder or bucket, FROM=gs://bucket/prefix"
        )
    return found


def retrain(target: str, log: str, rule: Rule, promote: bool = True) -> Outcome:
    """Learn from the feedback in a log, and promote the model if it is better than the serving one.

    Nothing that serves changes before the promotion. A run that was killed is repeated: the build continues.

    Raises:
        BitBloomError: the log has too little feedback, the data fails the gate, or a stage fails.
    """
    name = targets.name_of(target)
    joined = labelled.read(address(log))
    print(joined.line, flush=True)
    if not joined.samples:
        raise BitBloomError(
            f"no labelled input: start the service with {VARIABLE}_CONTENT=1, and send feedback to POST /feedback"
        )
    targets.write(target)
    with build.build_lock():  # to its end: no other build may replace what was compared before it is promoted
        _import(target, joined)
        build.build(name)
        built = Path("dist") / f"{name}.bento"
        comparison = _compare(name, promotion.serving(target), built, rule)
        _tell(comparison)
        if not comparison.better or not promote:
            return Outcome(comparison, None)
        facts = {
            "comparison": comparison.as_json(),
            "rule": asdict(rule),
            "log": {"feedback": joined.feedback, "inputs": len(joined.samples)},
        }
        return Outcome(comparison, promotion.promote(target, built, facts))


def _tell(comparison: Comparison) -> None:
    """Print the comparison, and why the candidate is not better."""
    print(f"old part of the test split: {comparison.old.line}\nnew part of the test split: {comparison.new.line}", flush=True)
    for reason in comparison.reasons:
        print(f"not promoted: {reason}")


def _import(target: str, joined: labelled.Joined) -> None:
    """Write the new version of the data, and import it as the user's own data of the retrained target."""
    tree = composition.compose(target)
    base = version.Base(target, str(tree.task), list(tree.prepare.split))
    if joined.kind != str(tree.model.kind):
        raise BitBloomError(
            f"the log holds {joined.kind}s, and '{target}' is a model of kind {tree.model.kind}: give its own log"
        )
    place = STATE / "retrain" / target / "data"
    written = version.write(place, base, joined.kind, joined.samples, targets.data(target))
    new = ", ".join(f"{count:,} {split}" for split, count in written.new.items())
    kept = f" ({written.known:,} of them in the log, with the label of the data)" if written.known else ""
    print(f"data sha256:{written.digest}: {written.old:,} old samples{kept}, new ones: {new}", flush=True)
    external.take(targets.name_of(target), str(place))


def _compare(name: str, serving: Path, candidate: Path, rule: Rule) -> Comparison:
    """Compare the models of two Bentos, as they serve."""
    with tempfile.TemporaryDirectory() as folder:
        models = []
        for number, path in enumerate((serving, candidate)):
            archive.unpack(path, Path(folder) / str(number))
            models.append(open_model(Path(folder) / str(number) / MODEL))
        return compare.compare(name, models[0], models[1], rule)
