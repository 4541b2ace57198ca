"""Data Docs: the results of the gate as a local web site, with times and random ids.

The site is written next to the reports and is not an output of the build: it is not hashed, and nothing depends on it.
Great Expectations' pages load scripts and styles from public hosts, and its index is a script. Here each page has its style
inline and no script, and the index is a list of links, so a browser shows the site without a network.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.validation import checkpoint, faulty_rows, profile
from bitbloom.validation.check import check, read_manifest, suite_path
from bitbloom.validation.suite import SEVERITIES

if TYPE_CHECKING:
    from bitbloom.config.target import Target
    from bitbloom.validation.verdict import Check, Verdict

READS = ("task", "gate")

SITE = Path(__file__).parent / "site"
INDEX = "index.html"
LINKS = {"Results": "validations", "Expectation suites": "expectations"}
"""Heading of the index → folder of its pages."""
LOADED = re.compile(
    r"<script\b.*?</script\s*>"
    r"|<link\b[^>]*>"
    r"|<img\b[^>]*\bsrc=[\"']?(?:https?:)?//[^>]*>"
    r"|<footer\b.*?</footer\s*>",
    re.DOTALL | re.IGNORECASE,
)
"""Scripts, linked styles and icons, and remote images of a page, of which the logo sends the time of creation to another host;
and the footer, an advertisement."""
REMOTE_STYLE = re.compile(r"(?:@import\s+)?url\(\s*[\"']?(?:https?:)?//[^)]*\)", re.IGNORECASE)
HEAD_END = re.compile(r"</head\s*>", re.IGNORECASE)


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
        manifest, accepted = read_manifest(target.manifest), profile.load(target.name)
        verdict = check(manifest, suite_path(target.task), target.gate, context, accepted)
        context.build_data_docs(site_names=[checkpoint.SITE])
        (temporary / INDEX).write_text(_index(target, verdict, temporary), encoding="utf-8")
        for page in sorted(temporary.rglob("*.html")):
            page.write_text(offline(page.read_text(encoding="utf-8")), encoding="utf-8")
    return folder / INDEX


def offline(page: str) -> str:
    """A page with its style inline, which loads nothing."""
    style = (SITE / "style.css").read_text(encoding="utf-8")
    local = REMOTE_STYLE.sub("none", LOADED.sub("", page))
    return HEAD_END.sub(lambda end: f"<style>\n{style}</style>\n{end[0]}", local, count=1)


def _index(target: Target, verdict: Verdict, site: Path) -> str:
    """The first page: the verdict, what is at fault, and links to the other pages."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(loader=FileSystemLoader(SITE), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.get_template(f"{INDEX}.j2")
    links = {heading: _links(site, folder) for heading, folder in LINKS.items()}
    rows = faulty_rows.of_checks(target.manifest, target.raw, verdict.checks)
    faulty = sorted((one for one in verdict.checks if one.count or not one.held), key=_importance)
    facts = {"target": target.name, "manifest": target.manifest.as_posix(), "verdict": verdict}
    return template.render(**facts, links=links, faulty=faulty, rows=rows)


def _importance(check: Check) -> tuple[bool, int]:
    """What fails comes before what is tolerated, and critical expectations before others."""
    return check.held, SEVERITIES.index(check.severity)


def _links(site: Path, folder: str) -> list[tuple[str, str]]:
    """Name of a suite and address of its page, of all pages in a folder of the site."""
    pages = [page.relative_to(site) for page in sorted((site / folder).rglob("*.html"))]
    return [(Path(*page.parts[1:2]).stem, page.as_posix()) for page in pages]
