"""Stores the latest forecast of each org, and the quantiles of forecast errors from which intervals are computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from poller.store.database import Database

Quantiles = tuple[list[list[float]], list[list[float]]]
"""For 80 and 95 %: one row per horizon, one column per pool of series with a similar expected change."""


@dataclass(frozen=True, slots=True)
class ForecastRecord:
    """One stored forecast; `level` and `per_day` are users. None: not known, or not within a year."""

    org_id: int
    user_type: str
    last_day: date
    level: float
    per_day: float
    method: str
    seats: int | None
    exhausted_on: date | None
    exhausted_low: date | None
    exhausted_high: date | None
    backtest_error: float | None
    backtest_coverage80: float | None
    backtest_windows: int


async def save_forecasts(database: Database, records: Sequence[ForecastRecord], made_at: datetime) -> None:
    """Replaces the forecasts of these orgs; skips orgs that no longer exist."""
    if records:
        columns = zip(*(_fields(one) for one in records), strict=True)
        await database.execute(_SAVE, made_at, *(list(column) for column in columns))


async def delete_old_forecasts(database: Database, before: datetime) -> None:
    """Deletes forecasts made before that time: their orgs are now paused, removed or without counts."""
    # forecasts.delete_old
    await database.execute("DELETE FROM forecast_results WHERE made_at < $1", before)


async def save_quantiles(database: Database, quantiles: Quantiles, series: int, made_at: datetime) -> None:
    """Replaces the quantiles; `series` is the number of series they were computed from."""
    await database.execute(_SAVE_QUANTILES, made_at, series, *quantiles)


async def read_quantiles(database: Database) -> Quantiles | None:
    """Returns the stored quantiles; None before the first forecast of the fleet."""
    # forecasts.quantiles
    row = await database.fetchrow("SELECT errors80, errors95 FROM forecast_quantiles")
    return None if row is None else (row[0], row[1])


def _fields(one: ForecastRecord) -> tuple[object, ...]:
    return (
        one.org_id,
        one.user_type,
        one.last_day,
        one.level,
        one.per_day,
        one.method,
        one.seats,
        one.exhausted_on,
        one.exhausted_low,
        one.exhausted_high,
        one.backtest_error,
        one.backtest_coverage80,
        one.backtest_windows,
    )


# forecasts.save: locks the orgs, because a row cannot refer to an org that was purged.
_SAVE: Final = """
INSERT INTO forecast_results (made_at, org_id, user_type, last_day, level, per_day, method, seats, exhausted_on,
                              exhausted_low, exhausted_high, backtest_error, backtest_coverage80, backtest_windows)
SELECT $1, f.* FROM unnest($2::int[], $3::text[], $4::date[], $5::float8[], $6::float8[], $7::text[], $8::int[],
                           $9::date[], $10::date[], $11::date[], $12::float8[], $13::float8[], $14::int[])
     AS f (org_id, user_type, last_day, level, per_day, method, seats, exhausted_on, exhausted_low, exhausted_high,
          backtest_error, backtest_coverage80, backtest_windows)
JOIN (SELECT id FROM orgs WHERE id = ANY($2::int[]) FOR KEY SHARE) o ON o.id = f.org_id
ON CONFLICT (org_id, user_type) DO UPDATE SET
    made_at = excluded.made_at, last_day = excluded.last_day, level = excluded.level, per_day = excluded.per_day,
    method = excluded.method, seats = excluded.seats, exhausted_on = excluded.exhausted_on,
    exhausted_low = excluded.exhausted_low, exhausted_high = excluded.exhausted_high,
    backtest_error = excluded.backtest_error, backtest_coverage80 = excluded.backtest_coverage80,
    backtest_windows = excluded.backtest_windows
"""

# forecasts.save_quantiles
_SAVE_QUANTILES: Final = """
INSERT INTO forecast_quantiles (made_at, series, errors80, errors95) VALUES ($1, $2, $3::float8[], $4::float8[])
ON CONFLICT (alone) DO UPDATE SET made_at = excluded.made_at, series = excluded.series, errors80 = excluded.errors80,
                                  errors95 = excluded.errors95
"""
