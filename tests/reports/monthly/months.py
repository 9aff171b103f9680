"""Months of orgs made without a database: what a query would return, with as much or as little as a test wants."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from poller.core.calendar_month import CalendarMonth
from poller.core.coverage import coverage_of
from poller.core.model import USER_TYPES
from poller.query.anomalies import Anomaly
from poller.query.capacity import OrgForecast, Point
from poller.query.monthly_org import OrgMonth, ReportPeriod, history_of, months_of, polls_of, seats_of
from poller.store.capacity.forecasts import ForecastRecord
from poller.store.capacity.monthly import OrgInReport
from poller.store.series.monthly import DailyColumns, TypeMonth

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOW: Final = datetime(2026, 11, 3, 9, 30, tzinfo=UTC)
PERIOD: Final = ReportPeriod(CalendarMonth(2026, 10), NOW)
FIRST: Final = date(2025, 10, 1)


def org(name: str = "Acme Ltd", **changes: Any) -> OrgInReport:
    """An org with a contract of 120 seats for 20 EUR, polled for more than a year."""
    given = OrgInReport(
        org_id=1,
        org=name,
        data_center="eu",
        edition="enterprise",
        tags=["gold", "emea"],
        created_at=datetime(2025, 9, 1, tzinfo=UTC),
        paused_at=None,
        removed_at=None,
        first_slot=datetime(2025, 9, 1, tzinfo=UTC),
        licences=None,
        contract_seats=120,
        price=None,
        currency="EUR",
        renews_on=date(2026, 12, 20),
        read_seats=None,
        read_used=None,
        read_at=None,
        code=None,
        remedy=None,
    )
    return given._replace(**changes)


def anomaly(day: date, why: str = "2 more administrators than the day before", severity: str = "warning") -> Anomaly:
    return Anomaly("Acme Ltd", "AdminUsers", day, "admins_up", 3, 5, 0, 3, severity, why)


def org_month(
    about: OrgInReport | None = None,
    counts: Mapping[date, int | None] | None = None,
    *,
    period: ReportPeriod = PERIOD,
    reasons: Mapping[date, Mapping[str, int]] | None = None,
    anomalies: Sequence[Anomaly] = (),
    forecast: OrgForecast | None = None,
) -> OrgMonth:
    """The month of an org with these counts of active users; by default they grow from 80 on, by one in five days."""
    about = about or org()
    if counts is None:
        days = (period.history_last - FIRST).days + 1
        counts = {FIRST + timedelta(days=place): 80 + place // 5 for place in range(days)}
    columns = _columns(about.org_id, counts)
    types = _types(about.org_id, {day: count for day, count in counts.items() if CalendarMonth.of(day) == period.month})
    year_ago = counts.get(period.year_ago[1])
    return OrgMonth(
        period=period,
        org=about,
        types=types,
        year_ago={} if year_ago is None else {one.value: year_ago for one in USER_TYPES},
        history=history_of(columns, period),
        months=months_of(about, columns, period),
        coverage=coverage_of(polls_of(columns), reasons or {}, period.begin, period.end),
        seats=seats_of(about, types.get("ActiveUsers"), period.end),
        seat_line=[],
        anomalies=anomalies,
        forecast=forecast,
    )


def forecast_from(last: date, users: int, seats: int | None = 120) -> OrgForecast:
    """A forecast that grows by a user in five days."""
    points = tuple(
        Point(last + timedelta(days=n), users + n / 5, users, users + n / 2, users - n / 5, users + n)
        for n in range(1, 93)
    )
    record = ForecastRecord(
        org_id=1,
        user_type="ActiveUsers",
        last_day=last,
        level=users,
        per_day=0.2,
        method="trend",
        seats=seats,
        exhausted_on=None if seats is None else last + timedelta(days=5 * (seats - users)),
        exhausted_low=None if seats is None else last + timedelta(days=2 * (seats - users)),
        exhausted_high=None,
        backtest_error=0.6,
        backtest_coverage80=0.85,
        backtest_windows=8,
    )
    return OrgForecast("Acme Ltd", record, points)


def changed(found: OrgMonth, **changes: Any) -> OrgMonth:
    """The month with other values."""
    return replace(found, **changes)


def _columns(org_id: int, counts: Mapping[date, int | None]) -> DailyColumns:
    days = sorted(counts)
    values = [counts[day] for day in days]
    known = [0 if value is None else 24 for value in values]
    ordinals = [day.toordinal() for day in days]
    return DailyColumns(org_id, ordinals, values, values, values, known, [24 - one for one in known])


def _types(org_id: int, counts: Mapping[date, int | None]) -> dict[str, TypeMonth]:
    known = sorted((day, count) for day, count in counts.items() if count is not None)
    if not known:
        return {}
    (first_day, first), (last_day, last) = known[0], known[-1]
    low, high = min(count for _, count in known), max(count for _, count in known)
    samples = 24 * len(known)
    return {
        one.value: TypeMonth(org_id, one.value, first_day, first, last_day, last, low, high, samples)
        for one in USER_TYPES
    }
