"""The fleet's list as CSV and JSON, at the address of the page."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import structlog
from aiohttp import web

from poller.core.errors import DatabaseError
from poller.core.model import USER_TYPES
from poller.query.fleet_page import fleet_page, fleet_row_fields, stream_fleet
from poller.query.rows import csv_lines, json_text
from poller.web.api.rows import flat_row
from poller.web.api.streaming import send_lines
from poller.web.pages.fleet_query import sealed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from poller.core.callers import Caller
    from poller.query.fleet_page import FleetOrg, FleetQuestion
    from poller.web.pages.site import Site

_OF_COLUMNS: Final = {
    "state": ("state", "state_reason", "remedy", "since"),
    "data_center": ("data_center",),
    "edition": ("edition", "licences"),
    "tags": ("tags",),
    "count": tuple(user_type.value for user_type in USER_TYPES),
    "seats": ("seats_purchased", "seats_used"),
    "change_7d": ("change_7d",),
    "change_30d": ("change_30d",),
    "exhausted_on": ("exhausted_on",),
    "counts_at": ("last_polled_at", "last_outcome", "last_error", "counts_at"),
}
"""The columns of the CSV for each column of the table that has any."""

log = structlog.get_logger("poller.web")


async def json_reply(site: Site, caller: Caller, question: FleetQuestion) -> web.Response:
    """One page of the list, as `GET /api/v1/orgs` answers it; `next_cursor` is the `after` of the next page."""
    page = await fleet_page(site.reader.seen_by(caller), question)
    following = sealed(page.orgs[-1].position) if page.has_after else None
    fields = {"items": [fleet_row_fields(row) for row in page.orgs], "next_cursor": following}
    return web.Response(text=json_text(fields), content_type="application/json", headers={"Vary": "Accept"})


async def csv_reply(
    request: web.Request, site: Site, caller: Caller, question: FleetQuestion, columns: Sequence[str]
) -> web.StreamResponse:
    """Every row of the filter; `columns`: those of the table whose values are wanted, empty: all."""
    chosen = columns or list(_OF_COLUMNS)
    names = ["id", "name", *(name for column in _OF_COLUMNS if column in chosen for name in _OF_COLUMNS[column])]
    response = web.StreamResponse(headers={"Content-Disposition": 'attachment; filename="fleet.csv"'})
    response.headers["Content-Type"] = "text/csv; charset=utf-8"
    found = stream_fleet(site.reader.seen_by(caller), replace(question, after=None, before=None))
    try:
        await send_lines(request, response, csv_lines(names, _flat(found, names)), site.share)
    except (DatabaseError, TimeoutError) as error:
        if not response.prepared:
            raise
        log.warning("web.broken_off", why=str(error) or "nothing was read in time")
        if request.transport is not None:
            request.transport.abort()
    return response


async def _flat(rows: AsyncIterator[FleetOrg], names: Sequence[str]) -> AsyncGenerator[dict[str, Any]]:
    async for row in rows:
        yield flat_row(fleet_row_fields(row), names)
