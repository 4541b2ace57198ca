"""The engines that run the trials of a search. All give the same history: an engine chooses only where and when a trial runs."""

from __future__ import annotations

from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.sweep import hydra_engine, local, ray_engine, run

ENGINES = {"local": local.execute, "ray": ray_engine.execute, "hydra": hydra_engine.execute}


def executor(name: str) -> run.Execute:
    """The function that runs tasks. Raises BitBloomError for an unknown engine."""
    if name not in ENGINES:
        raise BitBloomError(f"engine '{name}' is none of {', '.join(ENGINES)}, wandb, vertex")
    return ENGINES[name]
