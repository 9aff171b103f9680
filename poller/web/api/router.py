"""Makes routes from the table of endpoints: checks a request, calls the endpoint's function, writes the reply."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import orjson
from aiohttp import web

from poller.admin.idempotency import answer_once
from poller.core.callers import Right
from poller.core.errors import ConflictError, UnknownAlertError, UnknownOrgError, UnknownRuleError, UsageError
from poller.web.api import openapi
from poller.web.api.cursors import Cursors
from poller.web.api.endpoint import Call
from poller.web.api.models.base import DEFAULT_ROWS, MOST_ROWS
from poller.web.api.parameters import body_values, header_value, path_values, query_values
from poller.web.api.replies import csv_reply, json_body, json_reply, wants_csv
from poller.web.callers import CALLER, WRITER
from poller.web.refusals import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping

    from pydantic import BaseModel

    from poller.core.callers import Caller
    from poller.query.reader import Reader
    from poller.web.api.endpoint import Answer, Endpoint
    from poller.web.loop_share import LoopShare

MOST_CSV_ROWS: Final = 1_000_000
_PAGING: Final = frozenset({"cursor", "limit", "format"})


@dataclass(frozen=True, slots=True)
class Router:
    """Answers requests to the endpoints from `reader`; long answers are made in slices of `share`."""

    reader: Reader
    cursors: Cursors
    share: LoopShare

    def routes(self, endpoints: Iterable[Endpoint]) -> Iterable[web.RouteDef]:
        """A route for each endpoint."""
        return [self._route(endpoint) for endpoint in endpoints if endpoint.answer is not None]

    def _route(self, endpoint: Endpoint) -> web.RouteDef:
        async def handler(request: web.Request) -> web.StreamResponse:
            return await self._reply(request, endpoint)

        more: dict[str, Any] = {"allow_head": False} if endpoint.method == "GET" else {}
        return web.route(endpoint.method, endpoint.address, handler, **more)

    async def _reply(self, request: web.Request, endpoint: Endpoint) -> web.StreamResponse:
        caller = request[CALLER]
        require_right(caller, endpoint.right)
        call = Call(
            self.reader,
            request.app.get(WRITER),
            caller,
            self.reader.now(),
            path_values(endpoint.path_model, request),
            query_values(endpoint.query_model, request),
        )
        if endpoint.method == "POST":
            body = await body_values(endpoint.body_model, request)
            return await _written(request, endpoint, replace(call, body=body))
        listing, cursors = _listing(request, endpoint, call.query), self._cursors(call)
        if endpoint.is_list:
            after = None if call.query.cursor is None else cursors.open(listing, call.query.cursor)
            call = replace(call, limit=call.query.limit or DEFAULT_ROWS, after=after)
        if endpoint.rows is not None and wants_csv(request, call.query.format):
            return await self._csv(request, endpoint, call, listing)
        answer = await _answer(endpoint, call)
        fields = dict(answer.fields)
        if endpoint.is_list:
            fields["next_cursor"] = None if answer.after is None else cursors.seal(listing, answer.after)
        return json_reply(request, fields, endpoint.status, {})

    async def _csv(self, request: web.Request, endpoint: Endpoint, call: Call, listing: str) -> web.StreamResponse:
        if endpoint.is_list and call.query.limit is None:
            return await csv_reply(request, endpoint, _every_row(endpoint, call), self.share, None)
        answer = await _answer(endpoint, call)
        link = None
        if answer.after is not None:
            query = [(name, value) for name, value in request.query.items() if name != "cursor"]
            query.append(("cursor", self._cursors(call).seal(listing, answer.after)))
            link = f'<{endpoint.address}?{urlencode(query)}>; rel="next"'
        return await csv_reply(request, endpoint, _rows_of(endpoint, answer), self.share, link)

    def _cursors(self, call: Call) -> Cursors:
        """Cursors that every process with the same encryption keys accepts."""
        return self.cursors if call.writer is None else Cursors.of(call.writer.keyring.macs)


def document_route(endpoints: Iterable[Endpoint]) -> web.RouteDef:
    """`GET /openapi.json`; the document is built once."""
    fields = openapi.shared_document(tuple(endpoints))
    orjson.dumps(fields)

    async def openapi_json(request: web.Request) -> web.StreamResponse:
        return json_reply(request, fields, 200, {})

    return web.get("/openapi.json", openapi_json, allow_head=False)


def require_right(caller: Caller, right: Right) -> None:
    """Refuses a caller whose key does not allow this, and names the right."""
    if right == Right.OPERATE and not caller.may_operate:
        raise Problem(
            403,
            f"the key {caller.name!r} lacks the right {Right.OPERATE.value!r}",
            "use a key with it: `poller access add NAME --may operate`",
        )


async def _answer(endpoint: Endpoint, call: Call) -> Answer:
    assert endpoint.answer is not None  # noqa: S101  # such endpoints have no route here
    try:
        return await endpoint.answer(call)
    except (UnknownOrgError, UnknownAlertError, UnknownRuleError) as unknown:
        raise Problem(404, unknown.what, unknown.remedy) from None
    except ConflictError as conflict:
        raise Problem(409, conflict.what, conflict.remedy) from None


async def _written(request: web.Request, endpoint: Endpoint, call: Call) -> web.Response:
    """The reply to a write request; a repeated request with the same Idempotency-Key gets the reply of the first."""
    headers = {"Location": f"{request.path.rpartition('/')[0]}{endpoint.related}"}

    async def answer() -> tuple[int, bytes]:
        return endpoint.status, json_body((await _answer(endpoint, call)).fields)

    key = header_value(request, "Idempotency-Key")
    if key is None or call.writer is None:
        status, body = await answer()
    else:
        try:
            route = _route_of(request, call)
            (status, body), kept = await answer_once(call.writer.database, call.caller, key, route, answer)
        except ConflictError as conflict:
            raise Problem(409, conflict.what, conflict.remedy) from None
        except UsageError as used:
            wrong = {"parameter": "Idempotency-Key", "in": "header", "detail": used.what}
            raise Problem(422, used.what, used.remedy, errors=[wrong]) from None
        if kept:
            headers["Idempotency-Replayed"] = "true"
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


async def _every_row(endpoint: Endpoint, call: Call) -> AsyncGenerator[Mapping[str, Any]]:
    """The rows of this page and of all later pages, each page read by a statement of its own."""
    call, sent = replace(call, limit=MOST_ROWS), 0
    while sent < MOST_CSV_ROWS:
        answer = await _answer(endpoint, call)
        for row in answer.fields[endpoint.rows or ""]:
            yield row
        sent += call.limit
        if answer.after is None:
            return
        call = replace(call, after=tuple(answer.after))
    raise TimeoutError(f"more than {MOST_CSV_ROWS:,} rows")


async def _rows_of(endpoint: Endpoint, answer: Answer) -> AsyncGenerator[Mapping[str, Any]]:
    for row in answer.fields[endpoint.rows or ""]:
        yield row


def _listing(request: web.Request, endpoint: Endpoint, query: BaseModel) -> str:
    """The address and filters, which a cursor is bound to."""
    filters = query.model_dump(exclude=set(_PAGING), mode="json")
    return f"{request.path if endpoint.path_model.model_fields else endpoint.address}?{orjson.dumps(filters).decode()}"


def _route_of(request: web.Request, call: Call) -> str:
    """What an Idempotency-Key is bound to: the address, and the body if there is one."""
    given = call.body.model_dump_json(exclude_defaults=True)
    return request.path if given == "{}" else f"{request.path} {sha256(given.encode()).hexdigest()[:16]}"
