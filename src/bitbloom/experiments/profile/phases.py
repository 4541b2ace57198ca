"""A training under one instrument after the other: each for some steps, changed by a hook after AdamW's step.

The steps of the last phase end the training, so that the whole run is one of the stage's own.
"""

from __future__ import annotations

import resource
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from bitbloom.core import canonical
from bitbloom.experiments.profile.instruments import Clocked, Instrument, Nothing, Plain, Sampled, Traced

TRACE = "worker0.pt.trace.json.gz"
"""A name that Perfetto and TensorBoard's profiler plugin read."""
FLAMES = "flames.svg"


@dataclass(frozen=True)
class Plan:
    """How many steps each phase has."""

    warm: int = 3
    plain: int = 10
    clocked: int = 10
    traced: int = 2
    sampled: int = 10

    @property
    def steps(self) -> int:
        """All steps: torch.profiler has one more, whose events it drops."""
        return self.warm + self.plain + self.clocked + self.traced + 1 + self.sampled


class Session:
    """The phases of one worker, as a context around its training. Its measurements go to `<folder>/<rank>.json`."""

    def __init__(self, plan: Plan, folder: Path, task: str, rank: int) -> None:
        self.folder, self.rank = folder, rank
        first = rank == 0
        self.plain, self.clocked = Plain(), Clocked(task)
        self.traced = Traced(task, plan.traced, folder / TRACE if first else None)
        self.sampled = Sampled(folder / FLAMES if first else None)
        phases: Sequence[tuple[int, Instrument]] = (
            (plan.warm, Nothing()),
            (plan.plain, self.plain),
            (plan.clocked, self.clocked),
            (plan.traced + 1, self.traced),
            (plan.sampled, self.sampled),
        )
        self.steps = plan.clocked
        self._coming = [instrument for count, instrument in phases for _ in range(count)]
        self._now: Instrument = self._coming[0]

    def __enter__(self) -> Session:
        """Register the hook."""
        self._handle = register_optimizer_step_post_hook(self._stepped)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Remove the hook. Without an error, write the measurements."""
        self._handle.remove()
        if kind is None:
            canonical.write_json(self.folder / f"{self.rank}.json", self.measured())

    def _stepped(self, optimiser: torch.optim.Optimizer, _arguments: object, _options: object) -> None:
        self._now.stepped()
        done = self._coming.pop(0)
        following = self._coming[0] if self._coming else None
        if following is not done:
            done.end()
            if following is not None:
                self._now = following
                following.begin()
            else:
                self._state = _bytes(optimiser)

    def measured(self) -> dict[str, Any]:
        """All numbers of this worker, times in seconds, memory in bytes."""
        clock, modules = self.clocked.clock, self.clocked.modules
        network = modules.network
        weights = sum(each.numel() * each.element_size() for each in network.parameters() if each.requires_grad) if network else 0
        return {
            "plain": self.plain.seconds,
            "steps": self.steps,
            "parts": {part: nanoseconds / 1e9 for part, nanoseconds in clock.nanoseconds.items()},
            "cpu": {part: nanoseconds / 1e9 for part, nanoseconds in clock.cpu.items()},
            "calls": dict(clock.calls),
            "modules": {name: nanoseconds / 1e9 for name, nanoseconds in modules.nanoseconds.items()},
            "parameters": modules.parameters(),
            "memory": {
                "weights": weights,
                "gradients": weights,  # one flat tensor of the size of the weights
                "optimiser": self._state,
                "largest": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            },
            "flames": self.sampled.problem,
        }


def _bytes(optimiser: torch.optim.Optimizer) -> int:
    """Bytes of the tensors in an optimiser's state."""
    values = (value for state in optimiser.state.values() for value in state.values())
    return sum(value.numel() * value.element_size() for value in values if isinstance(value, torch.Tensor))
