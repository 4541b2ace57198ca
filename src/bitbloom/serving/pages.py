"""The pages of a service, rendered when it is packaged: shells with blocks, which a kind of model or a task fills.

    {% extends "common/image/page/index.html" %}
    {% block title %}Which flower is this?{% endblock %}

A template is named by its path in `bentos/`. It sees `service`, the values of service.json. Equal layers and equal values
give equal text.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bitbloom.core.errors import BitBloomError

if TYPE_CHECKING:
    from jinja2 import Environment

PAGE = ".html"
"""Ending of what is rendered."""
SHELL = ".html.j2"
"""Ending of what pages extend or include, which is not a page itself."""


def render(name: str, templates: Mapping[str, Path], service: object) -> str:
    """A page as HTML. Every value in it is escaped.

    Args:
        name: which of the templates.
        templates: all that it may extend or include, by name.
        service: the values of service.json.

    Raises:
        BitBloomError: a template is wrong, extends one that is not there, or leaves out a block that its shell requires.
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
