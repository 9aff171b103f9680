"""Orgs written straight into the tables that the fleet's list reads, without polls."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.store.database import Database


@dataclass(frozen=True)
class Row:
    """One org. `count`: of active users now; `week_ago`, `month_ago`: at the end of those days. None: not known."""

    name: str
    state: str = "ok"
    count: int | None = 10
    week_ago: int | None = None
    month_ago: int | None = None
    seats: int | None = None
    runs_out_in: int | None = None
    tags: tuple[str, ...] = ()
    data_center: str = "eu"
    edition: str | None = None


async def write(database: Database, rows: Sequence[Row]) -> list[int]:
    """Deletes every org and writes these; returns their ids."""
    given = json.dumps([asdict(row) for row in rows])
    async with database.transaction() as connection:
        for table in ("orgs", "latest_polls", "latest_snapshots", "daily_counts"):
            await connection.execute(f"DELETE FROM {table}")
        for statement in _WRITE:
            await connection.execute(statement.replace("<rows>", _ROWS), given)
        found = await connection.fetch("SELECT name, id FROM orgs")
    ids = {row["name"]: row["id"] for row in found}
    return [ids[row.name] for row in rows]


_ROWS = """jsonb_to_recordset($1::text::jsonb) AS r (name text, state text, count int, week_ago int,
    month_ago int, seats int, runs_out_in int, tags text[], data_center text, edition text)"""
_WRITE = (
    """INSERT INTO orgs (name, data_center, edition, licences, tags, paused_at, parked_at, parked_code)
    SELECT name, data_center, edition, seats, tags, CASE state WHEN 'paused' THEN now() END,
           CASE state WHEN 'parked' THEN now() END, CASE state WHEN 'parked' THEN 'invalid_code' END FROM <rows>""",
    """INSERT INTO latest_polls (org_id, first_slot, slot, since, polled_at, late_seconds, outcome, error)
    SELECT o.id, now(), now(), now(), now() - CASE state WHEN 'late' THEN interval '3 days' ELSE interval '0' END, 0,
           CASE state WHEN 'failing' THEN 'unavailable' ELSE 'ok' END, CASE state WHEN 'failing' THEN 'http_503' END
    FROM <rows> JOIN orgs o USING (name) WHERE state <> 'never_polled'""",
    """INSERT INTO latest_snapshots (org_id, slot, polled_at, active_users)
    SELECT o.id, now(), now(), count FROM <rows> JOIN orgs o USING (name) WHERE count IS NOT NULL""",
    """INSERT INTO daily_counts (type, day, org_id, first, last, min, max, sum, samples, missing)
    SELECT 2, (now() AT TIME ZONE 'UTC')::date - ago, o.id, was, was, was, was, was, 1, 0
    FROM <rows> JOIN orgs o USING (name), LATERAL (VALUES (7, week_ago), (30, month_ago)) AS earlier (ago, was)
    WHERE was IS NOT NULL""",
    """INSERT INTO forecast_results (org_id, user_type, made_at, last_day, level, per_day, method, exhausted_on,
                                     backtest_windows)
    SELECT o.id, 'ActiveUsers', now(), current_date, 1, 1, 'trend', current_date + runs_out_in, 0
    FROM <rows> JOIN orgs o USING (name) WHERE runs_out_in IS NOT NULL""",
)
