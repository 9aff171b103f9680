"""Reads what changed at one org over time: its seats, and the latest forecast of its users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.store.capacity.forecasts import ForecastRecord

if TYPE_CHECKING:
    from datetime import date, datetime

    from poller.store.queries import Queries, Row


async def seat_changes(queries: Queries, org_id: int) -> list[tuple[datetime, int]]:
    """Returns each time at which a reading showed another number of seats, and that number; the oldest first."""
    return [(row[0], row[1]) for row in await queries.fetch(_CHANGES, org_id)]


async def stored_forecast(queries: Queries, org_id: int, user_type: str) -> tuple[ForecastRecord, datetime] | None:
    """Returns the latest forecast that the service stored, and when it was made; None: none was made."""
    rows = await queries.fetch(_FORECAST, org_id, user_type)
    return None if not rows else (ForecastRecord(*rows[0][1:]), rows[0][0])


async def org_anomalies(queries: Queries, org_id: int, since: date, until: date) -> list[Row]:
    """Returns the anomalies of the org on the days from `since` to `until`, the newest first."""
    return await queries.fetch(_ANOMALIES, org_id, since, until)


# org_history.seat_changes
_CHANGES: Final = """
SELECT taken_at, purchased FROM (
    SELECT taken_at, purchased, lag(purchased) OVER (ORDER BY taken_at) AS before
    FROM seat_readings WHERE org_id = $1 AND purchased IS NOT NULL
) AS readings
WHERE purchased IS DISTINCT FROM before ORDER BY taken_at
"""

# org_history.anomalies
_ANOMALIES: Final = """
SELECT org, user_type, day, kind, before, after, expected_low, expected_high, severity, why FROM anomalies
WHERE org_id = $1 AND day BETWEEN $2 AND $3 ORDER BY day DESC, kind, user_type
"""

# org_history.forecast
_FORECAST: Final = """
SELECT made_at, org_id, user_type, last_day, level, per_day, method, seats, exhausted_on, exhausted_low,
       exhausted_high, backtest_error, backtest_coverage80, backtest_windows
FROM forecast_results WHERE org_id = $1 AND user_type = $2
"""
