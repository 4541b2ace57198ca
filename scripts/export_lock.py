"""Write requirements.txt and environment.yml from requirements.lock and .python-version, for tools that read only these.

    python scripts/export_lock.py            # `make lock` does it, too
    python scripts/export_lock.py --check    # part of `make lint`: are they current?

`make setup` installs the lock, with hashes. The exported files have its versions without hashes, and torch without the suffix of
its CPU build, because an index without that build has only the plain version.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PIN = re.compile(r"^(?P<name>[\w.-]+(?:\[[^\]]*\])?)==(?P<version>[^\s;+\\]+)(?:\+\w+)?(?P<marker> ;[^\\\n]+)?", re.MULTILINE)
NOTE = "# Generated from requirements.lock by scripts/export_lock.py. `make setup` installs the lock itself, with hashes.\n"
ENVIRONMENT = """\
name: bitbloom
channels:
  - conda-forge
dependencies:
  - python={python}
  - pip
  - pip:
      - -r requirements.txt
"""


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or tell with exit code 1 which are stale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare and write nothing")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout")
    asked = parser.parse_args(arguments)
    stale = [path for path, text in exported(asked.root).items() if current(path) != text]
    for path in stale:
        if asked.check:
            print(f"{path.relative_to(asked.root)} differs from the lock: run `python scripts/export_lock.py`", file=sys.stderr)
        else:
            path.write_text(exported(asked.root)[path], encoding="utf-8")
            print(path.relative_to(asked.root))
    return int(asked.check and bool(stale))


def exported(root: Path) -> dict[Path, str]:
    """The files and their texts."""
    lock = (root / "requirements.lock").read_text(encoding="utf-8")
    python = (root / ".python-version").read_text(encoding="utf-8").strip()
    pins = [f"{pin['name']}=={pin['version']}{(pin['marker'] or '').rstrip()}\n" for pin in PIN.finditer(lock)]
    return {
        root / "requirements.txt": NOTE + "".join(pins),
        root / "environment.yml": NOTE + ENVIRONMENT.format(python=python),
    }


def current(path: Path) -> str:
    """The text of a file, empty if it is missing."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
