"""What a monthly report says about orgs: a few statements read it for a page of orgs at once."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from poller.core.calendar_month import CalendarMonth
from poller.core.coverage import coverage_of
from poller.core.errors import UsageError
from poller.core.model import UserType
from poller.query.anomalies import Anomaly
from poller.query.forecasts import ForecastQuestion, forecasts_of
from poller.query.monthly_org import (
    OrgMonth,
    ReportPeriod,
    history_of,
    months_of,
    polls_of,
    seats_of,
    unknown_reasons,
    watched,
)
from poller.query.selection import Selection
from poller.store.capacity.monthly import anomalies_between, orgs_in_report, seat_changes_of
from poller.store.orgs.selection import find_selected
from poller.store.reading import reading
from poller.store.series.monthly import daily_columns, type_months, unknown_polls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from poller.query.capacity import OrgForecast
    from poller.store.capacity.monthly import OrgInReport, SeatChanges
    from poller.store.database import Database
    from poller.store.queries import Connection, Row
    from poller.store.series.monthly import DailyColumns, TypeMonth, UnknownPolls

FORECAST_DAYS: Final = 92
"""Days of the forecast that a report shows."""
_AT_ONCE: Final = 100
"""Orgs read together."""
T = TypeVar("T", bound="tuple[Any, ...] | Row")


def period_of(text: str | None, now: datetime) -> ReportPeriod:
    """The period of a month such as `2026-10`; None: the last month that is over. A `UsageError` for a wrong one."""
    this_month = CalendarMonth.of(now.date())
    if text is None:
        return ReportPeriod(this_month.later(-1), now)
    try:
        month = CalendarMonth.parse(text)
    except ValueError as wrong:
        raise UsageError(str(wrong), "write it as 2026-10") from None
    if month > this_month:
        raise UsageError(f"{month} is in the future", f"name {this_month} or an earlier month")
    return ReportPeriod(month, now)


async def report_orgs(database: Database, orgs: Selection, period: ReportPeriod) -> list[OrgInReport]:
    """The orgs of a report by name: those not removed before the month, and removed ones that are named.

    A `UsageError` where there are none.
    """
    if orgs.names:
        ids = list(await orgs.find(database, removed=True))
        return await orgs_in_report(database, ids, period.end, None)
    found = await find_selected(
        database, org_ids=None, tags=orgs.tags, states=orgs.states, data_centers=orgs.data_centers, removed=True
    )
    kept = await orgs_in_report(database, list(found), period.end, period.begin)
    if not kept:
        raise orgs.nothing_found() if orgs.is_filter else UsageError("there are no orgs", "import some first")
    return kept


async def stream_months(
    database: Database, orgs: Selection, period: ReportPeriod, progress: Callable[[int, int], None]
) -> AsyncIterator[OrgMonth]:
    """What the report says about each org, by name; `progress(done, total)` counts orgs.

    Orgs are read a page at a time, so that memory does not grow with their number.
    """
    found = await report_orgs(database, orgs, period)
    for done in range(0, len(found), _AT_ONCE):
        progress(done, len(found))
        for one in await read_months(database, found[done : done + _AT_ONCE], period):
            yield one
    progress(len(found), len(found))


async def read_months(database: Database, orgs: Sequence[OrgInReport], period: ReportPeriod) -> list[OrgMonth]:
    """What the report says about these orgs, in their order."""
    async with reading(database) as connection:
        found = await _stored(connection, [org.org_id for org in orgs], period)
    forecasts = await _forecasts(database, orgs, period)
    return [_org_month(org, found, forecasts.get(org.org_id), period) for org in orgs]


@dataclass(frozen=True, slots=True)
class _RowsByOrg:
    """The rows of several orgs, by the id of the org."""

    columns: Mapping[int, DailyColumns]
    types: Mapping[int, Sequence[TypeMonth]]
    year_ago: Mapping[int, Sequence[TypeMonth]]
    unknown: Mapping[int, Sequence[UnknownPolls]]
    seats: Mapping[int, SeatChanges]
    anomalies: Mapping[int, Sequence[Row]]


async def _stored(connection: Connection, ids: Sequence[int], period: ReportPeriod) -> _RowsByOrg:
    after = period.last_day + timedelta(days=1)
    year_ago, until = period.year_ago
    columns = await daily_columns(
        connection, ids, UserType.ACTIVE, period.history_begin, period.history_last + timedelta(days=1)
    )
    seats = await seat_changes_of(connection, ids, period.now)
    return _RowsByOrg(
        columns={row.org_id: row for row in columns},
        types=_by_org(await type_months(connection, ids, period.month.first, after)),
        year_ago=_by_org(await type_months(connection, ids, year_ago, until + timedelta(days=1))),
        unknown=_by_org(await unknown_polls(connection, ids, period.begin, period.end)),
        seats={row.org_id: row for row in seats},
        anomalies=_by_org(await anomalies_between(connection, ids, period.month.first, after)),
    )


async def _forecasts(database: Database, orgs: Sequence[OrgInReport], period: ReportPeriod) -> dict[int, OrgForecast]:
    """Forecasts of the orgs that were not removed, from everything that is known now."""
    question = ForecastQuestion(Selection(), UserType.ACTIVE, FORECAST_DAYS, period.now)
    ids = [org.org_id for org in orgs if org.removed_at is None]
    found: dict[int, OrgForecast] = {}
    async for page in forecasts_of(database, ids, question):
        found |= {forecast.record.org_id: forecast for forecast in page.forecasts}
    return found


def _org_month(org: OrgInReport, rows: _RowsByOrg, forecast: OrgForecast | None, period: ReportPeriod) -> OrgMonth:
    columns = rows.columns.get(org.org_id)
    types = {row.user_type: row for row in rows.types.get(org.org_id, ())}
    year_ago = {row.user_type: row.last for row in rows.year_ago.get(org.org_id, ()) if row.last is not None}
    active = types.get(UserType.ACTIVE)
    changes = rows.seats.get(org.org_id)
    begin, end = watched(org, period.begin, period.end)
    reasons = unknown_reasons(rows.unknown.get(org.org_id, ()))
    return OrgMonth(
        period=period,
        org=org,
        types=types,
        year_ago=year_ago,
        history=history_of(columns, period),
        months=months_of(org, columns, period),
        coverage=coverage_of(polls_of(columns), reasons, begin, end, paused_since=org.paused_at),
        seats=seats_of(org, active, period.end),
        seat_line=[] if changes is None else list(zip(changes.days, changes.seats, strict=True)),
        anomalies=[_anomaly(org, row) for row in rows.anomalies.get(org.org_id, ())],
        forecast=forecast,
    )


def _anomaly(org: OrgInReport, row: Row) -> Anomaly:
    return Anomaly(org=org.org, **{name: value for name, value in dict(row).items() if name != "org_id"})


def _by_org(rows: Iterable[T]) -> dict[int, list[T]]:
    """Rows by the id of the org, which each begins with."""
    found: dict[int, list[T]] = defaultdict(list)
    for row in rows:
        found[row[0]].append(row)
    return found
