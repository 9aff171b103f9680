"""Reads the parameters of a request into the models of its endpoint, and names each wrong one."""

from __future__ import annotations

import re
import types
from typing import TYPE_CHECKING, Any, Final, TypeVar, Union, get_args, get_origin
from urllib.parse import unquote_to_bytes

import orjson
from pydantic import BaseModel, ValidationError

from poller.web.refusals import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web
    from multidict import MultiMapping

M = TypeVar("M", bound=BaseModel)

LONGEST_VALUE: Final = 500
_MOST_ERRORS: Final = 20
_REMEDY: Final = "correct the parameters; /docs lists them"


def path_values(model: type[M], request: web.Request) -> M:
    """The parameters in the path."""
    return _validated(model, dict(request.match_info), "path")


def query_values(model: type[M], request: web.Request) -> M:
    """The parameters after the question mark: each known, and given once unless it is repeatable."""
    _require_utf8(request.rel_url.raw_query_string)
    return _validated(model, _collected(model, request.query), "query")


def collected_values(model: type[M], query: MultiMapping[str]) -> M:
    """The parameters of an address that was sent as a text, such as that of the page a form is on."""
    return _validated(model, _collected(model, query), "query")


async def body_values(model: type[M], request: web.Request) -> M:
    """The fields of a JSON body; no body is one without fields. A model without fields reads none."""
    raw = await request.read() if model.model_fields else b""
    try:
        found = orjson.loads(raw or b"{}")
    except orjson.JSONDecodeError:
        raise refuse([_error("body", "body", "it is not JSON")]) from None
    if not isinstance(found, dict):
        raise refuse([_error("body", "body", "it is not an object")])
    return _validated(model, found, "body")


def header_value(request: web.Request, name: str) -> str | None:
    """The value of a header of visible ASCII characters; None: it is not sent."""
    values = request.headers.getall(name, [])
    if not values:
        return None
    if len(values) > 1 or not re.fullmatch(r"[!-~]{1,200}", values[0]):
        raise refuse([_error(name, "header", "send it once, as 1 to 200 visible ASCII characters")])
    return values[0]


def repeatable(annotation: Any) -> bool:
    """Whether a parameter of this type may be given several times."""
    origin = get_origin(annotation)
    if origin in {Union, types.UnionType}:
        return any(repeatable(part) for part in get_args(annotation))
    return origin in {tuple, list}


def parameters(query: MultiMapping[str], defaults: Mapping[str, str]) -> dict[str, str]:
    """Each parameter's value, or its default where it is absent.

    A refusal of an unknown or repeated one, and of text that PostgreSQL cannot hold.
    """
    if unknown := sorted(set(query) - set(defaults)):
        name = ascii(unknown[0][:50])
        raise _refused(name[1:-1], f"there is no parameter {name}", f"ask with {', '.join(defaults)}")
    if repeated := sorted(name for name in defaults if len(query.getall(name, [])) > 1):
        raise _refused(repeated[0], f"{repeated[0]} is given twice", "give it once")
    for name, value in query.items():
        if len(value) > LONGEST_VALUE:
            raise _refused(name, f"{name} is longer than {LONGEST_VALUE} characters", "shorten it")
        if any(not character.isprintable() and _is_control(character) for character in value):
            raise _refused(name, f"{name} has a character that is not text", "send UTF-8 without control characters")
    return {**defaults, **query}


def _refused(parameter: str, what: str, remedy: str) -> Problem:
    return Problem(400, what, remedy, errors=[_error(parameter, "query", what)])


def refuse(errors: list[dict[str, str]]) -> Problem:
    """The refusal of wrong parameters, the first of which its detail names."""
    first = errors[0]
    return Problem(400, f"{first['parameter']}: {first['detail']}", _REMEDY, errors=errors[:_MOST_ERRORS])


def _collected(model: type[BaseModel], query: MultiMapping[str]) -> dict[str, Any]:
    errors: list[dict[str, str]] = []
    found: dict[str, Any] = {}
    for name in dict.fromkeys(query):
        values = query.getall(name)
        field = model.model_fields.get(name)
        if field is None:
            known = ", ".join(model.model_fields) or "none"
            errors.append(_error(ascii(name[:50])[1:-1], "query", f"there is no such parameter; known: {known}"))
        elif repeatable(field.annotation):
            found[name] = values
        elif len(values) > 1:
            errors.append(_error(name, "query", "given more than once"))
        else:
            found[name] = values[0]
    if errors:
        raise refuse(errors)
    return found


def _validated(model: type[M], found: Mapping[str, Any], place: str) -> M:
    try:
        return model.model_validate(found)
    except ValidationError as wrong:
        errors = [
            _error(str((*one["loc"], place)[0])[:50], place, _detail(one["type"], one["msg"]))
            for one in wrong.errors(include_url=False, include_context=False, include_input=False)
        ]
    raise refuse(errors)


def _detail(kind: str, message: str) -> str:
    if kind == "string_pattern_mismatch":
        return "it has a character that is not allowed here"
    return message.removeprefix("Value error, ")


def _error(parameter: str, place: str, detail: str) -> dict[str, str]:
    return {"parameter": parameter, "in": place, "detail": detail}


def _require_utf8(raw: str) -> None:
    """Refuses bytes that are not UTF-8, such as halves of surrogate pairs."""
    try:
        unquote_to_bytes(raw).decode()
    except UnicodeError:
        raise Problem(400, "the query is not UTF-8", "send the parameters as UTF-8, percent-encoded") from None


def _is_control(character: str) -> bool:
    """Controls, and the halves of surrogate pairs, which UTF-8 has no form for."""
    return character < " " or "\x7f" <= character < "\xa0" or "\ud800" <= character <= "\udfff"
