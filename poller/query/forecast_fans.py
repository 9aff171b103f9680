"""The days of an org's stored forecast, for a chart: computed when they are first shown, then kept in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poller.query.capacity import SEAT_TYPE, forecast_orgs
from poller.store.capacity.forecasts import read_quantiles
from poller.store.capacity.histories import OrgToForecast
from poller.store.capacity.org_history import stored_forecast

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from poller.core.org_facts import OrgFacts
    from poller.query.capacity import Point
    from poller.store.capacity.forecasts import ForecastRecord
    from poller.store.database import Database
    from poller.store.queries import Queries

FAN_DAYS: Final = 90
_MOST_KEPT: Final = 500
"""Orgs whose days are kept: about 20 MB."""


@dataclass(frozen=True, slots=True)
class OrgPrediction:
    """The stored forecast of the users that take seats, and when the service made it."""

    record: ForecastRecord
    made_at: datetime


async def read_prediction(queries: Queries, org_id: int) -> OrgPrediction | None:
    """The latest stored forecast of an org; None if there is none."""
    found = await stored_forecast(queries, org_id, SEAT_TYPE)
    return None if found is None else OrgPrediction(*found)


class ForecastFans:
    """The next `FAN_DAYS` days of each org, by the time of its stored forecast."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, datetime], Sequence[Point]] = {}

    async def days(
        self, database: Database, facts: OrgFacts, prediction: OrgPrediction | None, days: int
    ) -> Sequence[Point]:
        """The first `days` days of the forecast; none without a stored one. It takes about 10 ms the first time."""
        if prediction is None or not days:
            return ()
        key = (facts.org_id, prediction.made_at)
        if key not in self._kept:
            if len(self._kept) >= _MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = await _computed(database, facts, prediction)
        return self._kept[key][:days]


async def _computed(database: Database, facts: OrgFacts, prediction: OrgPrediction) -> Sequence[Point]:
    made = await forecast_orgs(
        database,
        [OrgToForecast(facts.org_id, facts.org, facts.seats)],
        user_type=SEAT_TYPE,
        horizon=FAN_DAYS,
        quantiles=await read_quantiles(database),
        today=prediction.made_at.date(),
    )
    return made[0].points if made else ()
