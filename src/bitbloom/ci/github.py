"""GitHub's API through its own command line, `gh`, which runners have. The token is in its environment, never in an argument."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from bitbloom.core.errors import BitBloomError


def api(path: str, method: str = "GET", **fields: Any) -> Any:
    """Call the API; its answer as plain JSON. Raises BitBloomError with GitHub's own words."""
    command = ["gh", "api", "--method", method, path]
    body = json.dumps(fields) if fields else None
    done = subprocess.run(
        [*command, *(["--input", "-"] if body else [])], input=body, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BitBloomError(f"{method} {path}: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout) if done.stdout.strip() else None


def variable(name: str) -> str:
    """A variable that GitHub sets. Raises BitBloomError outside a workflow."""
    value = os.environ.get(name, "")
    if not value:
        raise BitBloomError(f"{name} is not set: this runs in a workflow of GitHub, see docs/ci.md")
    return value
