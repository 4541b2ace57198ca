"""The interface of a service: OpenAPI at /docs.json, and Swagger UI for it at /docs.

BentoML serves the files of Swagger UI at /static_content: the page needs no network.
"""

from __future__ import annotations

import html
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import HTMLResponse

VERSION = "3.1.0"
PROJECT = {"name": "BitBloom"}
LICENSE = {"name": "Apache License 2.0", "identifier": "Apache-2.0"}
REQUIRED = "Required if the service was started with BITBLOOM_TOKEN; for feedback, the token of BITBLOOM_FEEDBACK_TOKEN."
TOKEN = {"token": {"type": "http", "scheme": "bearer", "description": REQUIRED}}
PAGE = """\
<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>{title}: API</title>
  <link rel="icon" href="page/icon.svg" type="image/svg+xml">
  <link rel="stylesheet" href="static_content/swagger-ui.css">
  <script src="static_content/swagger-ui-bundle.js" defer></script>
  <script src="page/docs.js" defer></script>
</head>
<body style="margin: 0"><div id="api"></div></body>
</html>
"""
PAGE_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}
"""The script of Swagger UI contains its styles and images, and sends its forms."""
BINARY = {"type": "string", "format": "binary"}


def body(*types: str, **fields: object) -> dict[str, Any]:
    """The OpenAPI description of a route that reads its body itself: a form with these fields, or a photo of these types."""
    form = {"type": "object", "required": list(fields), "properties": fields}
    content = {"multipart/form-data": {"schema": form}} | {kind: {"schema": BINARY} for kind in types}
    return {"requestBody": {"required": True, "content": content}}


def flag(name: str, description: str) -> dict[str, Any]:
    """The OpenAPI description of a query parameter that is true or false."""
    return {
        "parameters": [{"name": name, "in": "query", "description": description, "schema": {"type": "boolean", "default": False}}]
    }


PHOTO = body("image/*", image=BINARY)
PHOTOS = body(image={"type": "array", "items": BINARY})
PHOTO_AND_SENTENCES = body(image=BINARY, sentence={"type": "array", "items": {"type": "string"}})


def page(title: str) -> HTMLResponse:
    """Swagger UI."""
    return HTMLResponse(PAGE.format(title=html.escape(title)), headers=PAGE_HEADERS)


def document(app: FastAPI, version: str, bentoml: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI description of a whole service.

    Args:
        app: the fast routes.
        version: version of the Bento.
        bentoml: BentoML's description of the typed methods and its own routes; empty without BentoML.
    """
    ours = get_openapi(title=app.title, version=version, routes=app.routes, openapi_version=VERSION)
    paths = ours["paths"] | bentoml.get("paths", {})
    for path, operations in paths.items():
        for method, operation in operations.items():
            if method == "post" or path.endswith("/drift"):
                operation["security"] = [{}, {"token": []}]
    schemas = bentoml.get("components", {}).get("schemas", {}) | ours.get("components", {}).get("schemas", {})
    return {
        "openapi": VERSION,
        "info": {"title": app.title, "description": app.description, "version": version, "contact": PROJECT, "license": LICENSE},
        "servers": [{"url": ".", "description": "this service"}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": TOKEN},
    }
