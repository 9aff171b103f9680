"""The page `/orgs/{id}`: one org's state, its counts over time, its last polls and limits; also as CSV and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from poller.core.durations import DAY_SECONDS
from poller.query.forecast_fans import FAN_DAYS, ForecastFans
from poller.query.org_page import read_org_now, read_org_page
from poller.web.callers import CALLER
from poller.web.pages import org_words
from poller.web.pages.changes import may_change
from poller.web.pages.chart_data import chart_of
from poller.web.pages.chart_svg import chart_svg
from poller.web.pages.notices import Notices
from poller.web.pages.org_actions import action_routes, buttons_of
from poller.web.pages.org_address import LAYERS, RANGES, OrgAddress, day_of, no_such_org, org_id_of
from poller.web.pages.org_data import format_of, org_data
from poller.web.pages.series_rows import series_rows

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from poller.query.org_page import OrgNow, OrgView
    from poller.query.series import SeriesQuestion
    from poller.web.pages.site import Site

_FAN_FROM_SECONDS: Final = 14 * DAY_SECONDS
"""A forecast of months beside a range of a day would only show the forecast."""


def routes(site: Site) -> Iterable[web.RouteDef]:
    """The routes of this page."""
    fans, notices = ForecastFans(), Notices()

    async def page(request: web.Request) -> web.StreamResponse:
        address, caller, now = _address(request), request[CALLER], site.reader.now()
        question = address.question(now)
        if format_of(request) != "html":
            return await org_data(site, request, address.org_id, question)
        view = await read_org_page(
            site.reader.seen_by(caller),
            address.org_id,
            question,
            fans,
            now=now,
            visible_tags=caller.visible_tags,
            fan_days=_fan_days(address, question),
        )
        if view is None:
            raise no_such_org()
        values = _now_values(request, view.current, address) | _chart_values(view, address)
        values["notice"] = notices.take(address.done)
        return await site.renderer.page(request, "org.html", **values)

    return [
        web.get("/orgs/{id}", page),
        web.get("/orgs/{id}/now", _part(site, "org_now.html")),
        web.get("/orgs/{id}/polls", _part(site, "org_polls.html")),
        *action_routes(notices),
    ]


def _part(site: Site, template: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Answers with a part of the page that changes with each poll; 304 while nothing has changed."""

    async def handler(request: web.Request) -> web.StreamResponse:
        address = _address(request)
        values = _now_values(request, await _current(site, request, address), address)
        return await site.renderer.part(request, template, **values)

    return handler


def _address(request: web.Request) -> OrgAddress:
    org_id = org_id_of(request.match_info["id"])
    if org_id is None:
        raise no_such_org()
    return OrgAddress.parse(org_id, request.query)


async def _current(site: Site, request: web.Request, address: OrgAddress) -> OrgNow:
    caller = request[CALLER]
    current = await read_org_now(
        site.reader.seen_by(caller), address.org_id, now=site.reader.now(), visible_tags=caller.visible_tags
    )
    if current is None:
        raise no_such_org()
    return current


def _fan_days(address: OrgAddress, question: SeriesQuestion) -> int:
    """How many days of forecast the chart shows: a third of the range."""
    if not address.is_live or "forecast" in address.hidden or question.span_seconds < _FAN_FROM_SECONDS:
        return 0
    return min(round(question.span_seconds / DAY_SECONDS / 3), FAN_DAYS)


def _now_values(request: web.Request, current: OrgNow, address: OrgAddress) -> dict[str, Any]:
    today = current.at.date()
    return {
        "as_of": current.at,
        "now": current.at,
        "today": today,
        "facts": current.facts,
        "polls": current.polls,
        "forecast": current.forecast,
        "address": address,
        "meaning": org_words.state_meaning(current.facts.state),
        "outcomes": org_words.OUTCOMES,
        "rate": org_words.rate_words(current.facts),
        "interval": org_words.interval_words(current.facts),
        "run_out": org_words.run_out_words(current.forecast, current.facts, today),
        "remedy": current.remedy,
        "buttons": buttons_of(current.facts) if may_change(request) else [],
        "operation": current.operations[0] if current.operations else None,
        "steps": _steps(current.remedy),
    }


def _chart_values(view: OrgView, address: OrgAddress) -> dict[str, Any]:
    facts, series = view.current.facts, view.series
    chart = chart_of(view, address)
    step = org_words.step_words(series.step_seconds, facts.effective_interval_seconds)
    names = ", ".join(line.user_type.value for line in series.types)
    links = [(word, address.link(since=since, until="", every=""), since) for word, since in RANGES.items()]
    last = "" if address.is_live else f"{series.edges[-2]:%Y-%m-%d}"
    return {
        "view": view,
        "gap_words": org_words.gap_words,
        "past_error": org_words.past_error_words(view.current.forecast) if view.fan and view.current.forecast else "",
        "legend": [(total, address.toggled(total.user_type)) for total in view.totals],
        "older_gaps": view.more_gaps,
        "chart": chart,
        "step_words": step,
        "svg": chart_svg(chart, f"{names} of {facts.org}, {step}"),
        "rows": series_rows(chart),
        "colors": {line.user_type: place for place, line in enumerate(series.types)},
        "ranges": [(word, link, address.is_live and address.since == since) for word, link, since in links],
        "layers": _layers(view, address),
        "days": (day_of(address.since, series.edges[0]), last),
    }


def _layers(view: OrgView, address: OrgAddress) -> list[tuple[str, str, bool]]:
    """The layers of the chart that this range can have: name, address without or with it, and whether it is shown."""
    possible = {
        "band": view.series.step_seconds >= DAY_SECONDS,
        "seats": view.current.facts.seats is not None,
        "forecast": bool(view.fan) or "forecast" in address.hidden,
    }
    return [(layer, address.with_layer(layer), layer not in address.hidden) for layer in LAYERS if possible[layer]]


def _steps(remedy: str | None) -> list[str]:
    """What a person should do, one step after the other; empty where nothing is wrong."""
    parts = [part.strip() for part in (remedy or "").split("; ") if part]
    return [part[:1].upper() + part[1:] for part in parts]
