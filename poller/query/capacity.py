"""Computes forecasts and anomalies of orgs from the histories in the store, in a thread beside the event loop."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from poller.analysis.anomalies import in_org
from poller.analysis.forecast import Forecasts, fleet_quantiles, forecast
from poller.analysis.history import MOST_DAYS
from poller.analysis.quantiles import as_lists, as_matrices
from poller.analysis.run_out import run_out_days
from poller.analysis.series import dense, unknown
from poller.core.model import USER_TYPES
from poller.store.capacity.anomalies import AnomalyRecord
from poller.store.capacity.forecasts import ForecastRecord
from poller.store.capacity.histories import daily_histories

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.store.capacity.forecasts import Quantiles
    from poller.store.capacity.histories import DailyHistory, OrgToForecast
    from poller.store.database import Database

HISTORY: Final = timedelta(days=MOST_DAYS)
YEAR: Final = 365
SEAT_TYPE: Final = "ActiveUsers"
"""The user type that takes seats."""
JUDGED: Final = timedelta(days=400)
"""How far back each search for anomalies goes."""
_LEAD: Final = timedelta(days=365)
"""Additional history before those days: rules look back a year."""


@dataclass(frozen=True, slots=True)
class Point:
    """One day of a forecast, in users."""

    day: date
    mean: float
    low80: float
    high80: float
    low95: float
    high95: float


@dataclass(frozen=True, slots=True)
class OrgForecast:
    """The forecast of one user type of one org."""

    org: str
    record: ForecastRecord
    points: tuple[Point, ...]


async def forecast_orgs(
    database: Database,
    orgs: Sequence[OrgToForecast],
    *,
    user_type: str,
    horizon: int,
    quantiles: Quantiles | None,
    today: date,
) -> list[OrgForecast]:
    """Forecasts of these orgs that have any known count, in their order; the run-out day is searched for a year."""
    rows = await daily_histories(database, [org.org_id for org in orgs], [user_type], today - HISTORY)
    found = {row.org_id: row for row in rows}
    chosen = [org for org in orgs if org.org_id in found]
    if not chosen:
        return []
    return await asyncio.to_thread(_forecasts, chosen, [found[org.org_id] for org in chosen], horizon, quantiles)


async def learn_quantiles(database: Database, org_ids: Sequence[int], today: date) -> Quantiles:
    """The quantiles of the errors a forecast of these orgs would have made."""
    rows = await daily_histories(database, org_ids, [SEAT_TYPE], today - HISTORY)
    histories = [dense(row.days, row.counts) for row in rows]
    return as_lists(await asyncio.to_thread(fleet_quantiles, histories))


async def find_anomalies(database: Database, org_ids: Sequence[int], today: date) -> list[AnomalyRecord]:
    """The anomalies of these orgs in the last `JUDGED` days."""
    types = [user_type.value for user_type in USER_TYPES]
    rows = await daily_histories(database, org_ids, types, today - JUDGED - _LEAD)
    return await asyncio.to_thread(_anomalies, rows, today)


def _forecasts(
    orgs: Sequence[OrgToForecast], rows: Sequence[DailyHistory], horizon: int, quantiles: Quantiles | None
) -> list[OrgForecast]:
    histories = [dense(row.days, row.counts) for row in rows]
    learned = None if quantiles is None else as_matrices(quantiles)
    made: list[OrgForecast] = []
    for chunk in forecast(histories, YEAR, learned):
        for place, row in enumerate(chunk.rows.tolist()):
            made.append(_org_forecast(orgs[row], rows[row], chunk, place, horizon))
    return made


def _org_forecast(org: OrgToForecast, row: DailyHistory, chunk: Forecasts, place: int, horizon: int) -> OrgForecast:
    last = date.fromordinal(row.days[-1])
    on, low, high = (
        None if days == 0 else last + timedelta(days=days) for days in run_out_days(chunk, place, org.seats)
    )
    backtest = chunk.backtest
    record = ForecastRecord(
        org_id=org.org_id,
        user_type=row.user_type,
        last_day=last,
        level=float(chunk.level[place]),
        per_day=float(chunk.per_day[place]),
        method=chunk.method(place),
        seats=org.seats,
        # Without a trend, the forecast is flat and no day is named.
        exhausted_on=on,
        exhausted_low=low,
        exhausted_high=high,
        backtest_error=_known(float(backtest.scaled_error[place])),
        backtest_coverage80=_known(float(backtest.coverage80[place])),
        backtest_windows=int(backtest.windows[place]),
    )
    lines = (chunk.mean, chunk.low80, chunk.high80, chunk.low95, chunk.high95)
    numbers = zip(*(line[place, :horizon].tolist() for line in lines), strict=True)
    points = tuple(Point(last + timedelta(days=ahead), *five) for ahead, five in enumerate(numbers, start=1))
    return OrgForecast(org.name, record, points)


def _known(number: float) -> float | None:
    return None if math.isnan(number) else number


def _anomalies(rows: Sequence[DailyHistory], today: date) -> list[AnomalyRecord]:
    of_org: dict[int, list[DailyHistory]] = {}
    for row in rows:
        of_org.setdefault(row.org_id, []).append(row)
    found: list[AnomalyRecord] = []
    last, since = today.toordinal(), (today - JUDGED).toordinal()
    for org_id, histories in of_org.items():
        first = min(history.days[0] for history in histories)
        counts = {user_type.value: unknown(last - first + 1) for user_type in USER_TYPES}
        counts |= {one.user_type: dense(one.days, one.counts, first, last) for one in histories}
        for one in in_org(counts):
            if first + one.day >= since:
                day = date.fromordinal(first + one.day)
                numbers = (one.before, one.after, one.expected_low, one.expected_high)
                found.append(AnomalyRecord(org_id, one.user_type, day, one.kind, *numbers, one.severity, one.why))
    return found
