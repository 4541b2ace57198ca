"""Instruments of a training, each for one phase: clocks, torch.profiler, py-spy. None changes what the training computes."""

from __future__ import annotations

import time
from pathlib import Path
from types import FrameType
from typing import Protocol

import torch
from torch.autograd.profiler import record_function
from torch.nn.modules.module import register_module_forward_pre_hook

from bitbloom.experiments.profile import parts, spy
from bitbloom.experiments.profile.clock import Clock
from bitbloom.experiments.profile.modules import Modules
from bitbloom.experiments.profile.trace import MODULE, SPAN


class Instrument(Protocol):
    """What observes the steps of a phase."""

    def begin(self) -> None:
        """Start, after a step."""

    def stepped(self) -> None:
        """A step has ended; called before `end` after the last one, too."""

    def end(self) -> None:
        """Stop."""


class Nothing:
    """Lets steps pass: caches fill."""

    def begin(self) -> None:
        """Do nothing."""

    def stepped(self) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""


class Plain:
    """The time between steps, without another instrument. A step with a validation before it is left out."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._validated = False

    def begin(self) -> None:
        """Start the clock."""
        self._handle = register_module_forward_pre_hook(self._before)
        self._last = time.perf_counter()

    def stepped(self) -> None:
        """Note the time of a step."""
        now = time.perf_counter()
        if not self._validated:
            self.seconds.append(now - self._last)
        self._last, self._validated = now, False

    def end(self) -> None:
        """Remove the hook."""
        self._handle.remove()

    def _before(self, _module: object, _inputs: object) -> None:
        self._validated = self._validated or not torch.is_grad_enabled()


class Clocked:
    """The parts of a step and the modules of the forward pass, by clocks."""

    def __init__(self, task: str) -> None:
        self.modules = Modules()
        self.clock = Clock(parts.codes(task), parts.OTHER, parts.BETWEEN, self._entered)
        self.loss = parts.code(parts.LOSS, task)

    def begin(self) -> None:
        """Start both clocks."""
        self.modules.start()
        self.clock.start()

    def stepped(self) -> None:
        """Do nothing: the clocks run on."""

    def end(self) -> None:
        """Stop both clocks."""
        self.clock.stop()
        self.modules.stop()

    def _entered(self, _part: str, frame: FrameType) -> None:
        if frame.f_code is self.loss:
            self.modules.see(frame)


class Traced:
    """torch.profiler with spans for parts and modules, and with memory."""

    def __init__(self, task: str, steps: int, file: Path | None) -> None:
        self.modules = Modules(lambda name: _open(MODULE + name), _close)
        self.clock = Clock(parts.codes(task), parts.OTHER, parts.BETWEEN, self._entered, _close)
        self.loss, self.file = parts.code(parts.LOSS, task), file
        activities = [torch.profiler.ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(torch.profiler.ProfilerActivity.CUDA)
        self.profiler = torch.profiler.profile(
            activities=activities,
            schedule=torch.profiler.schedule(wait=0, warmup=1, active=steps, repeat=1),
            on_trace_ready=self._write,
            record_shapes=True,
            profile_memory=True,
        )

    def begin(self) -> None:
        """Start all."""
        self.modules.start()
        self.profiler.start()
        self.clock.start()

    def stepped(self) -> None:
        """Let torch.profiler go on to its next step."""
        self.profiler.step()

    def end(self) -> None:
        """Stop all."""
        self.clock.stop()
        self.profiler.stop()
        self.modules.stop()

    def _entered(self, part: str, frame: FrameType) -> object:
        if frame.f_code is self.loss:
            self.modules.see(frame)
        return _open(SPAN + part)

    def _write(self, profiler: torch.profiler.profile) -> None:
        if self.file is not None:
            profiler.export_chrome_trace(str(self.file))


class Sampled:
    """py-spy, in the first worker: it samples all workers."""

    def __init__(self, svg: Path | None) -> None:
        self.sampler = spy.Sampler(spy.own_pid(), svg) if svg else None
        self.problem = ""

    def begin(self) -> None:
        """Start py-spy, and wait for it."""
        if self.sampler:
            self.sampler.start()

    def stepped(self) -> None:
        """Do nothing: py-spy runs on."""

    def end(self) -> None:
        """Stop py-spy."""
        if self.sampler:
            self.problem = self.sampler.stop()


def _open(name: str) -> record_function:
    span = record_function(name)
    span.__enter__()  # type: ignore[no-untyped-call]
    return span


def _close(span: object) -> None:
    if isinstance(span, record_function):
        span.__exit__(None, None, None)
