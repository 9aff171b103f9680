"""Replies of the API: JSON with an entity tag, `304 Not Modified`, and CSV in slices.

Rows go from the database to the reply without passing through a model; tests validate replies against the models.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog
from aiohttp import web

from poller.core.errors import DatabaseError
from poller.query.rows import csv_lines
from poller.web.api.rows import columns, flat_row
from poller.web.api.streaming import PATIENCE_SECONDS, send_lines

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

    from poller.web.api.endpoint import Endpoint
    from poller.web.loop_share import LoopShare

CACHE: Final = "private, no-cache"
"""A cache may keep a reply for its one user, and asks each time whether it is still the same."""

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
        headers["ETag"] = tag = f'W/"{blake2b(tagged, digest_size=12).hexdigest()}"'
        if _matches(request.headers.get("If-None-Match", ""), tag):
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


def _matches(header: str, tag: str) -> bool:
    """Whether `If-None-Match` names the tag, in the weak comparison of RFC 9110."""
    shown = {one.strip().removeprefix("W/") for one in header.split(",")}
    return "*" in shown or tag.removeprefix("W/") in shown


def _plain(value: object) -> float | str:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON")
