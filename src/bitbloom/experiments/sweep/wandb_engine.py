"""The same space as a sweep of Weights & Biases: its server proposes the trials, agents on any machine run them.

    make sweep ENGINE=wandb SPACE=conf/sweep/petals.yaml    # writes .bitbloom/sweeps/petals/wandb.yaml
    wandb sweep .bitbloom/sweeps/petals/wandb.yaml          # registers it; prints its id
    wandb agent ENTITY/PROJECT/ID                           # runs trials: `bitbloom sweep trial … --wandb`

The server chooses by the order of arrival, so such a sweep has other trials each time. Each trial has the bytes of the same
overrides built by the pipeline, as in every engine.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from bitbloom.core import canonical
from bitbloom.pipeline.recovery import STATE

if TYPE_CHECKING:
    from bitbloom.experiments.sweep.parameter import Parameter
    from bitbloom.experiments.sweep.run import Sweep
    from bitbloom.experiments.sweep.space import Space
    from bitbloom.experiments.sweep.study import Progress

METHODS = {"tpe": "bayes", "random": "random", "grid": "grid"}
"""Our sampler → the nearest one of W&B."""
FILE = "wandb.yaml"


def write(sweep: Sweep, path: Path) -> Path:
    """Write the configuration for `wandb sweep`. Returns its path."""
    file = sweep.folder / FILE
    canonical.write_text(file, yaml.safe_dump(config(sweep.space, sweep.name, path), sort_keys=False))
    return file


def config(space: Space, name: str, path: Path) -> dict[str, Any]:
    """A space as W&B's sweep configuration. W&B has no median pruner; then nothing is pruned."""
    pruner = space.pruner
    found: dict[str, Any] = {
        "name": name,
        "method": METHODS[space.sampler],
        "metric": {"name": space.metric, "goal": space.direction},
        "run_cap": space.count(),
        "program": path.as_posix(),
        "command": ["bitbloom", "sweep", "trial", path.as_posix(), "--target", space.target, "--wandb"],
        "parameters": {parameter.key: _range(parameter, space) for parameter in space.searched},
    }
    if pruner.kind in ("halving", "hyperband"):
        found["early_terminate"] = {"type": "hyperband", "min_iter": pruner.first, "eta": pruner.factor}
    return found


def _range(parameter: Parameter, space: Space) -> dict[str, Any]:
    """A range as W&B writes it."""
    if parameter.kind == "choice" or parameter.step not in (None, 1) or space.sampler == "grid":
        return {"values": list(parameter.grid())}  # q_uniform has multiples of the step, and ours count from the smallest value
    distribution = {"int": "int_uniform", "log": "log_uniform_values", "float": "uniform"}[parameter.kind]
    return {"distribution": distribution, "min": parameter.low, "max": parameter.high}


def trial(sweep: Sweep) -> Progress:
    """Run the trial of this agent's run: values from wandb.config, a row per epoch, the digests in the summary."""
    import wandb

    os.environ.setdefault("WANDB_DIR", str((STATE / "wandb").resolve()))
    Path(os.environ["WANDB_DIR"]).mkdir(parents=True, exist_ok=True)
    with wandb.init(job_type="sweep", config={"bitbloom.target": sweep.space.target}) as run:
        given = [parameter for parameter in sweep.space.searched if parameter.key in run.config]
        values = {parameter.key: parameter.value(run.config[parameter.key]) for parameter in given}
        found = sweep.one(values, lambda row: run.log(row, step=int(row["epoch"])))
        run.summary.update({f"sha256.{name}": sha256 for name, sha256 in found.sha256.items()})
        if found.value is not None:
            run.summary[sweep.space.metric] = found.value
    return found
