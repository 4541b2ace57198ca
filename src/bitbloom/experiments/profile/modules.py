"""The time of each module of a network in forward passes, by PyTorch's global hooks."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable
from types import FrameType

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils.hooks import RemovableHandle

LAYERS = re.compile(r"(\.layers?)\.\d+(?=\.|$)")
"""The number of a layer: equal layers are one row."""


class Modules:
    """Times the modules of the network whose forward pass is entered. Passes without gradients (validation) do not count.

    Attributes:
        network: the network, or None before its first pass.
        nanoseconds: name → time in the module itself, without the modules that it calls.
    """

    def __init__(
        self, entered: Callable[[str], object] = lambda name: None, left: Callable[[object], None] = lambda token: None
    ) -> None:
        """Prepare. `entered` is called with the name of a module, and `left` with what `entered` returned."""
        self.entered, self.left = entered, left
        self.network: nn.Module | None = None
        self.names: dict[int, str] = {}
        self.nanoseconds: dict[str, int] = defaultdict(int)
        self._stack: list[tuple[int, str, object]] = []
        self._last = 0
        self._handles: list[RemovableHandle] = []

    def start(self) -> None:
        """Register the hooks."""
        self._handles = [
            register_module_forward_pre_hook(self._before),
            register_module_forward_hook(self._after, always_call=True),
        ]

    def stop(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()

    def see(self, frame: FrameType) -> None:
        """Learn the names from a call of a task's `loss`, whose first argument is the network."""
        if self.network is None:
            network: nn.Module = frame.f_locals[frame.f_code.co_varnames[0]]
            self.network = network
            self.names = {id(module): name or type(network).__name__ for name, module in network.named_modules()}

    def parameters(self) -> dict[str, int]:
        """Name → the number of trainable parameters in the module itself."""
        found: dict[str, int] = defaultdict(int)
        for module in self.network.modules() if self.network else ():
            for parameter in module.parameters(recurse=False):
                if parameter.requires_grad:
                    found[merged(self.names[id(module)])] += parameter.numel()
        return dict(found)

    def _before(self, module: nn.Module, _inputs: object) -> None:
        if torch.is_grad_enabled() and id(module) in self.names:
            name = merged(self.names[id(module)])
            self._mark()
            self._stack.append((id(module), name, self.entered(name)))

    def _after(self, module: nn.Module, _inputs: object, _output: object) -> None:
        if self._stack and self._stack[-1][0] == id(module):
            self._mark()
            _, _, token = self._stack.pop()
            if token is not None:
                self.left(token)

    def _mark(self) -> None:
        now = time.perf_counter_ns()
        if self._stack:
            self.nanoseconds[self._stack[-1][1]] += now - self._last
        self._last = now


def merged(name: str) -> str:
    """A module's name without the number of its layer: `encoder.layer.*.attention`."""
    return LAYERS.sub(r"\1.*", name)
