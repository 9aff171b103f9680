"""The pages `/alerts` and `/alerts/{id}`: what fires, what a person did about it, and the history of each alert."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from poller.core.alerts import AlertState, Severity
from poller.core.quantities import figure_words
from poller.query.alert_rules import described_rules
from poller.query.alerts_page import read_alerts_view, read_one_alert, stream_alerts
from poller.query.rows import csv_lines, json_text
from poller.web.api.parameters import parameters, query_values
from poller.web.api.streaming import send_lines
from poller.web.callers import CALLER, WRITER
from poller.web.pages.alerts_actions import action_routes, alert_id_of, shown_if_visible
from poller.web.pages.alerts_address import ROWS, AlertsAddress
from poller.web.pages.alerts_words import SEVERITY_MARKS, SNOOZES, STATE_MARKS, fires_when
from poller.web.pages.changes import may_change
from poller.web.pages.notices import Notices
from poller.web.refusals import wants_html

if TYPE_CHECKING:
    from collections.abc import Iterable

    from poller.query.alerts_page import AlertsView
    from poller.web.pages.site import Site

COLUMNS: Final = (
    "id",
    "rule",
    "org",
    "user_type",
    "state",
    "severity",
    "since",
    "value",
    "threshold",
    "message",
    "remedy",
    "delivered_at",
    "org_id",
    "subject",
    "fired_at",
    "resolved_at",
    "snoozed_until",
    "unknown_since",
    "resolved_reason",
)


def routes(site: Site) -> Iterable[web.RouteDef]:
    """The routes of these pages."""
    notices = Notices()

    async def page(request: web.Request) -> web.StreamResponse:
        query = query_values(AlertsAddress, request)
        which = query.which(request[CALLER])
        if query.format == "csv":
            return await _csv(site, request, query)
        view = await read_alerts_view(site.reader, request[CALLER], which, limit=ROWS, after=query.key)
        if not wants_html(request):
            return web.Response(text=json_text(_fields(query, view)), content_type="application/json")
        values = await _values(site, request, query, view)
        if "X-Refresh" in request.headers:
            return await site.renderer.part(request, "alerts_now.html", **values)
        values["notice"] = notices.take(query.done)
        return await site.renderer.page(request, "alerts.html", **values)

    async def one(request: web.Request) -> web.StreamResponse:
        given = parameters(request.query, {"done": "", "format": ""})
        alert_id = alert_id_of(request.match_info["id"])
        found = await shown_if_visible(read_one_alert(site.reader, request[CALLER], alert_id))
        if not wants_html(request):
            return web.Response(text=json_text(found.alert), content_type="application/json")
        values = _common(site, request) | {"one": found, "alert": found.alert}
        if "X-Refresh" in request.headers:
            return await site.renderer.part(request, "alert_now.html", **values)
        values["notice"] = notices.take(given["done"])
        return await site.renderer.page(request, "alert.html", **values)

    return [web.get("/alerts", page), web.get("/alerts/{id}", one), *action_routes(site, notices)]


def _common(site: Site, request: web.Request) -> dict[str, Any]:
    return {
        "as_of": site.reader.now(),
        "severity_marks": SEVERITY_MARKS,
        "state_marks": STATE_MARKS,
        "snoozes": SNOOZES,
        "figure_words": figure_words,
        "operates": may_change(request),
        "why_not": _why_not(writable=WRITER in request.app),
        "sees_rules": request[CALLER].visible_tags is None,
    }


def _why_not(*, writable: bool) -> str:
    """Why the buttons are disabled, where they are."""
    if writable:
        return "This key may see alerts, and not change them: poller access add NAME --may operate makes one that may."
    return "This process changes nothing: use the pages of poller run or poller web."


async def _values(site: Site, request: web.Request, query: AlertsAddress, view: AlertsView) -> dict[str, Any]:
    """What the templates of the list show."""
    states, severities = dict(view.values("state")), dict(view.values("severity"))
    nothing = not view.facets
    rules = await described_rules(site.reader.database) if nothing and request[CALLER].visible_tags is None else []
    return _common(site, request) | {
        "query": query,
        "view": view,
        "states": [(state, states.get(state, 0)) for state in AlertState if states.get(state) or state == "firing"],
        "severities": [(one, severities[one]) for one in Severity if one in severities],
        "firing_now": states.get(AlertState.FIRING, 0),
        "open": sum(number for state, number in states.items() if state != AlertState.RESOLVED),
        "nothing": nothing,
        "watching": [(one.rule, fires_when(one.rule)) for one in rules if one.rule.enabled],
        "page_after": _page_after(query, view),
    }


def _fields(query: AlertsAddress, view: AlertsView) -> dict[str, Any]:
    """The page as one JSON object; `next`: the address of the next page."""
    return {"items": view.alerts, "next": _page_after(query, view)}


def _page_after(query: AlertsAddress, view: AlertsView) -> str | None:
    """The address of the page after this one; None: it is the last."""
    return None if view.after is None else query.address(after="-".join(map(str, view.after)))


async def _csv(site: Site, request: web.Request, query: AlertsAddress) -> web.StreamResponse:
    """Every matching alert, not only those of the page."""
    headers = {"Content-Type": "text/csv; charset=utf-8", "Content-Disposition": 'attachment; filename="alerts.csv"'}
    response = web.StreamResponse(headers=headers)
    caller = request[CALLER]
    rows = stream_alerts(site.reader, caller, query.which(caller))
    await send_lines(request, response, csv_lines(COLUMNS, rows), site.share)
    return response
