"""Data Docs: the results of the gate as a local web site, with times and random ids.

The site is written next to the reports and is not an output of the build: it is not hashed, and nothing depends on it.
Its pages load their style sheets from public hosts, so they have a plain style without a network.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.validation import checkpoint
from bitbloom.validation.check import check, suite_path

if TYPE_CHECKING:
    from bitbloom.config.target import Target

READS = ("task", "gate")

REMOTE_LOGO = re.compile(r"<img\s[^>]*src=\"https?://[^>]*>")
"""The logo in every page: its address sends the time of creation, and in some contexts an id, to another host."""


def render(target: Target) -> Path:
    """Check the manifest again and write the site to `reports/<target>/data_docs/`, whether or not it passes.

    Returns:
        The site's `index.html`.

    Raises:
        BitBloomError: there is no manifest, or the suite is invalid.
    """
    if not target.manifest.exists():
        raise BitBloomError(f"{target.manifest} is missing: run `make data TARGET={target.name}` first")
    folder = target.reports / "data_docs"
    with canonical.replacing_folder(folder) as temporary:
        context = checkpoint.new_context(site=temporary)
        check(pd.read_parquet(target.manifest), suite_path(target.task), target.gate, context)
        context.build_data_docs(site_names=[checkpoint.SITE])
        for page in sorted(temporary.rglob("*.html")):
            page.write_text(REMOTE_LOGO.sub("", page.read_text(encoding="utf-8")), encoding="utf-8")
    return folder / "index.html"
