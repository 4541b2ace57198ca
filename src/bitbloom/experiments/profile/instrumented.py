"""The train stage with instruments around it: what `python -m bitbloom.stages.train TARGET` runs, in every worker.

    python -m bitbloom.experiments.profile.instrumented petals-tiny

It runs in the workspace of a profile, which has plan.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bitbloom.core import canonical
from bitbloom.experiments.profile.phases import Plan, Session
from bitbloom.models import weights
from bitbloom.stages import main, train
from bitbloom.training import workers

if TYPE_CHECKING:
    from bitbloom.config.target import Target

PLAN = Path("plan.json")
FOLDER = Path("profile")
"""Where the measurements go, in the workspace of the profile."""


def run(target: Target) -> None:
    """As `train.run`, with `fit` in the place of `train.fit`."""
    weights.ensure_all(target.model.starts_from())
    one_gpu = target.numerics.profile == "cuda"
    workers.launch(fit, 1 if one_gpu else target.numerics.micro_batches, target, train.inputs_digest(target))


def fit(worker: workers.Worker, target: Target, inputs: str) -> None:
    """`train.fit` in a session of instruments."""
    FOLDER.mkdir(exist_ok=True)
    with Session(Plan(**canonical.read_json(PLAN)), FOLDER, target.task, worker.rank):
        train.fit(worker, target, inputs)


if __name__ == "__main__":
    main(run, train.READS)
