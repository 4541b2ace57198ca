"""The sections of a target's configuration: one module each; its dataclass has every key with its type, default and meaning.

The keys of `source` depend on its kind (`bitbloom.data.sources`), and so do those of `model` (`bitbloom.config.models`). A stage
depends only on the modules of the sections that it reads.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Return the sections with a module in this package, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


def section_type(name: str) -> type[Any]:
    """Return the dataclass of a section: `Train` for `train`."""
    return getattr(importlib.import_module(f"{__name__}.{name}"), name.capitalize())  # type: ignore[no-any-return]
