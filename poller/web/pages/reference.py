"""The page `/docs`: the reference of the API, made from its OpenAPI document."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from poller.web.api.endpoints import ENDPOINTS
from poller.web.api.openapi import shared_document

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from markupsafe import Markup

    from poller.web.pages.site import Site

_GROUPS: Final = {
    "orgs": "Orgs",
    "fleet": "The fleet",
    "capacity": "Seats and forecasts",
    "alerts": "Alerts",
    "service": "The service",
}
_METHODS: Final = ("get", "post")
_FREQUENT: Final = 4
_WORTH_SHARING: Final = 6
"""Fields that two replies have in common, from which on the second refers to the first."""
Parameter = tuple[str, str, str, str]
"""Name, place, type and meaning."""


@dataclass(frozen=True, slots=True)
class ReferenceEntry:
    """One endpoint as the page shows it. `fields`: depth, name, type and meaning of each field of the reply."""

    name: str
    method: str
    path: str
    summary: str
    description: str
    parameters: Sequence[Parameter]
    fields: Sequence[tuple[int, str, str, str]]
    refusals: Sequence[tuple[str, str]]
    example: str
    """A command line; empty where an earlier endpoint of the same method has one."""
    like: ReferenceEntry | None = None
    """An earlier endpoint whose reply has more fields of this one, which the page does not repeat."""


def routes(site: Site) -> Iterable[web.RouteDef]:
    """The route of the page; its content is made once."""
    whole = shared_document(ENDPOINTS)
    groups = [(_GROUPS.get(group, group), entries) for group, entries in grouped(whole).items()]
    schemas = whole["components"]["schemas"]
    problem = list(_fields(schemas["ProblemReply"], schemas, 0))
    about = whole["info"]["description"].split("\n\n")

    made: list[Markup] = []

    async def page(request: web.Request) -> web.Response:
        if not made:
            values = {"groups": groups, "problem": problem, "about": about}
            values |= {"usual": usual_refusals(groups), "frequent": frequent_parameters(groups)}
            made.append(await site.renderer.markup(request, "reference_content.html", **values))
        return await site.renderer.page(request, "reference.html", content_html=made[0], as_of=site.reader.now())

    return [web.get("/docs", page)]


def frequent_parameters(groups: Iterable[tuple[str, Iterable[ReferenceEntry]]]) -> list[Parameter]:
    """Parameters that are the same at many endpoints; the page explains them once."""
    counted = Counter(one for _, entries in groups for entry in entries for one in entry.parameters)
    return [one for one, number in counted.items() if number >= _FREQUENT]


def usual_refusals(groups: Iterable[tuple[str, Iterable[ReferenceEntry]]]) -> dict[str, str]:
    """By status what it means at most endpoints; the page says this once."""
    meanings: dict[str, Counter[str]] = {}
    for _, entries in groups:
        for entry in entries:
            for status, meaning in entry.refusals:
                meanings.setdefault(status, Counter())[meaning] += 1
    return {status: counted.most_common(1)[0][0] for status, counted in sorted(meanings.items())}


def grouped(whole: Mapping[str, Any]) -> dict[str, list[ReferenceEntry]]:
    """The endpoints of a document by group, in the order of the document."""
    found: dict[str, list[ReferenceEntry]] = {}
    for path, operations in whole["paths"].items():
        for method in _METHODS:
            if method in operations:
                operation = operations[method]
                entry = _entry(path, method, operation, whole["components"]["schemas"])
                earlier = [one for entries in found.values() for one in entries]
                if any(one.method == entry.method for one in earlier):
                    entry = replace(entry, example="")
                found.setdefault(operation["tags"][0], []).append(_without_repeats(entry, earlier))
    return found


def _without_repeats(entry: ReferenceEntry, earlier: Sequence[ReferenceEntry]) -> ReferenceEntry:
    """The entry without the fields that one earlier entry shows already, if these are many."""
    mine = {field[1:] for field in entry.fields}
    like = max(earlier, key=lambda one: len(mine & {field[1:] for field in one.fields}), default=None)
    shared = mine & {field[1:] for field in like.fields} if like is not None else set()
    if len(shared) < _WORTH_SHARING:
        return entry
    return replace(entry, like=like, fields=[field for field in entry.fields if field[1:] not in shared])


def _entry(path: str, method: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> ReferenceEntry:
    answers = {status: one for status, one in operation["responses"].items() if status.startswith("2")}
    content = next(iter(answers.values()))["content"]
    schema = content["application/json"]["schema"]
    return ReferenceEntry(
        name=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        description=operation["description"],
        parameters=[*_parameters(operation, schemas)],
        fields=list(_fields(schema, schemas, 0)),
        refusals=[(status, one["description"]) for status, one in operation["responses"].items() if status >= "4"],
        example=_example(path, method),
    )


def _parameters(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterable[Parameter]:
    """The parameters of path, query and header, then the fields of the body."""
    for one in operation.get("parameters", ()):
        yield one["name"], one["in"], _type(one["schema"], schemas), one["description"]
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        for _, name, kind, description in _fields(schema, schemas, 0):
            yield name, "body", kind, description


def _example(path: str, method: str) -> str:
    verb = "" if method == "get" else "-X POST "
    return f'curl {verb}-H "Authorization: Bearer $KEY" "$POLLER{path.replace("{id}", "1")}"'


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any], depth: int) -> Iterable[tuple[int, str, str, str]]:
    """The fields of an object, those of nested objects below them."""
    schema = _object_in(schema, schemas) or schema
    for name, field in schema.get("properties", {}).items():
        yield depth, name, _type(field, schemas), field.get("description", "")
        inner = _object_in(field, schemas)
        if inner is not None:
            yield from _fields(inner, schemas, depth + 1)


def _object_in(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The object that a schema is, or is a list of; None: neither."""
    for part in (schema, *schema.get("anyOf", ())):
        if "$ref" in part:
            target = schemas[part["$ref"].rpartition("/")[2]]
            return target if "properties" in target else _object_in(target, schemas) if "items" in target else None
        if part.get("type") == "array":
            return _object_in(part["items"], schemas)
    return None


def _type(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    """The type in words: `integer, 1 to 500`, `list of object`, `text or null`."""
    if "$ref" in schema:
        return _type(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(one, schemas) for one in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return " | ".join(str(one) for one in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema['items'], schemas)}"
    kind = {"date": "date", "date-time": "time"}.get(schema.get("format", ""), "text") if kind == "string" else kind
    bounds = f", {schema['minimum']:,} to {schema['maximum']:,}" if {"minimum", "maximum"} <= set(schema) else ""
    return f"{kind}{bounds}"
