"""cProfile's numbers by module and by function: the own times of all functions add up to the profiled time."""

from __future__ import annotations

import pstats
import sysconfig
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

IMPORTS, BUILT_IN = "imports", "Python itself"
"""Groups: finding, reading and running modules; and functions in C that other functions in C call."""
C_CODE = "~"
"""cProfile's file name of functions in C."""
INSTALLED = Path(sysconfig.get_paths()["purelib"])
STANDARD = Path(sysconfig.get_paths()["stdlib"])
PACKAGE = Path(__file__).parents[2]

Key = tuple[str, int, str]
"""File, line and name of a function, as in cProfile's statistics."""


@dataclass(frozen=True)
class Function:
    """A function: its name with its module, its calls, its own seconds, and those with what it calls."""

    name: str
    calls: int
    own: float
    total: float


def read(file: Path) -> dict[Key, Any]:
    """The statistics of a file that cProfile wrote."""
    statistics: Any = pstats.Stats(str(file))
    found: dict[Key, Any] = statistics.stats
    return found


def by_module(found: dict[Key, Any]) -> dict[str, float]:
    """Module → own seconds, the longest first. The time of a function in C belongs to the modules that call it."""
    seconds: dict[str, float] = defaultdict(float)
    for key, (_, _, own, _, callers) in found.items():
        if key[0] != C_CODE:
            seconds[group(key)] += own
            continue
        left = own
        for caller, numbers in callers.items():
            seconds[BUILT_IN if caller[0] == C_CODE else group(caller)] += numbers[2]
            left -= numbers[2]
        seconds[BUILT_IN] += left
    return dict(sorted(seconds.items(), key=lambda item: -item[1]))


def by_function(found: dict[Key, Any]) -> list[Function]:
    """All functions, those with most own time first."""
    rows = [Function(named(key), calls, own, total) for key, (_, calls, own, total, _) in found.items()]
    return sorted(rows, key=lambda row: (-row.own, row.name))


def imports(found: dict[Key, Any]) -> float:
    """Seconds from the first line of an import to its last, of all imports that no other import causes."""
    names = [key for key in found if key[0].startswith("<frozen importlib") and key[2] == "_find_and_load"]
    return sum(float(found[key][3]) for key in names)


def group(key: Key) -> str:
    """The module of a function, as a row of the table: this project's by their whole names, others by package."""
    file, _, name = key
    if file.startswith("<frozen importlib") or name == "<module>":
        return IMPORTS
    return module(file)


def module(file: str) -> str:
    """The name of the module or package of a file."""
    path = Path(file)
    if path.is_relative_to(PACKAGE):
        return ".".join((PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    if path.is_relative_to(INSTALLED):
        return Path(path.relative_to(INSTALLED).parts[0]).stem
    if path.is_relative_to(STANDARD):
        return f"standard library: {Path(path.relative_to(STANDARD).parts[0]).stem}"
    return file if file.startswith("<") else path.stem


def named(key: Key) -> str:
    """A function's name for a table, with its module; the names of functions in C have it already."""
    file, line, name = key
    if file == C_CODE:
        return name.strip("<>").removeprefix("built-in method ")
    return f"{module(file)}: {name}, line {line}"
