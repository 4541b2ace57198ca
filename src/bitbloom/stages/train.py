"""train: fit the target's model on its train split.

python -m bitbloom.stages.train petals                                    # one worker for each core
torchrun --nproc-per-node 2 -m bitbloom.stages.train petals               # the same bytes
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import save_file

from bitbloom import tasks
from bitbloom.core import canonical, imports
from bitbloom.core.digests import digest, file_digest
from bitbloom.core.errors import BitBloomError
from bitbloom.models import weights
from bitbloom.numerics import pins
from bitbloom.stages import main, named_modules
from bitbloom.training import loop, workers
from bitbloom.training.checkpoint import Checkpoints
from bitbloom.training.inference import open_dataset

if TYPE_CHECKING:
    from bitbloom.config.target import Target

READS = ("task", "model", "augment", "train", "numerics")
PARTS = ("model",)


def run(target: Target) -> None:
    """Write models/<target>/: `model.safetensors`, `config.json`, `training.json`, `ledger.jsonl`."""
    weights.ensure_all(target.model.starts_from())  # once, before several workers need them
    one_gpu = target.numerics.profile == "cuda"
    workers.launch(fit, 1 if one_gpu else target.numerics.micro_batches, target, inputs_digest(target))


def fit(worker: workers.Worker, target: Target, inputs: str) -> None:
    """Train as one worker. The first worker writes the outputs and then deletes the checkpoints."""
    pins.pin_torch()
    dataset = open_dataset(target, target.model)
    sections = loop.Sections(target.model, target.augment, target.train, target.numerics)
    run = loop.Run(worker, tasks.model(target.task), dataset, sections)
    checkpoints = Checkpoints(inputs)
    report = loop.Report(shown=worker.first)
    try:
        run.fit(checkpoints, report)
    except FloatingPointError as error:
        raise BitBloomError(str(error)) from error
    finally:
        report.close()
    if worker.first:
        write(run, target)
        checkpoints.remove()


def write(run: loop.Run, target: Target) -> None:
    """Write the weights, their configuration, the curves and the ledger."""
    folder = target.models
    with canonical.replacing(folder / "model.safetensors") as temporary:
        save_file(run.finish(), temporary)
    config = {
        "task": target.task,
        "model": asdict(target.model),
        "meta": run.dataset.meta,
        "data_digest": digest(target.processed),
    }
    canonical.write_json(folder / "config.json", config)
    canonical.write_json(folder / "training.json", run.summary())
    canonical.write_text(folder / "ledger.jsonl", "".join(canonical.json_line(line) for line in run.history.ledger))


def inputs_digest(target: Target) -> str:
    """SHA-256 of all inputs of the weights: config, data, code and lock. It names the folder of the checkpoints."""
    sections = {key: asdict(value) if hasattr(value, "__dataclass_fields__") else value for key, value in target.sections.items()}
    code = imports.closure([__spec__.name, *named_modules(READS, PARTS, target.task, target.model.kind)])
    files = {path.relative_to(imports.ROOT).as_posix(): file_digest(path) for path in code}
    state = {
        "config": sections,
        "data": [digest(target.processed), *([digest(target.features)] if target.model.frozen else [])],
        "code": files,
        "lock": file_digest(Path("requirements.lock")),
        "weights": [weights.identity(spec) for spec in target.model.starts_from()],
        "isa": os.environ.get("ATEN_CPU_CAPABILITY"),
    }
    return hashlib.sha256(canonical.json_text(state).encode()).hexdigest()


if __name__ == "__main__":
    main(run, READS)
