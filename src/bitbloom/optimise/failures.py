"""Variants that cannot be made or run: the reason in one line, for their row of the table."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError

FILE = "failures.json"
"""File: folder of a variant → the reason why it could not be made."""


@contextlib.contextmanager
def noted(failures: dict[str, str], name: str) -> Iterator[None]:
    """Record and print any error of the block under `name`, and continue: compilers and runtimes raise errors of any type."""
    try:
        yield
    except Exception as error:
        failures[name] = reason(error)
        print(f"optimise: {name}: {failures[name]}", file=sys.stderr, flush=True)


def reason(error: Exception) -> str:
    """The first line of an error. Errors of other projects have their type in front."""
    if "InvalidCxxCompiler" in f"{type(error).__name__} {error}":
        return "torch.compile needs a C++ compiler: install g++"
    first = next(iter(str(error).strip().splitlines()), "")
    return first if isinstance(error, BitBloomError) else f"{type(error).__name__}: {first}".removesuffix(": ")


def read(folder: Path) -> dict[str, str]:
    """The recorded failures of the variants in `folder`."""
    file = folder / FILE
    return dict(canonical.read_json(file)) if file.is_file() else {}
