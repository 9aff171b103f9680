"""The page `/gaps`: which slots are not known, of which orgs, why, and what to do about it."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from poller.core.model import Outcome
from poller.core.remedies import remedy_for
from poller.query.gaps_page import MOST_RANGES, read_gap_rows, read_gaps_of_org, read_gaps_page
from poller.query.rows import csv_lines, json_text
from poller.web.api.parameters import query_values
from poller.web.api.rows import flat_row
from poller.web.api.streaming import send_lines
from poller.web.callers import CALLER
from poller.web.pages.gaps_address import RANGES, ROWS, GapsAddress
from poller.web.pages.org_address import no_such_org
from poller.web.pages.org_words import gap_words
from poller.web.refusals import wants_html

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence

    from poller.core.series import GapSpan
    from poller.query.gaps_page import GapsQuestion, GapSums
    from poller.web.pages.site import Site

CSV_COLUMNS: Final = ("org_id", "org", "data_center", "reason", "slots", "first", "last", "remedy")
NEVER: Final = "never polled"
_SHOWN_REASONS: Final = 8
"""Reasons with a button of their own; the table of reasons has all."""


def routes(site: Site) -> Iterable[web.RouteDef]:
    """The routes of this page."""

    async def page(request: web.Request) -> web.StreamResponse:
        query = query_values(GapsAddress, request)
        caller, now = request[CALLER], site.reader.now()
        database, question = site.reader.seen_by(caller), query.question(caller, now, UTC)
        org = None
        if query.org is not None:
            org = await read_gaps_of_org(database, question, caller.visible_tags)
            if org is None:
                raise no_such_org()
        if query.format == "csv":
            return await _csv(site, request, await read_gap_rows(database, question))
        found = await read_gaps_page(site.reader, caller, question)
        if not wants_html(request):
            return web.Response(text=json_text(_fields(query, question, found)), content_type="application/json")
        return await site.renderer.page(request, "gaps.html", as_of=now, **_values(query, question, found, org))

    return [web.get("/gaps", page)]


def reason_remedy(reason: str) -> str:
    """What to do about slots that are unknown for this reason."""
    if reason == NEVER:
        return remedy_for("not_running")
    outcome, _, code = reason.partition(": ")
    if outcome == Outcome.PARTIAL:
        # Each type has a code of its own: `AllUsers NO_PERMISSION, AdminUsers NO_PERMISSION`.
        code = code.partition(",")[0].rpartition(" ")[2]
    return remedy_for(code or outcome)


def _values(
    query: GapsAddress, question: GapsQuestion, found: GapSums, org: tuple[str, Sequence[GapSpan]] | None
) -> dict[str, Any]:
    """What the template shows."""
    name, ranges = org or (None, ())
    return {
        "query": query,
        "since": question.gaps.since,
        "found": found,
        "org_name": name,
        "ranges": ranges,
        "more_ranges": len(ranges) >= MOST_RANGES,
        "range_links": [(word, query.address(since=since), query.since == since) for word, since in RANGES],
        "row_links": [(rows, query.address(limit=rows), query.limit == rows) for rows in ROWS],
        "reason_chips": found.reasons[:_SHOWN_REASONS],
        "gap_words": gap_words,
        "reason_remedy": reason_remedy,
        **_neighbours(query, found),
    }


def _neighbours(query: GapsAddress, found: GapSums) -> dict[str, str | None]:
    """The addresses of the pages before and after."""
    limit, start = int(query.limit), query.start
    before = query.address(start=max(1, start - limit)) if start > 1 else None
    after = query.address(start=start + limit) if start + limit <= found.matching else None
    return {"page_before": before, "page_after": after}


def _fields(query: GapsAddress, question: GapsQuestion, found: GapSums) -> dict[str, Any]:
    """The answer as one JSON object; `next`: the address of the next page."""
    return {
        "since": question.gaps.since,
        "slots": found.slots,
        "orgs": found.orgs,
        "never_polled_orgs": found.never,
        "later_orgs": found.later,
        "reasons": [
            {
                "reason": one.reason,
                "slots": one.slots,
                "orgs": one.orgs,
                "first": one.first,
                "last": one.last,
                "remedy": reason_remedy(one.reason),
            }
            for one in found.reasons
        ],
        "items": [_with_remedy(row) for row in found.rows],
        "next": _neighbours(query, found)["page_after"],
    }


def _with_remedy(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "remedy": reason_remedy(row["reason"])}


async def _csv(site: Site, request: web.Request, rows: Sequence[Mapping[str, Any]]) -> web.StreamResponse:
    """Every matching row, not only those of the page."""

    async def flat() -> AsyncGenerator[dict[str, Any]]:
        for row in rows:
            yield flat_row(_with_remedy(row), CSV_COLUMNS)

    headers = {"Content-Type": "text/csv; charset=utf-8", "Content-Disposition": 'attachment; filename="gaps.csv"'}
    response = web.StreamResponse(headers=headers)
    await send_lines(request, response, csv_lines(CSV_COLUMNS, flat()), site.share)
    return response
