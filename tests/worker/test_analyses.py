"""The maintenance tasks of forecasts and anomalies, over real histories in PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from poller.core.model import USER_TYPES
from poller.worker.analyses import forecast_fleet, search_anomalies
from tests.store.capacity.histories import TODAY, YESTERDAY, org_with, set_counts

if TYPE_CHECKING:
    from poller.store.database import Database

NOW = datetime.now(UTC)
GROWING = [int(100 + 0.5 * day) for day in range(300)]


def quiet_org(days: int = 200) -> dict[str, list[int | None]]:
    """Consistent counts of an org without any anomaly."""
    rng = np.random.default_rng(4)
    active = [int(count) for count in 200 + np.cumsum((rng.random(days) < 0.3) * rng.choice([-1, 1], days))]
    counts: dict[str, list[int | None]] = {user_type.value: [10] * days for user_type in USER_TYPES}
    counts["ActiveUsers"] = [*active]
    counts["DeactiveUsers"] = [40] * days
    counts["AllUsers"] = [count + 40 for count in active]
    counts["NotConfirmedUsers"] = [5] * days
    counts["ConfirmedUsers"] = [count + 35 for count in active]
    counts["CurrentUser"] = [1] * days
    return counts


async def test_the_run_out_day_of_seats_is_stored_with_its_range_and_backtest_error(database: Database) -> None:
    await org_with(database, "Growing", {"ActiveUsers": GROWING}, licences=GROWING[-1] + 20)
    await org_with(database, "Flat", {"ActiveUsers": [50] * 200}, licences=500)
    assert await forecast_fleet(database, NOW) == "2 orgs forecast"
    rows = {row["org"]: row for row in await database.fetch("SELECT * FROM seat_forecasts")}
    growing, flat = rows["Growing"], rows["Flat"]
    assert abs((growing["exhausted_on"] - YESTERDAY).days - 40) <= 6
    assert growing["exhausted_low"] <= growing["exhausted_on"]
    assert growing["exhausted_high"] is None or growing["exhausted_high"] >= growing["exhausted_on"]
    assert growing["per_day"] == pytest.approx(0.5, rel=0.1)
    assert growing["backtest_windows"] == 4
    assert growing["backtest_error"] < 1
    assert (flat["method"], flat["per_day"], flat["exhausted_on"]) == ("flat", 0, None)
    assert flat["seats"] == 500


async def test_seats_come_from_the_contract_before_zoho_and_from_zoho_before_the_licences(database: Database) -> None:
    org_id = await org_with(database, "Acme", {"ActiveUsers": [50] * 60}, licences=100)
    for statement, seats in (
        ("SELECT 1", 100),
        ("INSERT INTO seat_readings (org_id, taken_at, purchased, source) VALUES ($1, now(), 120, 'features')", 120),
        ("INSERT INTO seat_contracts (org_id, purchased, updated_at) VALUES ($1, 150, now())", 150),
    ):
        await database.execute(statement, *([org_id] if "$1" in statement else []))
        await forecast_fleet(database, NOW)
        assert await database.fetchval("SELECT seats FROM seat_forecasts") == seats


async def test_a_repeated_forecast_is_the_same_and_that_of_a_paused_org_is_deleted(database: Database) -> None:
    org_id = await org_with(database, "Growing", {"ActiveUsers": GROWING}, licences=400)
    await forecast_fleet(database, NOW)
    first = dict(await database.fetchrow("SELECT * FROM forecast_results") or {})
    await forecast_fleet(database, NOW)
    assert dict(await database.fetchrow("SELECT * FROM forecast_results") or {}) == first
    await database.execute("UPDATE orgs SET paused_at = now() WHERE id = $1", org_id)
    await org_with(database, "Other", {"ActiveUsers": [3] * 40})
    await forecast_fleet(database, NOW + timedelta(days=3))
    assert [row["org"] for row in await database.fetch("SELECT org FROM seat_forecasts")] == ["Other"]


async def test_an_org_without_any_count_has_no_forecast_and_does_not_affect_others(database: Database) -> None:
    await org_with(database, "Unknown", {"ActiveUsers": [None] * 30})
    await org_with(database, "Never polled", {})
    await org_with(database, "Known", {"ActiveUsers": [7]})
    assert await forecast_fleet(database, NOW) == "1 orgs forecast"


async def test_without_orgs_there_is_nothing_to_forecast(database: Database) -> None:
    assert await forecast_fleet(database, NOW) == "no orgs"


async def test_anomalies_are_found_once_are_kept_and_are_removed_if_late_rows_explain_them(database: Database) -> None:
    usual = quiet_org()
    odd = {user_type: [*counts] for user_type, counts in usual.items()}
    odd["AdminUsers"][150:] = [12] * 50
    org_id = await org_with(database, "Acme", odd)
    assert await search_anomalies(database, NOW) == "1 new anomalies"
    assert await search_anomalies(database, NOW + timedelta(hours=1)) == "0 new anomalies"
    (row,) = await database.fetch("SELECT * FROM anomalies")
    assert (row["org"], row["kind"], row["before"], row["after"]) == ("Acme", "admins_up", 10, 12)
    assert row["day"] == YESTERDAY - timedelta(days=49)
    assert row["found_at"] == NOW
    await set_counts(database, org_id, usual)
    assert await search_anomalies(database, NOW + timedelta(hours=2)) == "0 new anomalies"
    assert await database.fetch("SELECT * FROM anomalies") == []


async def test_an_org_without_known_counts_for_days_is_quiet(database: Database) -> None:
    await org_with(database, "Silent", quiet_org(), last=TODAY - timedelta(days=6))
    await search_anomalies(database, NOW)
    rows = await database.fetch("SELECT kind, day FROM anomalies")
    assert [(row["kind"], row["day"]) for row in rows] == [("quiet", TODAY - timedelta(days=3))]
