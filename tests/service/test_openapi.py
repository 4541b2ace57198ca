"""The OpenAPI description of a served Bento, and the page that shows it."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
import schemathesis

from bitbloom.serving import openapi
from docsite import openapi as docsite_openapi
from support.standin import LIMITS, Served
from support.tiny import REPOSITORY

SERVICES = {
    "served": {"/predict", "/v1/predict", "/predict_batch", "/api/predict", "/api/predict_batch"},
    "served_texts": {"/predict", "/v1/predict", "/api/predict", "/api/predict_batch"},
    "served_captions": {"/caption", "/search", "/similarity", "/v1/search", "/api/caption", "/api/search", "/api/similarity"},
}


@pytest.fixture
def document(served: Served) -> dict[str, Any]:
    return httpx.get(f"{served.url}/docs.json").raise_for_status().json()


@pytest.fixture(params=SERVICES)
def each_document(request: pytest.FixtureRequest) -> tuple[dict[str, Any], set[str]]:
    """The description of each service, and the paths of its predictions."""
    url = request.getfixturevalue(request.param).url
    return httpx.get(f"{url}/docs.json").raise_for_status().json(), SERVICES[request.param]


def test_names_service_version_license_and_contact(document, served):
    info = document["info"]
    assert info["title"] == LIMITS.title
    assert info["version"] == served.report["version"]
    assert info["license"]["identifier"] == "Apache-2.0"
    assert info["contact"]["name"] == "BitBloom"


def test_is_valid_openapi(each_document):
    document, _ = each_document
    assert document["openapi"].startswith("3.1.")
    schemathesis.openapi.from_dict(document).validate()


@pytest.fixture(scope="module")
def written() -> dict[str, dict[str, Any]]:
    """The documents that the reference of the site is made from, by target."""
    return docsite_openapi.documents(REPOSITORY)


@pytest.mark.parametrize(("target", "fixture"), list(zip(("petals", "tweets", "captions"), SERVICES, strict=True)))
def test_reference_without_a_model_is_that_of_the_service(target, fixture, written, request):
    served = httpx.get(f"{request.getfixturevalue(fixture).url}/docs.json").raise_for_status().json()
    for part in ("openapi", "paths", "components"):
        assert written[target][part] == served[part]


def test_page_of_a_service_has_each_operation_and_schema(written):
    for name, document in written.items():
        page = docsite_openapi.page(name, document)
        headings = set(re.findall(r"^### (.*)$", page, re.MULTILINE))
        for path, methods in document["paths"].items():
            if not path.startswith("/v1/"):
                assert {f"{method.upper()} `{path}`" for method in methods} <= headings
        assert set(document["components"]["schemas"]) <= headings
        known = {re.sub(r"[^a-z0-9_-]", "", heading.lower()) for heading in headings}
        assert set(re.findall(r"\]\(#([\w-]+)\)", page)) <= known


def test_invalid_document_does_not_pass(document):
    del document["info"]["title"]
    with pytest.raises(Exception, match="title"):
        schemathesis.openapi.from_dict(document).validate()


def test_describes_fast_routes_and_typed_methods(each_document):
    document, predictions = each_document
    assert predictions | {"/feedback", "/v1/drift", "/provenance", "/v1/service.json", "/readyz", "/metrics"} <= set(
        document["paths"]
    )


def test_predictions_accept_a_bearer_token(each_document):
    document, predictions = each_document
    scheme = document["components"]["securitySchemes"]["token"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    posts = {path: methods["post"] for path, methods in document["paths"].items() if "post" in methods}
    assert predictions <= set(posts)
    assert all({"token": []} in post["security"] for post in posts.values())


def test_other_operations_need_no_token(document):
    guarded = {"/drift", "/v1/drift"}
    operations = [methods["get"] for path, methods in document["paths"].items() if "get" in methods and path not in guarded]
    assert operations
    assert not any("security" in operation for operation in operations)


def test_operation_identifiers_are_unique(each_document):
    document, _ = each_document
    names = [each["operationId"] for methods in document["paths"].values() for each in methods.values() if "operationId" in each]
    assert len(set(names)) == len(names)


def test_references_resolve(each_document):
    document, _ = each_document
    assert references(document)
    assert references(document) - {f"#/components/schemas/{name}" for name in document["components"]["schemas"]} == set()


def references(node: object) -> set[str]:
    """The values of `$ref` in a document."""
    if isinstance(node, list):
        return {found for each in node for found in references(each)}
    if not isinstance(node, dict):
        return set()
    own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
    return own.union(*(references(each) for each in node.values()))


def test_page_escapes_the_title():
    assert b"<title>Roses &amp; &lt;thorns&gt;: API</title>" in openapi.page("Roses & <thorns>").body
