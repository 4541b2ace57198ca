"""Queries to git about the checkout in the current folder."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path


def clean_commit() -> str | None:
    """Return the commit of the working tree, or None if it has uncommitted changes or no commit."""
    try:
        status = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
        head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return None if status else head.strip()


def head() -> str | None:
    """Return the last commit; None if there is none."""
    return (_output("rev-parse", "--verify", "--quiet", "HEAD") or b"").decode().strip() or None


def committed(path: Path) -> bytes | None:
    """Return the content of a path in the last commit; None if the path or the commit does not exist."""
    return show("HEAD", path)


def unmerged() -> list[Path]:
    """Return the files below this folder that an unfinished merge left in conflict, relative to it."""
    listed = _output("ls-files", "--unmerged", "-z") or b""
    names = {entry.partition(b"\t")[2].decode("utf-8", errors="surrogateescape") for entry in listed.split(b"\0") if entry}
    return sorted(map(Path, names))


def side(path: Path, stage: int) -> bytes | None:
    """Return a version of an unmerged file: 1 the one before both sides, 2 ours, 3 theirs; None if it does not exist."""
    return _output("show", f":{stage}:./{path.as_posix()}")


def show(revision: str, path: Path) -> bytes | None:
    """Return the content of a path in a revision; None if one of them does not exist."""
    return _output("show", f"{revision}:./{path.as_posix()}") if revision else None


def merge_base(one: str, other: str) -> str:
    """Return the last common commit of two revisions; empty if there is none."""
    return (_output("merge-base", one, other) or b"").decode().strip()


def add(paths: Iterable[Path]) -> None:
    """Mark files as resolved, also removed ones."""
    if names := [path.as_posix() for path in paths]:
        subprocess.run(["git", "add", "--all", "--force", "--", *names], check=True)


def _output(*command: str) -> bytes | None:
    try:
        return subprocess.run(["git", *command], capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
