"""The Makefile and the files of make/ that it includes."""

from __future__ import annotations

import re

from support.tiny import REPOSITORY

MAKEFILES = (REPOSITORY / "Makefile", *sorted((REPOSITORY / "make").glob("*.mk")))


def text() -> str:
    """Return the text of all Makefiles."""
    return "".join(path.read_text(encoding="utf-8") for path in MAKEFILES)


def targets() -> set[str]:
    """Return the phony targets in lower case, which a user can call."""
    names = {name for line in re.findall(r"^\.PHONY: (.*)$", text(), re.MULTILINE) for name in line.split()}
    return {name for name in names if name.islower()}
