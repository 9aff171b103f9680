"""The OpenAPI document is valid 3.1, describes every route of the API, and the page /docs shows all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from poller.web.api.endpoints import ENDPOINTS
from poller.web.api.openapi import document
from tests.web.api.fleet import RIGHT
from tests.web.pages.served import HTML, parse

if TYPE_CHECKING:
    from tests.web.api.fleet import Client


def references(part: Any) -> list[str]:
    """Every `$ref` in a document."""
    if isinstance(part, dict):
        own = [part["$ref"]] if "$ref" in part else []
        return own + [found for value in part.values() for found in references(value)]
    return [found for value in part for found in references(value)] if isinstance(part, list) else []


async def test_the_served_document_is_valid_openapi_3_1(api: Client) -> None:
    reply = await api.ask("//openapi.json")
    found = reply.json
    OPENAPI_31_VALIDATOR.validate(found)
    assert found["openapi"].startswith("3.1")
    schemas = {f"#/components/schemas/{name}" for name in found["components"]["schemas"]}
    assert set(references(found)) <= schemas
    again = await api.ask("//openapi.json", {**RIGHT, "If-None-Match": reply.headers["ETag"]})
    assert again.status == 304


def test_a_document_with_a_misspelt_key_is_invalid() -> None:
    broken = document(ENDPOINTS)
    del broken["info"]["title"]
    assert not OPENAPI_31_VALIDATOR.is_valid(broken)


def test_every_parameter_is_described_and_every_number_has_bounds() -> None:
    for path, operations in document(ENDPOINTS)["paths"].items():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                schema = parameter["schema"]
                assert parameter["description"], (path, parameter["name"])
                assert schema.get("type") != "integer" or {"minimum", "maximum"} <= set(schema), path
                assert schema.get("type") != "array" or "maxItems" in schema, path


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda one: one.name)
async def test_every_endpoint_of_the_table_has_a_route(endpoint: Any, api: Client) -> None:
    path = endpoint.path.replace("{id}", "2147483647").replace("{name}", "step")
    reply = await api.ask(path, {}, endpoint.method)
    assert (reply.status, reply.headers["Content-Type"]) == (401, "application/problem+json")
    refused = await api.ask(path, RIGHT, "DELETE")
    methods = ",".join(sorted(one.method for one in ENDPOINTS if one.path == endpoint.path))
    assert (refused.status, refused.headers["Allow"]) == (405, methods)
    assert refused.json["remedy"]


async def test_the_reference_page_shows_every_endpoint_parameter_and_field(api: Client) -> None:
    reply = await api.ask("//docs", HTML)
    page = parse(reply.body.decode())
    for endpoint in ENDPOINTS:
        section = page.one("section", id=endpoint.name)
        text = section.text
        # Fields that an earlier reply shows are not repeated: the section leads to it.
        leads_to = [link["href"].removeprefix("#") for link in section.all("a") if link["href"] != f"#{endpoint.name}"]
        text += "".join(page.one("section", id=other).text for other in leads_to if other != "parameters")
        assert endpoint.summary in text
        assert all(name in text for name in endpoint.query_model.model_fields)
        assert all(name in text for name in getattr(endpoint.reply, "model_fields", ()) if name != "root")
    assert "style=" not in reply.body.decode()
