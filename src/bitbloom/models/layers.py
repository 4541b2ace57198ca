"""Where a layer's number stands in the names of a transformer's parameters."""

from __future__ import annotations

import re

LAYER = re.compile(r"\.layers?\.(\d+)\.")
"""A parameter's layer in the names of transformers' models."""
