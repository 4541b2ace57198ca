"""Fill a template: `${NAME}` and `${NAME:-default}` become values of the environment.

    NAME=value python3 deploy/render.py deploy/cloud-run/service.yaml > rendered.yaml

A name without a value and without a default is an error; the message lists all of them. A line that ends in `# if NAME` stays,
without the comment, if NAME has a value; otherwise it is omitted. Needs the standard library only.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

NAME = re.compile(r"\$\{([A-Z][A-Z0-9_]*)(?::-([^}]*))?\}")
CONDITION = re.compile(r"^(.*?)\s+# if ([A-Z][A-Z0-9_]*)$")
PLAIN = re.compile(r"[A-Za-z0-9/][A-Za-z0-9._/:@+=,-]*")
"""The form of a value: a single word in YAML and in a shell."""


class TemplateError(Exception):
    """A template cannot be filled; the message gives the reason."""


def render(text: str, values: Mapping[str, str]) -> str:
    """The filled template. Raises TemplateError on names without a value, and on values that are not plain words."""
    kept = [line for line in (_kept(line, values) for line in text.splitlines()) if line is not None]
    wanted = {found[1]: found[2] for line in kept for found in NAME.finditer(line) if not _is_comment(line)}
    missing = sorted(name for name, default in wanted.items() if not values.get(name) and default is None)
    if missing:
        raise TemplateError(f"not set: {', '.join(missing)}")
    for name in sorted(wanted):
        if values.get(name) and not PLAIN.fullmatch(values[name]):
            raise TemplateError(f"{name} is not a plain word (letters, digits and ._/:@+=,-): {values[name]!r}")
    lines = (line if _is_comment(line) else NAME.sub(lambda found: values.get(found[1]) or found[2], line) for line in kept)
    return "".join(f"{line}\n" for line in lines)


def conditions(text: str) -> set[str]:
    """The names in the `# if NAME` conditions of a template."""
    return {found[2] for found in map(CONDITION.match, text.splitlines()) if found}


def _kept(line: str, values: Mapping[str, str]) -> str | None:
    condition = CONDITION.match(line)
    if condition is None:
        return line
    return condition[1] if values.get(condition[2]) else None


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} TEMPLATE")
    try:
        sys.stdout.write(render(Path(sys.argv[1]).read_text(encoding="utf-8"), os.environ))
    except TemplateError as error:
        sys.exit(f"error: {sys.argv[1]}: {error}")
