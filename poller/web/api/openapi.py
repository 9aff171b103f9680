"""The OpenAPI 3.1 document, made from the table of endpoints and their models."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from poller import __version__
from poller.core.callers import Right
from poller.web.api.models.base import ProblemReply
from poller.web.refusals import PROBLEM_JSON

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import BaseModel

    from poller.web.api.endpoint import Endpoint

_REF: Final = "#/components/schemas/{model}"
_ABOUT: Final = """\
User counts of Zoho CRM orgs, their seats, forecasts and gaps.

Send a key as `Authorization: Bearer KEY`. Times are ISO 8601 in UTC. `null` means unknown, which is never 0.
Lists come in pages: repeat the request with `cursor` set to `next_cursor` until that is null. Every reply to GET has an
`ETag`: send it as `If-None-Match`, and the answer is 304 if nothing has changed. Endpoints with rows answer CSV too.
An org or alert that the key may not see is the same 404 as one that does not exist."""
_STATUS: Final[Mapping[int, str]] = {
    304: "Nothing has changed since the reply with that `ETag`.",
    400: "A parameter is wrong; `errors` names it.",
    401: "The key is missing or wrong.",
    403: "The key lacks the right `operate`.",
    404: "There is no such org, alert or rule, or the key may not see it.",
    409: "The org or alert is in a state in which this has no effect.",
    413: "The body is larger than 64 KiB.",
    422: "The cursor does not belong to this list, or the Idempotency-Key to this request.",
    503: "Busy, or the database does not answer: try again after `Retry-After` seconds.",
}


@cache
def shared_document(endpoints: tuple[Endpoint, ...]) -> Mapping[str, Any]:
    """As `document`, but made once in a process, because it takes a tenth of a second; callers only read it."""
    return document(endpoints)


def document(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """The whole document."""
    schemas: dict[str, Any] = {}
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.address, {})[endpoint.method.lower()] = _operation(endpoint, schemas)
    _schema(ProblemReply, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "poller", "version": __version__, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "`poller access add`"}},
        },
    }


def _operation(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    parameters = [
        *_parameters(endpoint.path_model, "path", schemas),
        *_parameters(endpoint.query_model, "query", schemas),
        *([_IDEMPOTENCY_KEY] if endpoint.method == "POST" else []),
    ]
    more = " CSV with `?format=csv`." if endpoint.rows is not None else ""
    right = f" Needs a key with the right `{endpoint.right}`."
    return {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "description": f"{endpoint.description}{more}{right}".strip(),
        "tags": [endpoint.group],
        **({"parameters": parameters} if parameters else {}),
        **_body(endpoint, schemas),
        "responses": _responses(endpoint, schemas),
    }


def _body(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    model = endpoint.body_model
    if not model.model_fields:
        return {}
    content = {"application/json": {"schema": {"$ref": _REF.format(model=_schema(model, schemas))}}}
    return {
        "requestBody": {"content": content, "required": any(one.is_required() for one in model.model_fields.values())}
    }


def _responses(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": _reply_schema(endpoint, schemas)}}
    if endpoint.rows is not None:
        content["text/csv"] = {"schema": {"type": "string"}}
    found: dict[str, Any] = {str(endpoint.status): {"description": "The answer.", "content": content}}
    if endpoint.method == "GET":
        found["304"] = {"description": _STATUS[304]}
    problem = {PROBLEM_JSON: {"schema": {"$ref": _REF.format(model=ProblemReply.__name__)}}}
    for status in statuses(endpoint):
        found[str(status)] = {"description": _STATUS[status], "content": problem}
    return dict(sorted(found.items()))


def statuses(endpoint: Endpoint) -> list[int]:
    """The statuses of this endpoint's refusals."""
    usual = {400, 401, 503, *endpoint.refusals}
    if endpoint.right == Right.OPERATE:
        usual.add(403)
    if endpoint.path_model.model_fields:
        usual.add(404)
    if endpoint.body_model.model_fields:
        usual.add(413)
    if endpoint.is_list:
        usual.add(422)
    return sorted(usual)


def _reply_schema(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    return {"$ref": _REF.format(model=_schema(endpoint.reply, schemas))}


def _schema(model: type[BaseModel], schemas: dict[str, Any]) -> str:
    """Adds the schema of a model, and of those inside it; the name of the model."""
    found = model.model_json_schema(ref_template=_REF, mode="serialization")
    schemas.update(found.pop("$defs", {}))
    schemas[model.__name__] = found
    return model.__name__


def _parameters(model: type[BaseModel], place: str, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    found = model.model_json_schema(ref_template=_REF)
    schemas.update(found.pop("$defs", {}))
    required = set(found.get("required", ()))
    return [
        {
            "name": name,
            "in": place,
            "required": name in required,
            "description": schema.pop("description", ""),
            "schema": _without_null(schema),
        }
        for name, schema in found.get("properties", {}).items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that is not sent has no value: it is never null."""
    schema = {key: value for key, value in schema.items() if key != "title" and (key, value) != ("default", None)}
    choices = [one for one in schema.pop("anyOf", []) if one != {"type": "null"}]
    return {**choices[0], **schema} if len(choices) == 1 else schema


_IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Any text of your choice. A repeated request with the same key within a day gets the first reply.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
}
