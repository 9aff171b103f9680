"""The page `/seats`: who runs out of seats and when, who pays for idle ones, and what was unusual lately."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from poller.query.rows import csv_lines, json_text
from poller.query.seats_page import SEAT_FIELDS, read_seats, seat_fields, stream_seat_rows
from poller.web.api.parameters import query_values
from poller.web.api.rows import flat_row
from poller.web.api.streaming import send_lines
from poller.web.callers import CALLER
from poller.web.pages.seats_address import SeatsAddress
from poller.web.pages.seats_rows import anomaly_rows, seat_rows, seats_or_reason
from poller.web.pages.seats_words import SHOWN, money
from poller.web.refusals import wants_html

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from poller.query.seats_page import SeatsAnswer, SeatsQuestion
    from poller.web.pages.site import Site

_PROBLEM: Final = ("problem_code", "problem_remedy")
CSV_COLUMNS: Final = (*(name for name in SEAT_FIELDS if name != "problem"), *_PROBLEM)


def routes(site: Site) -> Iterable[web.RouteDef]:
    """The routes of this page."""

    async def page(request: web.Request) -> web.StreamResponse:
        query = query_values(SeatsAddress, request)
        caller, now = request[CALLER], site.reader.now()
        database, question = site.reader.seen_by(caller), query.question(caller, now.date())
        if query.format == "csv":
            return await _csv(site, request, stream_seat_rows(database, question))
        answer = await read_seats(site.reader.cache, database, question, by_tag=query.by == "tag")
        if not wants_html(request):
            return web.Response(text=json_text(_fields(query, answer)), content_type="application/json")
        values = _values(query, question, answer)
        values["rows_html"] = await site.renderer.rows(seat_rows(answer.rows, now.date()))
        values["anomalies_html"] = await site.renderer.rows(anomaly_rows(answer.anomalies.rows, now.date()))
        return await site.renderer.page(request, "seats.html", as_of=now, **values)

    return [web.get("/seats", page)]


def _values(query: SeatsAddress, question: SeatsQuestion, answer: SeatsAnswer) -> dict[str, Any]:
    """What the template shows."""
    kinds: dict[str, int] = {}
    severities: dict[str, int] = {}
    for (kind, severity), found in answer.anomalies.counts.items():
        kinds[kind] = kinds.get(kind, 0) + found
        severities[severity] = severities.get(severity, 0) + found
    return {
        "query": query,
        "answer": answer,
        "facets": answer.facets,
        "today": question.which.today,
        "matching": answer.totals[f"shown_{query.show}"],
        "shown": SHOWN,
        "kinds": sorted(kinds.items()),
        "severities": sorted(severities.items()),
        "anomalies_since": question.anomalies_since,
        "money": money,
        "seats_or_reason": seats_or_reason,
        **_neighbours(query, answer),
    }


def _neighbours(query: SeatsAddress, answer: SeatsAnswer) -> dict[str, str | None]:
    """The addresses of the pages before and after."""
    rows = answer.rows
    before = query.address(before=rows[0]["org_id"]) if rows and answer.has_before else None
    after = query.address(after=rows[-1]["org_id"]) if rows and answer.has_after else None
    return {"page_before": before, "page_after": after}


def _fields(query: SeatsAddress, answer: SeatsAnswer) -> dict[str, Any]:
    """The answer as one JSON object; `next`: the address of the next page."""
    common = {
        "totals": {name: value for name, value in answer.totals.items() if name not in {"is_currency", "currency"}},
        "idle_cost": {one["currency"]: one["idle_cost"] for one in answer.currencies},
        "anomalies": answer.anomalies.rows,
    }
    if query.by == "tag":
        tags = [{**tag, "costs": dict(tag["costs"])} for tag in answer.tags]
        return {"tags": tags, **common}
    return {
        "items": [seat_fields(row) for row in answer.rows],
        "next": _neighbours(query, answer)["page_after"],
        **common,
    }


async def _csv(site: Site, request: web.Request, rows: AsyncIterator[Mapping[str, Any]]) -> web.StreamResponse:
    """Every matching row, not only those of the page."""
    flat = (flat_row(row, CSV_COLUMNS) async for row in rows)
    headers = {"Content-Type": "text/csv; charset=utf-8", "Content-Disposition": 'attachment; filename="seats.csv"'}
    response = web.StreamResponse(headers=headers)
    await send_lines(request, response, csv_lines(CSV_COLUMNS, flat), site.share)
    return response
