"""The pages of a service, which the package stage renders: templates with blocks, which a kind of model or a task fills.

    {% extends "common/image/page/index.html" %}
    {% block title %}Which flower is this?{% endblock %}

The name of a template is its path in `bentos/`. It can use `service`, the values of service.json. Equal templates and equal
values give equal text.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bitbloom.core.errors import BitBloomError

if TYPE_CHECKING:
    from jinja2 import Environment

PAGE = ".html"
"""Suffix of templates that are rendered as a page."""
SHELL = ".html.j2"
"""Suffix of templates that pages only extend or include."""


def render(name: str, templates: Mapping[str, Path], service: object) -> str:
    """Render a page as HTML, with every value escaped.

    Args:
        name: name of the page among the templates.
        templates: files that pages can extend or include, by name.
        service: the values of service.json.

    Raises:
        BitBloomError: a template has an error, extends a missing one, or lacks a required block.
    """
    from jinja2 import TemplateError

    texts = {known: path.read_text(encoding="utf-8") for known, path in templates.items()}
    try:
        return _environment(texts).get_template(name).render(service=service)
    except TemplateError as error:
        raise BitBloomError(f"the page {templates[name]} cannot be rendered: {_reason(error)}") from error


def _environment(texts: Mapping[str, str]) -> Environment:
    from jinja2 import DictLoader, Environment, StrictUndefined

    return Environment(
        loader=DictLoader(texts),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _reason(error: Exception) -> str:
    from jinja2 import TemplateNotFound, TemplateSyntaxError

    if isinstance(error, TemplateNotFound):
        return f"its service has no template '{error}'"
    place = f"{error.name}, line {error.lineno}: " if isinstance(error, TemplateSyntaxError) else ""
    return f"{place}{error.__class__.__name__}: {getattr(error, 'message', None) or error}"
