"""The range of a searched key: an interval, maybe with a step, or choices."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bitbloom.core.errors import BitBloomError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

RANGES = ("float", "log", "int", "choice")
DIGITS = 6
"""Significant digits of a proposed float: the last bits of a logarithm differ between C libraries."""


@dataclass(frozen=True)
class Parameter:
    """The range of one key: an interval with a step, or the texts of its choices."""

    key: str
    kind: str
    low: float = 0
    high: float = 0
    step: float | None = None
    choices: tuple[str, ...] = ()

    def distribution(self) -> BaseDistribution:
        """The range as Optuna's type."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.kind == "choice":
            return CategoricalDistribution(self.choices)
        if self.kind == "int":
            return IntDistribution(int(self.low), int(self.high), step=int(self.step or 1))
        return FloatDistribution(self.low, self.high, log=self.kind == "log", step=self.step)

    def grid(self) -> list[Any]:
        """All values. Raises BitBloomError for an interval without steps."""
        if self.kind == "choice":
            return list(self.choices)
        step = self.step or (1 if self.kind == "int" else None)
        if step is None:
            raise BitBloomError(f"{self.key}: sampler grid needs `choice`, `int`, or `float` with a step")
        values = [self.low + step * number for number in range(int((self.high - self.low) / step + 1e-9) + 1)]
        return [int(value) if self.kind == "int" else min(float(f"{value:.{DIGITS}g}"), self.high) for value in values]

    def end(self, high: int) -> float | int | None:
        """The smallest (0) or largest (1) value of an interval; None for choices."""
        end = self.high if high else self.low
        return None if self.kind == "choice" else int(end) if self.kind == "int" else float(end)

    def value(self, given: Any) -> Any:
        """A value from text or JSON, which have no integers of their own. Raises BitBloomError when it is not in the range."""
        if self.kind == "choice":
            found: list[Any] = [choice for choice in self.choices if choice == text_of(given)]
        elif self.step is not None or self.kind == "int":
            found = [value for value in self.grid() if _is_close(value, self.number(given))]
        else:
            found = [number] if self.low <= (number := self.number(given)) <= self.high else []
            found = found or [end for end in (self.low, self.high) if _is_close(end, number)]
        if not found:
            raise BitBloomError(f"{self.key}={given} is not in the space: {self.described()}")
        return found[0]

    def number(self, given: Any) -> float:
        """A number from text or JSON. Raises BitBloomError when it is none."""
        try:
            return float(given)
        except (TypeError, ValueError) as error:
            raise BitBloomError(f"{self.key}={given} is not a number") from error

    def described(self) -> str:
        """The range for a message."""
        if self.kind == "choice":
            return ", ".join(self.choices)
        return f"{self.low:g} … {self.high:g}" + ("" if self.step is None else f" in steps of {self.step:g}")

    def override(self, value: Any) -> str:
        """`key=value` as a build takes it."""
        return f"{self.key}={value:.{DIGITS}g}" if isinstance(value, float) else f"{self.key}={value}"


def parameter(key: str, given: Any) -> Parameter:
    """The range of a key. Raises BitBloomError when it is not one."""
    kinds = [kind for kind in RANGES if isinstance(given, Mapping) and kind in given]
    if len(kinds) != 1 or set(given) - {*kinds, "step"}:
        raise BitBloomError(f"parameters.{key}: one of {', '.join(RANGES)}, and maybe `step`: {{float: [0.0, 0.2], step: 0.05}}")
    kind, values = kinds[0], given[kinds[0]]
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise BitBloomError(f"parameters.{key}.{kind} is not a list")
    if kind == "choice":
        return Parameter(key, kind, choices=tuple(text_of(value) for value in values))
    step = given.get("step")
    numbers = [*values, *([] if step is None else [step])]
    if len(values) != 2 or any(isinstance(number, bool) or not isinstance(number, int | float) for number in numbers):
        raise BitBloomError(f"parameters.{key}.{kind} has to be [smallest, largest], two numbers")
    low, high = values
    if not low < high or (kind == "log" and (low <= 0 or step is not None)) or (step is not None and step <= 0):
        raise BitBloomError(f"parameters.{key}.{kind}: {low} < largest, step > 0; log has a smallest value > 0 and no step")
    if kind == "int" and any(number != int(number) for number in numbers):
        raise BitBloomError(f"parameters.{key}.int has whole numbers only")
    return Parameter(key, kind, low, high, step)


def _is_close(value: float, number: float) -> bool:
    """Whether two numbers are the same in the digits of an override."""
    return math.isclose(value, number, rel_tol=10.0**-DIGITS, abs_tol=1e-12)


def text_of(value: Any) -> str:
    """A choice as the value of an override."""
    return value if isinstance(value, str) else json.dumps(value)
