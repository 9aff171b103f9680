"""What a page says about the future: expected users, when seats run out, and how wrong such forecasts were before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.core.calendar_month import CalendarMonth
from poller.core.quantities import UNKNOWN, change, count, day, number
from poller.reports.monthly.facts import Fact
from poller.reports.monthly.seats import is_full
from poller.reports.monthly.wording import full_day

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from poller.query.capacity import OrgForecast, Point
    from poller.query.monthly_org import OrgMonth

SOON_DAYS: Final = 60
"""A run-out day within this number of days is marked."""
_SMALL: Final = 10
_MONTH_DAYS: Final = 30


def run_out_tile(found: OrgMonth) -> Fact:
    """The day the seats run out with its range, or why no day is named."""
    name, today = "Seats run out", found.period.now.date()
    if _is_full_now(found):
        return Fact(name, "now", f"no seat is free on {day(today, today)}", "bad")
    if found.forecast is None:
        return Fact(name, UNKNOWN, "removed" if found.org.removed_at else "no forecast without counts")
    record = found.forecast.record
    if record.seats is None:
        return Fact(name, UNKNOWN, "the number of seats is not known")
    if record.exhausted_on is None:
        earliest = "" if record.exhausted_low is None else f"{day(record.exhausted_low)} at the earliest"
        return Fact(name, "not in a year", earliest or ("no trend" if record.per_day == 0 else "by the trend"))
    if record.exhausted_on <= today:
        return Fact(name, "any day now", _range(found.forecast, today), "bad")
    soon = (record.exhausted_on - today).days <= SOON_DAYS
    return Fact(name, day(record.exhausted_on), _range(found.forecast, today), "soon" if soon else "")


def outlook_facts(found: OrgMonth) -> Iterator[Fact]:
    """The forecast as of now, with its past error; why there is none, where there is none."""
    forecast = found.forecast
    if forecast is None:
        why = "removed customers are not forecast" if found.org.removed_at else "no count is known to forecast from"
        yield Fact("Forecast", UNKNOWN, why)
        return
    for point in _month_ends(forecast):
        spread = f"{number(point.low80)} to {number(point.high80)} (4 in 5)"
        yield Fact(day(point.day), f"≈ {number(point.mean)}", spread)
    yield Fact("Trend", *_trend(forecast.record.per_day))
    tile = run_out_tile(found)
    yield Fact("Seats run out", tile.value, tile.detail, tile.mark)
    yield Fact("Past error", *_past_error(forecast))
    made = f"from counts until {day(forecast.record.last_day)}"
    yield Fact("Made", day(found.period.now.date()), made)


def _is_full_now(found: OrgMonth) -> bool:
    """Whether no seat is free today. After the month, the last count that the forecast knows decides."""
    if not found.period.is_over or found.forecast is None or found.forecast.record.seats is None:
        return found.org.removed_at is None and is_full(found)
    return found.forecast.record.level >= found.forecast.record.seats


def _range(forecast: OrgForecast, today: date) -> str:
    """The range of the run-out day that holds in four of five cases."""
    low, high = forecast.record.exhausted_low, forecast.record.exhausted_high
    first = "now" if low is None or low <= today else day(low)
    return f"from {first} on" if high is None else f"{first} to {day(high)} (4 in 5)"


def _month_ends(forecast: OrgForecast) -> list[Point]:
    """The last day of each of the next months that the forecast reaches."""
    return [point for point in forecast.points if point.day == CalendarMonth.of(point.day).last][:3]


def _trend(per_day: float) -> tuple[str, str]:
    if per_day == 0:
        return "level", "no change is expected"
    moved = per_day * _MONTH_DAYS
    users = change(moved) if abs(moved) >= _SMALL else f"{moved:+.1f}".replace("-", "−")
    return users, "users a month"


def _past_error(forecast: OrgForecast) -> tuple[str, str]:
    record = forecast.record
    if record.backtest_error is None or not record.backtest_windows:
        return UNKNOWN, "the past is too short for a test"
    tests = f"the usual monthly change; {count(record.backtest_windows, 'test')}"
    if record.backtest_coverage80 is not None:
        tests += f", {round(100 * record.backtest_coverage80)} % in the range"
    return f"{record.backtest_error:.1f} ×", tests


def forecast_words(found: OrgMonth) -> str:
    """The forecast in one sentence for the chart's label; empty where there is none."""
    if found.forecast is None or not found.forecast.points:
        return ""
    last = found.forecast.points[-1]
    return f"Forecast for {full_day(last.day)}: {count(round(last.mean), 'user')}."
