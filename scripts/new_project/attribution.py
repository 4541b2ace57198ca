"""What a derived project says of its origin, as the Apache License 2.0 requires in section 4. Standard library only."""

from __future__ import annotations

from pathlib import Path

from .names import OLD, Names
from .rename import write

ORIGIN = f"{OLD.title}, Copyright 2026 the {OLD.title} authors"
MARK = "{{origin}}"
"""Stands for the origin until the names are replaced."""
FILES = ("NOTICE", "CITATION.cff")


def mark(root: Path) -> None:
    """Before the renaming: put MARK where a copy has to name its origin."""
    notice, citation = ((root / name).read_text(encoding="utf-8") for name in FILES)
    head, _, rest = notice.partition("\n\n")
    write(root / FILES[0], f"{head}\n\n{MARK}\n\n{rest}")
    write(root / FILES[1], f"{citation.rstrip()}\n{MARK}\n")


def state(root: Path, new: Names, commit: str) -> None:
    """After the renaming: state the origin, and what was changed, in place of MARK."""
    says = {
        FILES[0]: f"""\
{new.title} derives from {ORIGIN},
commit {commit},
under the Apache License, Version 2.0. Every file that contained the name of
{OLD.title} was changed: the package, the command, the state folder and the
variables have the name of {new.title}. Tasks, tests and pages of {OLD.title}
may have been left out.""",
        FILES[1]: f"""\
references:
  - type: software
    title: {OLD.title}
    authors:
      - name: the {OLD.title} authors
    commit: {commit}
    license: Apache-2.0""",
    }
    for name, text in says.items():
        path = root / name
        write(path, path.read_text(encoding="utf-8").replace(MARK, text))
