"""What git says of the checkout in the current folder."""

from __future__ import annotations

import subprocess
from pathlib import Path


def clean_commit() -> str | None:
    """The commit of the working tree, when it holds nothing else."""
    try:
        status = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
        head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return None if status else head.strip()


def committed(path: Path) -> bytes | None:
    """What the last commit has at a path; None where it has nothing, or where there is no commit."""
    try:
        shown = subprocess.run(["git", "show", f"HEAD:./{path.as_posix()}"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return shown.stdout
