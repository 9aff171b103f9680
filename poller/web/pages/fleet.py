"""The page `/`: every org of the fleet, those that need a person first; as HTML, CSV and JSON at the same address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from aiohttp import web
from pydantic import Field, StringConstraints

from poller.core.model import UserType
from poller.core.user_types import TYPE_WORDS
from poller.query.fleet_page import fleet_page, last_outcomes, rows_that_changed
from poller.query.fleet_summary import fleet_days, fleet_summary
from poller.query.parallel import parallel
from poller.web.api.models.base import LARGEST_ID, Model
from poller.web.api.parameters import query_values
from poller.web.api.replies import wants_csv
from poller.web.callers import CALLER
from poller.web.pages.changes import may_change
from poller.web.pages.fleet_bulk import bulk_routes
from poller.web.pages.fleet_controls import page_values, summary_values
from poller.web.pages.fleet_export import csv_reply, json_reply
from poller.web.pages.fleet_query import Column, FleetQuery
from poller.web.pages.fleet_rows import row_markup
from poller.web.pages.formats import iso
from poller.web.pages.notices import Notices
from poller.web.refusals import wants_html

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from markupsafe import Markup

    from poller.core.callers import Caller
    from poller.query.fleet_page import FleetOrg
    from poller.web.pages.site import Site

POLLS: Final = 24
"""Polls that a row shows."""
_MOST_SHOWN: Final = 500
_SHOWN: Final = rf"^([0-9]{{1,10}}\.[0-9a-f]{{4}}-?){{0,{_MOST_SHOWN}}}$"


class DaysQuery(Model):
    """The parameters of `/days`: the table of the chart."""

    type: UserType = UserType.ACTIVE


class RowsQuery(Model):
    """The parameters of `/rows`: what the rows show, and for each its number and digest."""

    type: UserType = UserType.ACTIVE
    column: Annotated[tuple[Column, ...], Field(max_length=20)] = ()
    shown: Annotated[str, StringConstraints(max_length=_MOST_SHOWN * 16, pattern=_SHOWN)] = ""

    def digests(self) -> dict[int, str]:
        """The digest of each row that the page shows."""
        pairs = (part.partition(".") for part in self.shown.split("-") if part)
        return {int(number): digest for number, _, digest in pairs if 0 < int(number) <= LARGEST_ID}


def routes(site: Site) -> Iterable[web.RouteDef]:
    """The routes of this page: the page itself, the rows that changed, and what stands above them."""
    notices = Notices()

    async def page(request: web.Request) -> web.StreamResponse:
        return await _page(site, request, notices)

    async def rows(request: web.Request) -> web.Response:
        return await _changed_rows(site, request)

    async def summary(request: web.Request) -> web.Response:
        query = query_values(FleetQuery, request)
        caller = request[CALLER]
        found = await fleet_summary(site.reader, caller, query.filter(caller.visible_tags), query.type)
        values = summary_values(query, found)
        return await site.renderer.part(request, "fleet_summary.html", as_of=site.reader.now(), **values)

    async def days(request: web.Request) -> web.Response:
        query, caller = query_values(DaysQuery, request), request[CALLER]
        found = await fleet_days(site.reader, caller, query.type)
        word = TYPE_WORDS[query.type]
        return await site.renderer.page(request, "days.html", as_of=site.reader.now(), days=found, type_word=word)

    return [
        web.get("/", page),
        web.get("/rows", rows),
        web.get("/summary", summary),
        web.get("/days", days),
        *bulk_routes(site, notices),
    ]


async def _page(site: Site, request: web.Request, notices: Notices) -> web.StreamResponse:
    query, caller = query_values(FleetQuery, request), request[CALLER]
    question, database = query.question(caller.visible_tags), site.reader.seen_by(caller)
    if wants_csv(request, query.format):
        return await csv_reply(request, site, caller, question, query.column)
    if query.format == "json" or not wants_html(request):
        return await json_reply(site, caller, question)
    async with parallel() as group:
        found = group.create_task(fleet_page(database, question))
        summary = group.create_task(fleet_summary(site.reader, caller, question.which, query.type))
    shown, now = found.result(), site.reader.now()
    rows_html = await _rows(site, caller, shown.orgs, query.columns)
    values = {"as_of": now, "rows_html": rows_html, **page_values(query, shown, summary.result())}
    values |= {"notice": notices.take(query.done), "operates": may_change(request)}
    values["summary_html"] = await site.renderer.markup(request, "fleet_summary.html", **values)
    return await site.renderer.page(request, "fleet.html", **values)


async def _changed_rows(site: Site, request: web.Request) -> web.Response:
    """204 where no row is another one than the page shows; else those that are."""
    query, caller = query_values(RowsQuery, request), request[CALLER]
    database, now = site.reader.seen_by(caller), site.reader.now()
    changed = await rows_that_changed(database, query.digests(), query.type, caller.visible_tags)
    if not changed:
        return web.Response(status=204, headers={"X-As-Of": iso(now)})
    columns = FleetQuery(column=query.column).columns
    return await site.renderer.piece(request, await _rows(site, caller, changed, columns), now)


async def _rows(site: Site, caller: Caller, orgs: Sequence[FleetOrg], columns: Sequence[str]) -> Markup:
    """The rows as HTML."""
    outcomes = await last_outcomes(site.reader.seen_by(caller), orgs, POLLS) if "polls" in columns else {}
    return await site.renderer.rows(row_markup(orgs, site.reader.now(), outcomes, columns))
