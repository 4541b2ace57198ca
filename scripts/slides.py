"""Render docs/slides/slides.md: one self-contained HTML page, and the same slides as PDF by headless Chromium.

    make slides                  # dist/slides.html and dist/slides.pdf
    python scripts/slides.py --html page.html --pdf page.pdf deck.md

A line `---` begins a slide. A picture with `{.side}` stands beside the text, one with `{.wide}` fills the slide, and of one
with `{.top}` only the upper part is shown; a picture with
`{.chart}` is inverted on a dark page. Equal inputs give equal HTML; a PDF has the time at which it was written.
"""

from __future__ import annotations

import argparse
import base64
import re
import shutil
import subprocess
import sys
import tempfile
from html import escape
from pathlib import Path

import markdown

ROOT = Path(__file__).resolve().parents[1]
DECK, HTML, PDF = ROOT / "docs/slides/slides.md", ROOT / "dist/slides.html", ROOT / "dist/slides.pdf"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TYPES = {".png": "image/png", ".svg": "image/svg+xml", ".jpg": "image/jpeg", ".webp": "image/webp"}
SEPARATOR = re.compile(r"^---$", re.MULTILINE)
EXTENSIONS = ("tables", "fenced_code", "attr_list", "sane_lists")
SECONDS = 120
STYLE = """
:root { color-scheme: light dark; --ink: #22262e; --muted: #5d6470; --paper: #fff; --desk: #eceef2; --line: #d9dce2;
  --accent: #b52c6f; --soft: #fbeaf2; --code: #f4f5f8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaee; --muted: #a5abb6; --paper: #1d2026; --desk: #121418;
  --line: #3a3f49; --accent: #f08ab8; --soft: #3a2030; --code: #282c34; } }
* { box-sizing: border-box; }
html { scroll-snap-type: y proximity; }
body { margin: 0; background: var(--desk); color: var(--ink);
  font: 24px/1.45 ui-sans-serif, system-ui, "DejaVu Sans", sans-serif; }
section { position: relative; width: min(1200px, 100% - 32px); min-height: 675px; margin: 16px auto; padding: 48px 64px 56px;
  background: var(--paper); border: 1px solid var(--line); border-radius: 10px; scroll-snap-align: center;
  display: flow-root; overflow-wrap: break-word; }
section::after { content: attr(data-place); position: absolute; right: 24px; bottom: 16px; font-size: 16px; color: var(--muted); }
h1, h2 { margin: 0 0 24px; line-height: 1.15; color: var(--accent); }
h1 { font-size: 56px; }
h2 { font-size: 42px; }
p, ul, ol, table, pre, blockquote { margin: 0 0 20px; }
ul { padding-left: 1.1em; }
li { margin-bottom: 8px; }
li::marker { color: var(--accent); }
code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .88em; background: var(--code); border-radius: 4px;
  padding: .05em .3em; }
pre { background: var(--code); border-radius: 8px; padding: 14px 18px; overflow-x: auto; }
pre code { background: none; padding: 0; }
blockquote { border-left: 5px solid var(--accent); background: var(--soft); padding: 12px 20px; }
blockquote p { margin: 0; }
.table { overflow-x: auto; margin-bottom: 20px; }
table { border-collapse: collapse; width: 100%; margin: 0; font-size: 21px; }
th, td { text-align: left; vertical-align: top; padding: 7px 14px 7px 0; border-bottom: 1px solid var(--line); }
th { color: var(--muted); font-weight: 600; }
img { max-width: 100%; border-radius: 6px; background: #fff; }
p:has(> img.wide) { text-align: center; }
img.wide { max-height: 380px; }
img.side { float: right; width: 46%; margin: 0 0 20px 32px; }
img.top { max-height: 470px; object-fit: cover; object-position: top; }
.stage { display: inline-block; font-style: normal; font-size: 19px; border: 2px solid var(--accent); background: var(--soft);
  border-radius: 8px; padding: 6px 9px; margin: 0 0 8px; }
.stage:not(:last-child)::after { content: "→"; margin-left: 8px; color: var(--accent); }
@media (max-width: 800px) { body { font-size: 17px; }
  section { min-height: 0; width: auto; margin: 8px; padding: 24px 20px 44px; } h1 { font-size: 34px; } h2 { font-size: 27px; }
  table, .stage { font-size: 15px; } img.side { float: none; width: 100%; margin: 0 0 16px; } pre { padding: 10px 12px; } }
@media screen and (prefers-color-scheme: dark) { img.chart { filter: invert(1) hue-rotate(180deg); background: #fff; } }
@page { size: 1200px 675px; margin: 0; }
@media print { :root { color-scheme: light; --ink: #22262e; --muted: #5d6470; --paper: #fff; --desk: #fff; --line: #d9dce2;
  --accent: #b52c6f; --soft: #fbeaf2; --code: #f4f5f8; }
  body { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  section { width: 1200px; height: 675px; min-height: 0; margin: 0; border: 0; border-radius: 0; overflow: hidden;
    break-after: page; break-inside: avoid; } section:last-child { break-after: auto; } .table, pre { overflow: visible; } }
"""


class Unusable(Exception):
    """The deck cannot be rendered: the message says what is wrong, where, and what to do."""


def main() -> int:
    """Render the deck. Exit code 1 when the deck is wrong, or when no PDF can be made here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("deck", nargs="?", type=Path, default=DECK)
    parser.add_argument("--html", type=Path, default=HTML)
    parser.add_argument("--pdf", type=Path, default=PDF)
    asked = parser.parse_args()
    try:
        asked.html.parent.mkdir(parents=True, exist_ok=True)
        replace(asked.html, page(asked.deck).encode())
        print(shown(asked.html))
        print_pdf(asked.html, asked.pdf)
        print(shown(asked.pdf))
    except (Unusable, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def page(deck: Path) -> str:
    """The deck as one HTML page. Raises Unusable when a slide has no heading, or a picture is missing."""
    texts = SEPARATOR.split(re.sub(r"<!--.*?-->", "", deck.read_text(encoding="utf-8")))
    slides = [slide(text, number, len(texts), deck) for number, text in enumerate(texts, start=1)]
    title = re.search(r"^#+ (.*)$", texts[0], re.MULTILINE)[1]
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{STYLE}</style>\n</head>\n<body>\n'
        f"{''.join(slides)}</body>\n</html>\n"
    )


def slide(text: str, number: int, many: int, deck: Path) -> str:
    """One slide as a section."""
    if not re.match(r"\s*#+ \S", text):
        raise Unusable(f"{shown(deck)}: slide {number} begins with no heading: add one, or remove a line ---")
    body = markdown.markdown(text, extensions=EXTENSIONS, output_format="html")
    body = re.sub(r"<table>.*?</table>", r'<div class="table" tabindex="0">\g<0></div>', body, flags=re.DOTALL)
    body = re.sub(r'(?<=src=")[^"]+', lambda found: embedded(deck.parent / found[0], number, deck), body)
    return f'<section id="slide-{number}" data-place="{number} / {many}">\n{body}\n</section>\n'


def embedded(picture: Path, number: int, deck: Path) -> str:
    """A picture as a data address. Raises Unusable when it is missing or of an unknown type."""
    if not picture.is_file() or picture.suffix not in TYPES:
        raise Unusable(f"{shown(deck)}: slide {number}: {picture.name} is not a picture of {', '.join(TYPES)}: correct its path")
    return f"data:{TYPES[picture.suffix]};base64,{base64.b64encode(picture.read_bytes()).decode()}"


def print_pdf(html: Path, pdf: Path) -> None:
    """Print the page by headless Chromium. Raises Unusable when it is missing or fails."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not browser:
        raise Unusable(f"{shown(pdf)} is not written: Chromium is missing: apt-get install chromium; {shown(html)} is complete")
    pdf.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "slides.pdf"
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        flags += [f"--user-data-dir={folder}/profile", "--no-pdf-header-footer", f"--print-to-pdf={made}"]
        command = [browser, *flags, html.resolve().as_uri()]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired as error:
            raise Unusable(
                f"{shown(pdf)} is not written: {browser} did not end in {SECONDS} s; {shown(html)} is complete"
            ) from error
        if done.returncode or not made.is_file():
            raise Unusable(f"{shown(pdf)} is not written: {browser} failed ({done.returncode}): {done.stderr.strip()[-300:]}")
        replace(pdf, made.read_bytes())


def replace(path: Path, data: bytes) -> None:
    """Write a file under another name, then rename it."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(data)
    beside.replace(path)


def shown(path: Path) -> str:
    """A path relative to the checkout, where it is inside."""
    resolved = path.resolve()
    return str(resolved.relative_to(ROOT) if resolved.is_relative_to(ROOT) else path)


if __name__ == "__main__":
    sys.exit(main())
