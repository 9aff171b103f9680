"""Maintenance tasks that compute forecasts and anomalies; repeated runs correct earlier results."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from poller.query.capacity import JUDGED, SEAT_TYPE, find_anomalies, forecast_orgs, learn_quantiles
from poller.store.capacity.anomalies import replace_anomalies
from poller.store.capacity.forecasts import delete_old_forecasts, save_forecasts, save_quantiles
from poller.store.capacity.histories import pages_of_orgs

if TYPE_CHECKING:
    from datetime import datetime

    from poller.store.database import Database

LEARNED_FROM: Final = 2_000
"""The quantiles are computed from this many orgs: more would not change them."""
_PAGE: Final = 250
_ANOMALY_PAGE: Final = 50
_KEPT: Final = timedelta(days=2)
"""A forecast that was not renewed for this time belongs to an org without new counts."""


async def forecast_fleet(database: Database, now: datetime) -> str:
    """Forecasts the users that take seats of every polled org, and stores when its seats run out."""
    today = now.date()
    learned: list[int] = []
    async for page in pages_of_orgs(database, page=_PAGE):
        learned += [org.org_id for org in page]
        if len(learned) >= LEARNED_FROM:
            break
    if not learned:
        return "no orgs"
    quantiles = await learn_quantiles(database, learned[:LEARNED_FROM], today)
    await save_quantiles(database, quantiles, min(len(learned), LEARNED_FROM), now)
    made = 0
    async for page in pages_of_orgs(database, page=_PAGE):
        found = await forecast_orgs(database, page, user_type=SEAT_TYPE, horizon=1, quantiles=quantiles, today=today)
        await save_forecasts(database, [one.record for one in found], now)
        made += len(found)
    await delete_old_forecasts(database, now - _KEPT)
    return f"{made} orgs forecast"


async def search_anomalies(database: Database, now: datetime) -> str:
    """Searches the counts of every polled org again, and replaces the stored anomalies by those that are found."""
    today, new = now.date(), 0
    async for page in pages_of_orgs(database, page=_ANOMALY_PAGE):
        ids = [org.org_id for org in page]
        new += await replace_anomalies(database, ids, today - JUDGED, await find_anomalies(database, ids, today), now)
    return f"{new} new anomalies"
