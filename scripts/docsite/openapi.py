"""The pages of the services' HTTP interfaces, written from their OpenAPI documents."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

FOLDER = "docs/reference/openapi"
FAST = "Fast routes"
"""The tag of the routes that come first."""
COPY = "/v1"
"""Prefix of the second copy of every fast route."""
INTRODUCTION = """\
{description}

The document itself is [{name}.json]({name}.json); a running service has it at `/docs.json`, and Swagger UI at `/docs`. Every fast
route exists a second time below `/v1/`, for programs. [Serve a model](../../serving.md) has limits, authentication and examples.
"""


def documents(root: Path) -> dict[str, dict[str, Any]]:
    """The document of each service, by target."""
    with tempfile.TemporaryDirectory(prefix="bitbloom-docs-") as folder:
        file = Path(folder) / "documents.json"
        settings = {"PYTHONPATH": str(root / "src"), "BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": folder}
        command = [sys.executable, str(root / "scripts/docsite/services.py"), str(file)]
        subprocess.run(command, cwd=root, env={**os.environ, **settings}, check=True)
        found: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
        return found


def pages(root: Path) -> dict[str, str]:
    """A page and the document itself for each service, by their paths."""
    found = documents(root)
    texts = {f"{FOLDER}/{name}.md": page(name, document) for name, document in found.items()}
    return texts | {
        f"{FOLDER}/{name}.json": json.dumps(document, indent=1, ensure_ascii=False) for name, document in found.items()
    }


def navigation(generated: Iterable[str]) -> list[str]:
    """The part of the navigation."""
    return [name for name in generated if name.startswith(FOLDER) and name.endswith(".md")]


def page(name: str, document: Mapping[str, Any]) -> str:
    """A document as Markdown: its operations by tag, then its schemas."""
    info = document["info"]
    parts = [f"# {name}: HTTP interface\n", INTRODUCTION.format(name=name, description=info["description"])]
    tagged: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        if path.startswith(f"{COPY}/"):
            continue
        for method, operation in methods.items():
            tagged.setdefault(operation.get("tags", ["Other"])[0], []).append(_operation(method, path, operation))
    for tag, operations in sorted(tagged.items(), key=lambda item: item[0] != FAST):
        parts += [f"## {tag}\n", *operations]
    schemas = document["components"]["schemas"]
    parts += ["## Schemas\n", *(_schema(each, schema) for each, schema in sorted(schemas.items()))]
    return "\n".join(parts)


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    """One operation: heading, description, parameters, body, responses."""
    parts = [f"### {method.upper()} `{path}`\n"]
    summary, description = (_text(operation.get(key, "")) for key in ("summary", "description"))
    parts += [f"{text}\n" for text in dict.fromkeys(filter(None, [_sentence(summary), description]))]
    if parameters := operation.get("parameters"):
        rows = [
            (f"`{each['name']}`", each["in"], kind(each.get("schema", {})), _text(each.get("description", "")))
            for each in parameters
        ]
        parts.append(table(("parameter", "in", "type", "meaning"), rows))
    if body := operation.get("requestBody"):
        parts.append(
            table(("body", "content"), [(f"`{media}`", kind(each.get("schema", {}))) for media, each in body["content"].items()])
        )
    parts.append(table(("status", "meaning", "content"), _responses(operation["responses"])))
    return "\n".join(parts)


def _responses(responses: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Status, meaning and content of each response."""
    for status, response in sorted(responses.items()):
        words = _text(response.get("description", "")) or (HTTPStatus(int(status)).phrase if status.isdigit() else "")
        content = response.get("content", {})
        yield f"`{status}`", words, "<br>".join(f"`{media}`: {kind(each.get('schema', {}))}" for media, each in content.items())


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    """A schema: its description and its fields."""
    parts = [f"### {name}\n"]
    if description := _text(schema.get("description", "")):
        parts.append(f"{description}\n")
    fields = schema.get("properties")
    if not fields:
        return "\n".join([*parts, f"{kind(schema)}\n"])
    required = schema.get("required", [])
    rows = [
        (f"`{key}`", kind(each), "yes" if key in required else "no", _text(each.get("description", "")))
        for key, each in fields.items()
    ]
    return "\n".join([*parts, table(("field", "type", "required", "meaning"), rows)])


def kind(schema: Mapping[str, Any]) -> str:
    """A schema in words: its type, or a link to its name; an object in place has its fields."""
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return f"[{name}](#{re.sub(r'[^a-z0-9_-]', '', name.lower())})"
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(kind(each) for each in options)
    if schema.get("type") == "array":
        return f"list of {kind(schema.get('items', {}))}"
    if fields := schema.get("properties"):
        return "; ".join(f"`{key}`: {kind(each)}" for key, each in fields.items())
    bounds = [f"{word} {json.dumps(schema[key])}" for key, word in BOUNDS.items() if key in schema]
    name = schema.get("type", "any")
    return " ".join(
        [
            " or ".join(name) if isinstance(name, list) else name,
            *(f"({schema['format']})" for _ in "x" if schema.get("format")),
            *bounds,
        ]
    )


BOUNDS = {"minimum": "from", "maximum": "to", "minLength": "length from", "maxLength": "length to", "default": "default"}


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown. A cell is one line, and its bars are escaped."""
    heads = list(heads)
    lines = [
        " | ".join(heads),
        " | ".join("---" for _ in heads),
        *(" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows),
    ]
    return "\n".join([*(f"| {line} |" for line in lines), ""])


def _text(words: str) -> str:
    """A description on one line."""
    return re.sub(r"\s+", " ", words).strip()


def _sentence(words: str) -> str:
    """A summary with its full stop."""
    return f"{words}." if words and not words.endswith(".") else words
