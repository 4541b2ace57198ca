"""Digests: SHA-256 of a file's bytes, and of the sorted list of files for a folder."""

from __future__ import annotations

import hashlib
from pathlib import Path


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_files(folder: Path) -> dict[str, Path]:
    """Return all regular files below a folder by their relative POSIX paths, sorted."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return dict(sorted(files.items()))


def listing_digest(files: dict[str, str]) -> str:
    """Return the SHA-256 of the sorted lines `<digest>  <path>`, in the format of `sha256sum`."""
    text = "".join(f"{digest}  {path}\n" for path, digest in sorted(files.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def digest(path: Path) -> str:
    """Return the digest of a file or a folder. Raises FileNotFoundError if it does not exist."""
    if path.is_dir():
        return listing_digest({name: file_digest(file) for name, file in folder_files(path).items()})
    return file_digest(path)


def size(path: Path) -> int:
    """Return the size of a file, or of all files below a folder, in bytes."""
    if path.is_dir():
        return sum(file.stat().st_size for file in folder_files(path).values())
    return path.stat().st_size
