"""The figures of an Org page for programs, at the same address: its series as CSV, or org and series as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from poller.core.errors import UsageError
from poller.query.one_org import org_fields
from poller.query.rows import csv_lines
from poller.query.series import SERIES_COLUMNS, org_series
from poller.web.api.entity_tags import CACHE
from poller.web.api.replies import json_reply
from poller.web.api.streaming import send_lines
from poller.web.callers import CALLER
from poller.web.pages.org_address import no_such_org
from poller.web.refusals import wants_html

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from poller.query.series import Series, SeriesQuestion
    from poller.web.pages.site import Site


async def org_data(site: Site, request: web.Request, org_id: int, question: SeriesQuestion) -> web.StreamResponse:
    """The figures of the page for programs: the series as CSV, or the org and its series as JSON."""
    caller = request[CALLER]
    database = site.reader.seen_by(caller)
    series = await org_series(database, org_id, question, visible_tags=caller.visible_tags)
    org = await org_fields(database, org_id, visible_tags=caller.visible_tags)
    if series is None or org is None:
        raise no_such_org()
    headers = {"Vary": "Accept", "Cache-Control": CACHE}
    if format_of(request) == "json":
        return json_reply(request, {"org": org, "series": series.fields()}, 200, headers)
    headers |= {"Content-Disposition": f'attachment; filename="org-{org_id}.csv"'}
    reply = web.StreamResponse(headers={**headers, "Content-Type": "text/csv; charset=utf-8"})
    await send_lines(request, reply, csv_lines(SERIES_COLUMNS, _each(series)), site.share)
    return reply


async def _each(series: Series) -> AsyncIterator[dict[str, Any]]:
    for point in series.points():
        yield point


def format_of(request: web.Request) -> str:
    """What the client asks for: `csv`, `json` or `html`, by `format`, else by its `Accept`."""
    chosen = request.query.get("format")
    if chosen is None:
        return "html" if wants_html(request) or "json" not in request.headers.get("Accept", "") else "json"
    if chosen not in {"csv", "json"}:
        raise UsageError(f"{chosen[:50]!r} is not a format", "ask for csv or json, or leave it out")
    return chosen
