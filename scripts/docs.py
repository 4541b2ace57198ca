"""The hook of mkdocs.yml: the pages of the site, written and generated.

    make docs

MkDocs calls `on_files` and `on_page_markdown`. The folder of the pages is the repository itself: each page has its own path, so a
relative link works on GitHub and in the site. Generated pages are in `docs/reference/`; git has none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from docsite import commands, config_reference, make_targets, mirror, modules, openapi

ROOT = Path(__file__).resolve().parents[1]
STYLE = ("docs/site/icon.svg", "docs/site/iframe-worker.js", "docs/site/site.css")
NO_TIME = ("sitemap.xml", "sitemap.xml.gz")
"""Files with the date of the build, for search engines. Without them, equal pages give an equal site."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace the files of `docs/` by those of the repository that the site has, and add the generated pages."""
    for file in list(files):
        if file.src_dir == config.docs_dir:
            files.remove(file)
    for name in sorted({*mirror.reachable(ROOT), *STYLE}):
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    generated = pages()
    for name, text in generated.items():
        files.append(File.generated(config, name, content=text))
    config.nav = placed(config.nav, {"CODE": modules.navigation(ROOT), "OPENAPI": openapi.navigation(generated)})
    return files


def pages() -> dict[str, str]:
    """The generated pages, and the OpenAPI documents, by their paths."""
    return {
        "docs/reference/make.md": make_targets.page(ROOT),
        "docs/reference/config.md": config_reference.page(ROOT),
        "docs/reference/commands.md": commands.page(),
        **openapi.pages(ROOT),
        **modules.pages(ROOT),
    }


def placed(nav: Any, generated: Mapping[str, list[Any]]) -> Any:
    """A navigation with generated parts in place of their names."""
    if isinstance(nav, list):
        return [placed(item, generated) for item in nav]
    if isinstance(nav, dict):
        return {title: placed(item, generated) for title, item in nav.items()}
    return generated.get(nav, nav)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """GitHub's Markdown as that of MkDocs: blocks inside lists are indented by four blanks."""
    return mirror.reindented(markdown)


def on_post_build(config: MkDocsConfig) -> None:
    """Remove what contains the time."""
    for name in NO_TIME:
        (Path(config.site_dir) / name).unlink(missing_ok=True)
