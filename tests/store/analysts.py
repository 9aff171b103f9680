"""The fleet of the queries in docs/sql.md: six orgs polled every six hours for half a year, with all kinds of failures.

The counts are simple functions of the day, so that every answer can be computed outside the database.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from poller.core.model import USER_TYPES, Outcome, Snapshot, UserType
from poller.core.slots import slots_between
from poller.store.database import connect
from poller.store.series.rollups import roll_up
from poller.store.series.snapshots import write_snapshots

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW: Final = datetime(2025, 6, 15, 10, 30, tzinfo=UTC)
TODAY: Final = NOW.date()
BEGIN: Final = datetime(2025, 1, 1, tzinfo=UTC)
SIX_HOURS: Final = 21_600
ORGS: Final = ("acme", "birch", "cedar", "dune", "elm", "fir")
LICENCES: Final = {"acme": 240, "birch": 30, "cedar": 100, "dune": None, "elm": 20, "fir": 20}
TAGS: Final = {
    "acme": ["customer:north", "trial"],
    "birch": ["customer:north"],
    "cedar": ["customer:south"],
    "dune": ["customer:south"],
    "elm": [],
    "fir": ["customer:south"],
}
ADDED: Final = {"dune": datetime(2025, 3, 10, tzinfo=UTC)}
LAST_POLLED: Final = {"elm": datetime(2025, 4, 30, 12, tzinfo=UTC), "fir": datetime(2025, 4, 19, 18, tzinfo=UTC)}
PAUSED: Final = {"elm": datetime(2025, 5, 1, 9, tzinfo=UTC)}
REMOVED: Final = {"fir": datetime(2025, 4, 20, tzinfo=UTC)}
NOBODY_WORKS: Final = (datetime(2025, 2, 11, 12, tzinfo=UTC), datetime(2025, 2, 13, 6, tzinfo=UTC))
CEDAR_FAILS: Final = datetime(2025, 6, 10, 6, tzinfo=UTC)
BIRCH_FORBIDS: Final = date(2025, 6, 12)
ADMINS_APPEAR: Final = datetime(2025, 6, 3, 12, tzinfo=UTC)
DISAGREES: Final = datetime(2025, 5, 5, 6, tzinfo=UTC)
SLOTS: Final = slots_between(BEGIN, NOW, SIX_HOURS)


def polled(org: str) -> list[datetime]:
    """The slots of the org with a row."""
    last = LAST_POLLED.get(org, NOW)
    return [slot for slot in SLOTS if ADDED.get(org, BEGIN) <= slot <= last]


def truth(org: str, slot: datetime) -> dict[UserType, int]:
    """The true count at Zoho."""
    day = (slot.date() - BEGIN.date()).days
    active = {
        "acme": 50 + day,
        "birch": 30,
        "cedar": 80 - day // 10,
        "dune": 10 + 2 * (day - 68),
        "elm": 15,
        "fir": 20,
    }[org]
    deactive = 5 + day // 30
    waiting = {"acme": 4, "birch": 0, "cedar": day % 7, "dune": 3 + day % 3, "elm": 0, "fir": 1}[org]
    admins = 5 if org == "birch" and slot >= ADMINS_APPEAR else 2
    everyone = active + deactive + (org == "cedar" and slot == DISAGREES)
    counts = (
        everyone,
        active,
        deactive,
        active + deactive - waiting,
        waiting,
        day // 15,
        active - waiting,
        admins,
        admins,
        1,
    )
    return dict(zip(USER_TYPES, counts, strict=True))


def poll(org: str, slot: datetime, org_id: int = 0) -> Snapshot:
    """The snapshot of a slot."""
    if NOBODY_WORKS[0] <= slot < NOBODY_WORKS[1]:
        return Snapshot(org_id, slot, None, Outcome.MISSED, "no_worker")
    at = slot + timedelta(minutes=1)
    if org == "cedar" and slot >= CEDAR_FAILS:
        return Snapshot(org_id, slot, at, Outcome.UNAVAILABLE, "http_503", requests=30)
    counts = truth(org, slot)
    if org == "birch" and slot.date() == BIRCH_FORBIDS:
        hidden = (UserType.ADMIN, UserType.ACTIVE_CONFIRMED_ADMIN)
        known = {kind: count for kind, count in counts.items() if kind not in hidden}
        errors = dict.fromkeys(hidden, "NO_PERMISSION")
        return Snapshot(org_id, slot, at, Outcome.PARTIAL, "NO_PERMISSION", errors, requests=10, counts=known)
    return Snapshot(org_id, slot, at, Outcome.OK, requests=10, counts=counts)


def known(org: str, kind: UserType) -> Iterator[tuple[datetime, int]]:
    """Every slot whose count is known, with the count."""
    for slot in polled(org):
        count = poll(org, slot).counts.get(kind)
        if count is not None:
            yield slot, count


def last_of_days(org: str, kind: UserType) -> dict[date, int]:
    """The last known count of every day with one."""
    return {slot.date(): count for slot, count in known(org, kind)}


def latest(org: str, kind: UserType) -> int:
    """The last known count."""
    return list(known(org, kind))[-1][1]


def fill(dsn: str) -> None:
    """Writes all snapshots with the store; most days are rolled up, one is dirty, and the last one is not over."""
    asyncio.run(_fill(dsn))


async def _fill(dsn: str) -> None:
    async with await connect(dsn) as database:
        # analysts.clock: used instead of PostgreSQL's `now()` by sessions with this schema first in their search path.
        await database.execute("CREATE SCHEMA clock")
        await database.execute(
            "CREATE FUNCTION clock.now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE"
            f" AS $$ SELECT timestamptz '{NOW.isoformat()}' $$"
        )
        await database.execute("GRANT USAGE ON SCHEMA clock TO poller_reader, poller_guest")
        for org in ORGS:
            await database.execute(
                "INSERT INTO orgs (name, data_center, tags, licences, created_at, paused_at, removed_at)"
                " VALUES ($1, 'eu', $2, $3, $4, $5, $6)",
                *(org, TAGS[org], LICENCES[org], ADDED.get(org, BEGIN), PAUSED.get(org), REMOVED.get(org)),
            )
        await database.execute(
            "INSERT INTO org_schedules (org_id, slot, interval_seconds, due_at) VALUES (5, $1, $2, $1)",
            LAST_POLLED["elm"] + timedelta(seconds=SIX_HOURS),
            SIX_HOURS,
        )
        await database.execute("UPDATE rollup_state SET rolled_until = $1", BEGIN.date())
        batch = [poll(org, slot, place) for place, org in enumerate(ORGS, 1) for slot in polled(org)]
        late = [one for one in batch if one.slot == CEDAR_FAILS - timedelta(days=10)]
        await write_snapshots(database, [one for one in batch if one not in late])
        await roll_up(database, TODAY - timedelta(days=1))
        await write_snapshots(database, late)
        await database.execute("ANALYZE")
