"""The sections of a target's configuration: one module each, whose dataclass has every key with its type, default and meaning.

`source` has the keys of its kind (`bitbloom.data.sources`), `model` those of its own (`bitbloom.config.models`). A stage
depends on the modules of the sections that it reads, and on no other.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Sections that have a module here, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


def section_type(name: str) -> type[Any]:
    """The dataclass of a section: `Train` of `train`."""
    return getattr(importlib.import_module(f"{__name__}.{name}"), name.capitalize())  # type: ignore[no-any-return]
