"""Queries to git about the checkout in the current folder."""

from __future__ import annotations

import subprocess
from pathlib import Path


def clean_commit() -> str | None:
    """Return the commit of the working tree, or None if it has uncommitted changes or no commit."""
    try:
        status = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
        head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return None if status else head.strip()


def committed(path: Path) -> bytes | None:
    """Return the content of a path in the last commit; None if the path or the commit does not exist."""
    try:
        shown = subprocess.run(["git", "show", f"HEAD:./{path.as_posix()}"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return shown.stdout
