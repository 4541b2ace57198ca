"""Data Docs: the gate's findings as a local web site. A rendering for people, with times and random ids in it.

It is written beside the reports and is no output of the build: nothing hashes it and nothing depends on it. Its pages
take their style sheets from public hosts, so they read plainer without a network.
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
"""The logo in every page's head: its address tells another host when the page was made, and in some contexts an id."""


def render(target: Target) -> Path:
    """Check the manifest again and write the site to `reports/<target>/data_docs/`, whether or not it passes.

    Returns:
        The site's `index.html`.

    Raises:
        BitBloomError: there is no manifest, or the suite cannot be used.
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
