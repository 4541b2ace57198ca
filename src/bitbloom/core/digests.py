"""Digests: the SHA-256 of an artifact's bytes, and of a folder the SHA-256 of its sorted list of files."""

from __future__ import annotations

import hashlib
from pathlib import Path


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_files(folder: Path) -> dict[str, Path]:
    """Every regular file below a folder by its POSIX path relative to it, in sorted order."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return dict(sorted(files.items()))


def listing_digest(files: dict[str, str]) -> str:
    """SHA-256 of the sorted lines `<digest>  <path>`, the text `sha256sum` would print."""
    text = "".join(f"{digest}  {path}\n" for path, digest in sorted(files.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def digest(path: Path) -> str:
    """The digest of a file or a folder. Raises FileNotFoundError when it is not there."""
    if path.is_dir():
        return listing_digest({name: file_digest(file) for name, file in folder_files(path).items()})
    return file_digest(path)


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    if path.is_dir():
        return sum(file.stat().st_size for file in folder_files(path).values())
    return path.stat().st_size
