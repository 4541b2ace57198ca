"""Variants that cannot be made or run: why, in one line, for the row that the table has of them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError

FILE = "failures.json"
"""Folder of variants → why it could not be made."""


@contextlib.contextmanager
def noted(failures: dict[str, str], name: str) -> Iterator[None]:
    """Note whatever goes wrong inside under `name`, say so, and go on: compilers and runtimes raise what they like."""
    try:
        yield
    except Exception as error:
        failures[name] = reason(error)
        print(f"optimise: {name}: {failures[name]}", file=sys.stderr, flush=True)


def reason(error: Exception) -> str:
    """The first line of an error; after its kind, where it is not one of this project's."""
    if "InvalidCxxCompiler" in f"{type(error).__name__} {error}":
        return "torch.compile needs a C++ compiler, and there is none: install g++"
    first = next(iter(str(error).strip().splitlines()), "")
    return first if isinstance(error, BitBloomError) else f"{type(error).__name__}: {first}".removesuffix(": ")


def read(folder: Path) -> dict[str, str]:
    """What was noted when the variants in `folder` were made."""
    file = folder / FILE
    return dict(canonical.read_json(file)) if file.is_file() else {}
