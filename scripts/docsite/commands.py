"""The page of the commands of `bitbloom`, from typer's own description of them."""

from __future__ import annotations

import re
import subprocess
import sys

EXAMPLES = re.compile(r"^Examples:\n\n((?:bitbloom .*\n\n?)+)", re.MULTILINE)


def page() -> str:
    """The page as Markdown, by `typer utils docs`."""
    command = [sys.executable, "-m", "typer", "bitbloom.cli", "utils", "docs", "--name", "bitbloom", "--title", "Commands"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return EXAMPLES.sub(
        lambda found: "**Examples**:\n\n```console\n{}\n```\n\n".format(found[1].replace("\n\n", "\n").strip()), text
    )
