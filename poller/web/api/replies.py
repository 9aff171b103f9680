"""Replies of the API, as JSON or as CSV in slices, with an entity tag.

Rows go from the database to the reply without passing through a model; tests validate replies against the models.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog
from aiohttp import web

from poller.core.errors import DatabaseError
from poller.query.rows import csv_lines
from poller.web.api.entity_tags import CACHE, entity_tag, has_tag
from poller.web.api.rows import columns, flat_row
from poller.web.api.streaming import PATIENCE_SECONDS, send_lines

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

    from poller.web.api.endpoint import Endpoint
    from poller.web.loop_share import LoopShare

_TIMES_OF_ANSWER: Final = frozenset({"at", "made_at"})

log = structlog.get_logger("poller.web")


def json_reply(
    request: web.Request, fields: Mapping[str, Any], status: int, headers: Mapping[str, str]
) -> web.Response:
    """The fields as JSON; for a GET, 304 without a body if the client has them already.

    The tag is weak: it leaves out the time of the answer.
    """
    headers = {"Cache-Control": CACHE, "Vary": "Accept", **headers}
    body = json_body(fields)
    if request.method == "GET":
        steady = {name: value for name, value in fields.items() if name not in _TIMES_OF_ANSWER}
        tagged = body if len(steady) == len(fields) else json_body(steady)
        headers["ETag"] = tag = entity_tag(tagged)
        if has_tag(request, tag):
            return web.Response(status=304, headers=headers)
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def json_body(fields: Mapping[str, Any]) -> bytes:
    """The fields as JSON."""
    return orjson.dumps(fields, default=_plain)


async def csv_reply(
    request: web.Request, endpoint: Endpoint, rows: AsyncIterator[Mapping[str, Any]], share: LoopShare, link: str | None
) -> web.StreamResponse:
    """The rows as CSV, while they are read; text is safe to open in a spreadsheet.

    Nothing is sent before the database has answered. If it fails later, the connection breaks: a part must not look
    like the whole.
    """
    response = web.StreamResponse(headers={"Cache-Control": CACHE, "Vary": "Accept"})
    response.headers["Content-Type"] = "text/csv; charset=utf-8"
    name = endpoint.path.rpartition("/")[2]
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    if link is not None:
        response.headers["Link"] = link
    names = columns(endpoint.reply, endpoint.rows or "")
    try:
        await send_lines(request, response, csv_lines(names, _flattened(rows, names)), share)
    except (DatabaseError, TimeoutError) as error:
        if not response.prepared:
            raise
        log.warning("api.broken_off", why=str(error) or f"nothing was read for {PATIENCE_SECONDS:g} s")
        if request.transport is not None:
            request.transport.abort()
    return response


def wants_csv(request: web.Request, chosen: str | None) -> bool:
    """Whether the client asks for CSV: by `format`, else because `Accept` names CSV and not JSON."""
    if chosen is not None:
        return chosen == "csv"
    accepted = request.headers.get("Accept", "")
    return "text/csv" in accepted and "json" not in accepted


async def _flattened(rows: AsyncIterator[Mapping[str, Any]], names: Sequence[str]) -> AsyncGenerator[dict[str, Any]]:
    async for row in rows:
        yield flat_row(row, names)


def _plain(value: object) -> float | str:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON")
