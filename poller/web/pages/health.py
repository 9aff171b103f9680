"""The page `/health`: the verdict first, then slots by hour, workers, queue, data centres, credits and database."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from aiohttp import web

from poller.core.checks import CheckStatus
from poller.core.errors import UsageError
from poller.core.model import Outcome
from poller.core.quantities import size_of
from poller.core.remedies import remedy_for
from poller.query.audit import read_key_use
from poller.query.health import read_gaps, read_health
from poller.query.health_fields import health_fields
from poller.query.health_verdict import share_text, verdict
from poller.query.rows import json_text
from poller.web.api.parameters import parameters
from poller.web.callers import CALLER
from poller.web.pages.formats import span
from poller.web.pages.outcome_bars import BAR, HEIGHT, WIDTH, outcome_bars
from poller.web.refusals import wants_html

if TYPE_CHECKING:
    from collections.abc import Iterable

    from poller.query.health import GapsOfHours, HealthReport
    from poller.web.pages.site import Site

_DEFAULTS: Final = {"hour": "", "outcome": "", "format": ""}
MARKS: Final = {
    CheckStatus.WRONG: ("■", "failing"),
    CheckStatus.WARNING: ("◐", "late"),
    CheckStatus.UNKNOWN: ("○", "never_polled"),
    CheckStatus.OK: ("●", "ok"),
}
"""The mark of each status, and the class that colours it."""


def routes(site: Site) -> Iterable[web.RouteDef]:
    """The routes of this page."""

    async def page(request: web.Request) -> web.Response:
        given = parameters(request.query, _DEFAULTS)
        hour, outcome = _hour(given["hour"]), _outcome(given["outcome"])
        report = await read_health(site.reader, request[CALLER])
        if given["format"] == "csv":
            return _csv(report)
        if not wants_html(request):
            return web.Response(text=json_text(health_fields(report)), content_type="application/json")
        gaps = None
        if hour is not None or outcome is not None:
            gaps = await read_gaps(site.reader, request[CALLER], hour=hour, outcome=outcome)
        key_use = None if report.service is None else await read_key_use(site.reader.database, report.at)
        values = {**_values(report, gaps), "key_use": key_use}
        if "X-Refresh" in request.headers:
            return await site.renderer.part(request, "health_now.html", **values)
        return await site.renderer.page(request, "health.html", **values)

    return [web.get("/health", page)]


def _values(report: HealthReport, gaps: GapsOfHours | None) -> dict[str, Any]:
    """What the template shows."""
    lines = verdict(report)
    return {
        "as_of": report.at,
        "report": report,
        "lines": lines,
        "wrong": sum(line.status is CheckStatus.WRONG for line in lines),
        "line_marks": MARKS,
        "missed_text": ", ".join(f"{slots:,} {reason}" for reason, slots in report.missed().items()),
        "late": report.lateness(),
        "bars": outcome_bars(report.hours),
        "bar_size": (WIDTH, BAR, HEIGHT),
        "outcomes": _outcome_sums(report),
        "reasons": _reasons(report),
        "circuits": {} if report.service is None else {one.data_center: one for one in report.service.open_circuits()},
        "gaps": gaps,
        "gap_groups": [] if gaps is None else gaps.by_reason(),
        "share_text": share_text,
        "size_of": size_of,
        "late_text": _late_text,
        "month_text": lambda month: f"{month:%B %Y}",
        "remedy_for": remedy_for,
        "address": _address,
    }


def _late_text(seconds: int | None) -> str:
    """Whole seconds that were rounded down: 0 is anything below one second."""
    return span((seconds or 0) + 1)


def _outcome_sums(report: HealthReport) -> list[tuple[str, int]]:
    """Slots by outcome, `ok` first."""
    sums = {outcome.value: sum(hour.outcomes.get(outcome, 0) for hour in report.hours) for outcome in Outcome}
    return [(outcome, slots) for outcome, slots in sums.items() if slots]


@dataclass(slots=True)
class Reason:
    """Unknown slots for one reason, and the data centres that have any, those with the most first."""

    outcome: str
    reason: str | None
    slots: int = 0
    where: list[str] = field(default_factory=list)


def _reasons(report: HealthReport) -> list[Reason]:
    """The reasons of unknown slots, the most frequent first."""
    found: dict[tuple[str, str | None], Reason] = {}
    for one in report.unknown():
        reason = found.setdefault((one.outcome, one.reason), Reason(one.outcome, one.reason))
        reason.slots += one.slots
        reason.where.append(one.data_center)
    return sorted(found.values(), key=lambda reason: -reason.slots)


def _address(hour: datetime | None = None, outcome: str | None = None) -> str:
    """The address of this page with the gaps of an hour, or of an outcome."""
    chosen = {"hour": "" if hour is None else f"{hour:%Y-%m-%dT%H:%MZ}", "outcome": outcome or ""}
    query = urlencode({name: value for name, value in chosen.items() if value})
    return f"/health?{query}#gaps" if query else "/health"


def _hour(text: str) -> datetime | None:
    if not text:
        return None
    try:
        hour = datetime.fromisoformat(text)
    except ValueError:
        hour = None
    if hour is None or hour.tzinfo is None:
        raise UsageError(f"{text[:40]!r} is not an hour", "write it as 2026-11-27T14:00Z")
    return hour


def _outcome(text: str) -> str | None:
    if text and text not in set(Outcome):
        raise UsageError(f"{text[:40]!r} is not an outcome", f"write one of {', '.join(Outcome)}")
    return text or None


def _csv(report: HealthReport) -> web.Response:
    """A row for each hour and outcome that occurred."""
    rows = [(hour.at.isoformat(), outcome, slots) for hour in report.hours for outcome, slots in hour.outcomes.items()]
    text = "".join(f"{at},{outcome},{slots}\r\n" for at, outcome, slots in rows)
    return web.Response(text=f"hour,outcome,slots\r\n{text}", content_type="text/csv")
