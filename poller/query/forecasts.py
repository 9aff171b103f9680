"""Forecasts of the orgs a reader asks for, computed now, and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from poller.query.capacity import forecast_orgs
from poller.store.capacity.forecasts import read_quantiles
from poller.store.capacity.histories import pages_of_orgs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from poller.query.capacity import OrgForecast
    from poller.query.selection import Selection
    from poller.store.capacity.forecasts import Quantiles
    from poller.store.capacity.histories import OrgToForecast
    from poller.store.database import Database

_PAGE: Final = 250
"""Orgs forecast together."""


@dataclass(frozen=True, slots=True)
class ForecastQuestion:
    """What to forecast: one user type of these orgs, `horizon` days ahead, from what is known at `made_at`."""

    orgs: Selection
    user_type: str
    horizon: int
    made_at: datetime

    def fields(self, forecast: OrgForecast) -> dict[str, Any]:
        """One forecast as a JSON object."""
        record = forecast.record
        return {
            "org": forecast.org,
            "user_type": self.user_type,
            "made_at": self.made_at,
            "level": record.level,
            "per_day": round(record.per_day, 4),
            "method": record.method,
            "horizon_days": self.horizon,
            "points": [asdict(point) for point in forecast.points],
            "seats": record.seats,
            "exhausted_on": record.exhausted_on,
            "exhausted_low": record.exhausted_low,
            "exhausted_high": record.exhausted_high,
            "backtest": {
                "windows": record.backtest_windows,
                "scaled_error": record.backtest_error,
                "coverage80": record.backtest_coverage80,
            },
        }


@dataclass(frozen=True, slots=True)
class ForecastPage:
    """Forecasts of some orgs, and how many orgs have no known count to forecast from."""

    forecasts: list[OrgForecast]
    without_counts: int


async def stream_forecasts(database: Database, question: ForecastQuestion) -> AsyncIterator[ForecastPage]:
    """The forecasts, a page of orgs at a time; without a selection, those of every org that is polled."""
    async for page in forecasts_of(database, await question.orgs.ids(database), question):
        yield page


async def forecasts_of(
    database: Database, org_ids: Sequence[int] | None, question: ForecastQuestion
) -> AsyncIterator[ForecastPage]:
    """The forecasts of orgs by id, None: of every org that is polled. The orgs of the question do not count."""
    quantiles = await read_quantiles(database)
    async for orgs in pages_of_orgs(database, page=_PAGE, org_ids=org_ids):
        made = await _forecast(database, orgs, question, quantiles)
        yield ForecastPage(made, len(orgs) - len(made))


async def forecast_org(database: Database, org_id: int, question: ForecastQuestion) -> OrgForecast | None:
    """The forecast of one org; None without a known count. The orgs of the question do not count."""
    quantiles = await read_quantiles(database)
    async for orgs in pages_of_orgs(database, page=1, org_ids=[org_id]):
        made = await _forecast(database, orgs, question, quantiles)
        return made[0] if made else None
    return None


async def _forecast(
    database: Database, orgs: Sequence[OrgToForecast], question: ForecastQuestion, quantiles: Quantiles | None
) -> list[OrgForecast]:
    return await forecast_orgs(
        database,
        orgs,
        user_type=question.user_type,
        horizon=question.horizon,
        quantiles=quantiles,
        today=question.made_at.date(),
    )
