"""The Makefile and the files of make/ that it includes, as the tests read them."""

from __future__ import annotations

import re

from support.tiny import REPOSITORY

MAKEFILES = (REPOSITORY / "Makefile", *sorted((REPOSITORY / "make").glob("*.mk")))


def text() -> str:
    """All of them, one after another."""
    return "".join(path.read_text(encoding="utf-8") for path in MAKEFILES)


def targets() -> set[str]:
    """The targets that a person can call: the phony ones in small letters."""
    names = {name for line in re.findall(r"^\.PHONY: (.*)$", text(), re.MULTILINE) for name in line.split()}
    return {name for name in names if name.islower()}
