"""Check that locks hold only names, versions and SHA-256 hashes: no address, no option, no package without a hash.

python3 nix/check_locks.py requirements*.lock
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[a-z0-9, _-]+\])?==[A-Za-z0-9.+!_-]+( ; [^:/]+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")


def faults(text: str) -> Iterator[str]:
    """The errors of a lock, one line each."""
    hashes_expected = False
    for number, line in enumerate(text.splitlines(), start=1):
        form, what = (HASH, "hash") if hashes_expected else (PACKAGE, "name with a version, and hashes after it")
        if not form.fullmatch(line):
            yield f"line {number}: {line[:80]!r} is not a {what}"
        hashes_expected = line.endswith("\\")
    if hashes_expected:
        yield "the last package has no end"
    if not text.strip():
        yield "it is empty"


def main(paths: list[str]) -> int:
    """Print the errors of each lock. Exit code 1 if there is one."""
    found = [f"{path}: {fault}" for path in paths for fault in faults(Path(path).read_text(encoding="utf-8"))]
    print("\n".join(found) or f"{len(paths)} locks: versions and SHA-256 only")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
