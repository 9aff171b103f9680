"""Rows in every table of any schema revision, written by plain statements as earlier versions wrote them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from poller.core.model import COLUMNS, USER_TYPES
from poller.core.secret import Secret
from poller.core.slots import slot_of
from poller.store.orgs.encryption import Column
from poller.store.series import rollups
from poller.store.series.partitions import month_after, month_of, partition_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from poller.store.orgs.encryption import Keyring

NOW: Final = datetime.now(UTC)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
# Around the ends of two months, in the past, today, and a little later, but never later than tomorrow.
SLOTS: Final = [slot_of(NOW, 3_600) + n * HOUR for n in (*range(-40 * 37, 1, 37), 10)]
ORGS: Final = (1, 2, 3, 4)
"""The third is paused, the fourth removed."""
REMOVED: Final = 4
_TABLES: Final = """
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND c.relname <> 'alembic_version'
"""


SINGLE_STATEMENTS: Final[tuple[tuple[Any, ...], ...]] = (
    ("0005", "UPDATE orgs SET facts_at = $1 WHERE id = 2", NOW),
    ("0007", "INSERT INTO guest_tags VALUES ('north_bi', 'customer:north')"),
    ("0008", "INSERT INTO late_days VALUES (1, $1, false)", (SLOTS[0] - DAY).date()),
    ("0013", "INSERT INTO service_settings VALUES (true, 900, 0.1, 0.5, 'v7', $1)", NOW),
    ("0023", "UPDATE orgs SET parked_outcome = 'unauthorized' WHERE id = 2"),
    (
        "0026",
        "INSERT INTO access_keys (name, hash, pepper_id, may, tags) VALUES ('north', $1, 'k1', 'read', '{customer}')",
        bytes(32),
    ),
    ("0026", "INSERT INTO web_sessions (hash, key_id, created_at) VALUES ($1, 1, $2)", bytes(32), NOW),
    ("0026", "INSERT INTO audit (caller, source, action, org_id) VALUES ('north', '192.0.2.1', 'seen', 1)"),
    ("0026", "INSERT INTO idempotency_keys (caller, key, route) VALUES ('north', 'one', 'POST /api/v1/orgs/1/poll')"),
)
"""By the revision that makes the column or the table."""


async def fill(connection: Any, revision: str, keyring: Keyring) -> None:
    """Writes rows into every table that this revision has."""
    await fill_orgs(connection, keyring)
    if revision >= "0002":
        await fill_snapshots(connection)
    if revision >= "0003":
        await fill_days(connection)
    if revision >= "0004":
        await fill_queue(connection, revision)
    if revision >= "0009":
        await connection.execute("DELETE FROM unsummed_days WHERE day = $1", SLOTS[0].date())
        await connection.execute(rollups._SUM, SLOTS[0].date())
    for since, statement, *arguments in SINGLE_STATEMENTS:
        if revision >= since:
            await connection.execute(statement, *arguments)
    if revision >= "0020":
        await fill_capacity(connection)
    if revision >= "0029":
        await fill_alerts(connection)


async def fill_orgs(connection: Any, keyring: Keyring) -> None:
    await connection.execute(
        "INSERT INTO orgs (name, data_center, zgid, edition, licences, poll_interval_seconds, api_version, tags)"
        " SELECT 'org ' || n, 'eu', n::text, 'enterprise', 10 * n, 3600, 'v7', ARRAY['customer:north', n::text]"
        " FROM generate_series(1, 4) n"
    )
    await connection.execute("UPDATE orgs SET paused_at = $1 WHERE id = 3", NOW - 2 * DAY)
    await connection.execute("UPDATE orgs SET removed_at = $1 WHERE id = 4", NOW - DAY)
    await connection.execute(
        "UPDATE orgs SET parked_at = $1, parked_code = 'invalid_code', parked_remedy = 'ask', probe_at = $1, probes = 3"
        " WHERE id = 2",
        NOW,
    )
    for org_id in ORGS[:3]:
        secret = keyring.encrypt(org_id, Column.CLIENT, Secret(f"client-secret-{org_id}"))
        refresh = keyring.encrypt(org_id, Column.REFRESH, Secret(f"refresh-token-{org_id}"))
        token = keyring.encrypt(org_id, Column.ACCESS, Secret(f"access-token-{org_id}"))
        await connection.execute(
            "INSERT INTO org_credentials (org_id, client_id, client_secret, refresh_token, key_id, grant_fingerprint)"
            " VALUES ($1, '1000.X', $2, $3, 'k1', $4)",
            *(org_id, secret, refresh, bytes([org_id]) * 32),
        )
        await connection.execute(
            "INSERT INTO access_tokens (org_id, token, key_id, api_domain, issued_at, expires_at, generation)"
            " VALUES ($1, $2, 'k1', 'https://www.zohoapis.eu', $3, $4, 7)",
            *(org_id, token, NOW, NOW + HOUR),
        )
        await connection.execute("INSERT INTO token_budgets VALUES ($1, $2)", bytes([org_id]) * 32, [NOW, NOW - HOUR])
        await connection.execute("INSERT INTO credit_spend VALUES ($1, $2, 40)", org_id, slot_of(NOW, 900))
        await connection.execute("INSERT INTO org_limits (org_id, rate_factor) VALUES ($1, 0.5)", org_id)


async def fill_snapshots(connection: Any) -> None:
    """Uses the statements of the first version: known, unknown and partly known slots, and the latest counts."""
    await make_months(connection, SLOTS)
    number = count(1)
    for slot in SLOTS:
        for org_id in ORGS:
            if (org_id == 3 and slot >= NOW - 2 * DAY) or (org_id == 4 and slot >= NOW - DAY):
                continue
            await insert(connection, org_id, slot, next(number))
    columns = list(COLUMNS.values())
    last = ", ".join(f"(array_agg({c} ORDER BY slot DESC) FILTER (WHERE {c} IS NOT NULL))[1]" for c in columns)
    slots = ", ".join(f"max(slot) FILTER (WHERE {c} IS NOT NULL)" for c in columns)
    times = ", ".join(f"(array_agg(polled_at ORDER BY slot DESC) FILTER (WHERE {c} IS NOT NULL))[1]" for c in columns)
    names = ", ".join(f"{c}{suffix}" for suffix in ("", "_slot", "_polled_at") for c in columns)
    await connection.execute(
        f"INSERT INTO latest_snapshots (org_id, slot, polled_at, {names})"
        f" SELECT org_id, max(slot), max(polled_at), {last}, {slots}, {times} FROM org_snapshots"
        " WHERE outcome IN ('ok', 'partial') GROUP BY org_id"
    )


async def make_months(connection: Any, slots: Iterable[datetime]) -> None:
    """Creates the months of these slots with a statement for the schema of any version."""
    for month in sorted({month_of(slot) for slot in slots}):
        await connection.execute(
            f"CREATE TABLE {partition_name(month)} PARTITION OF org_snapshots"
            f" FOR VALUES FROM ('{month.isoformat()}') TO ('{month_after(month).isoformat()}')"
        )


async def insert(connection: Any, org_id: int, slot: datetime, number: int) -> None:
    outcome, hidden = {0: ("unavailable", 10), 3: ("partial", 2)}.get(number % 9, ("ok", 0))
    counts = [None if place < hidden else 100 * org_id + number + place for place in range(10)]
    errors = {kind.value: "NO_PERMISSION" for kind in USER_TYPES[:hidden]} if outcome == "partial" else None
    await connection.execute(
        "INSERT INTO org_snapshots (slot, polled_at, org_id, duration_ms, late_seconds, requests, outcome, error,"
        f" errors, credits_remaining, {', '.join(COLUMNS.values())})"
        f" VALUES ($1, $2, $3, 5, 1, 10, $4, $5, $6, 17, {', '.join(f'${n}' for n in range(7, 17))})",
        slot,
        slot + timedelta(seconds=9),
        org_id,
        outcome,
        None if outcome == "ok" else "http_503",
        None if errors is None else str(errors).replace("'", '"'),
        *counts,
    )


async def fill_days(connection: Any) -> None:
    """Half of the days are rolled up; one of these days is dirty because of a late row."""
    await connection.execute("UPDATE rollup_state SET rolled_until = $1", SLOTS[0].date())
    # By the statements alone: the locks around them are of a later revision.
    while (day := await connection.fetchval(rollups._NEXT_DAY, SLOTS[20].date())) is not None:
        await connection.execute(rollups._MARK_DAY, day)
        await connection.execute(rollups._ADVANCE_WATERMARK, day)
    while keys := await connection.fetch(rollups._TAKE_DIRTY, rollups.BATCH):
        await connection.execute(rollups._ROLL_UP, *zip(*keys, strict=True))
    await insert(connection, 1, SLOTS[4] + HOUR, 1)
    day = (SLOTS[4] + HOUR).date()
    await connection.execute("INSERT INTO dirty_days VALUES (1, $1)", day)
    await connection.execute("DELETE FROM daily_counts WHERE org_id = 1 AND day = $1", day)


async def fill_queue(connection: Any, revision: str) -> None:
    cursor = slot_of(NOW, 3_600) - 5 * HOUR
    await connection.execute(
        "INSERT INTO org_schedules (org_id, slot, interval_seconds, due_at, newest_slot, newest_at)"
        " VALUES (1, $1, 3600, $2, $1, $2)",
        cursor,
        cursor + timedelta(seconds=1),
    )
    await connection.execute("INSERT INTO workers VALUES ($1, 'one', '0.1', $2, $2, '{\"a\": 1}')", UUID(int=1), NOW)
    await connection.execute("INSERT INTO chores VALUES ('rollup', $1, $1, 'well', NULL, NULL)", NOW)
    await connection.execute(
        "INSERT INTO pgqueuer (priority, status, entrypoint, dedupe_key, payload)"
        " VALUES (1, 'queued', 'poll', 'k', 'x')"
    )
    await connection.execute(
        "INSERT INTO pgqueuer_log (job_id, status, priority, entrypoint) VALUES (1, 'queued', 1, 'p')"
    )
    if revision < "0024":
        await connection.execute("INSERT INTO pgqueuer_schedules (expression, entrypoint) VALUES ('* * * * *', 'p')")
        await connection.execute(
            "INSERT INTO pgqueuer_statistics (count, priority, status, entrypoint) VALUES (1, 1, 'queued', 'p')"
        )


async def fill_capacity(connection: Any) -> None:
    day = NOW.date()
    await connection.execute("INSERT INTO seat_readings VALUES (1, $1, 50, 40, 'enterprise', $2, 'features')", NOW, day)
    await connection.execute("INSERT INTO seat_contracts VALUES (1, 60, 19.9, 'EUR', $1, $2)", day, NOW)
    await connection.execute("INSERT INTO seat_refusals VALUES (2, 'OAUTH_SCOPE_MISMATCH', 'consent again', $1)", NOW)
    await connection.execute(
        "INSERT INTO forecast_results VALUES (1, 'ActiveUsers', $1, $2, 40, 0.5, 'trend', 50, $2, $2, NULL, 0.5, 1, 4)",
        *(NOW, day),
    )
    await connection.execute("INSERT INTO forecast_quantiles VALUES (true, $1, 2, '{{1,2}}', '{{2,3}}')", NOW)
    await connection.execute(
        "INSERT INTO found_anomalies VALUES (1, 'AdminUsers', $1, 'admins_up', 1, 2, 0, 1, 'warning', 'one more', $2)",
        *(day, NOW),
    )


async def fill_alerts(connection: Any) -> None:
    """A firing alert, its change, an exclusion, and a message about it to an address."""
    rule = "SELECT id FROM alert_rules WHERE name = 'seats_used'"
    await connection.execute(f"""
        INSERT INTO alert_states (rule_id, org_id, user_type, state, severity, since, counted_from, message, remedy)
        VALUES (({rule}), 1, 'ActiveUsers', 'firing', 'warning', now(), now(), '96 % of seats are used', 'buy seats')
    """)
    for statement in (
        "INSERT INTO alert_changes (alert_id, at, to_state, by) SELECT id, now(), 'firing', 'poller' FROM alert_states",
        "INSERT INTO alert_evaluation (at) VALUES (now())",
        "INSERT INTO alert_exclusions (org_id, created_by) VALUES (2, 'command line')",
        "INSERT INTO notify_addresses (url, key_id, fingerprint, scheme) VALUES ('url', 'k1', 'mac', 'mailto')",
        """
        INSERT INTO notify_messages (address_id, alert_id, about, content)
        SELECT n.id, a.id, 'firing', '{}' FROM notify_addresses n, alert_states a
        """,
    ):
        await connection.execute(statement)


async def contents(connection: Any) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table."""
    tables = [row[0] for row in await connection.fetch(_TABLES)]
    return {
        table: [dict(row) for row in await connection.fetch(f"SELECT t.* FROM {table} t ORDER BY t::text")]
        for table in sorted(tables)
    }
