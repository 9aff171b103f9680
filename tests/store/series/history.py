"""Random polls for the property tests of the series, and a slow and obvious computation of the answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings, strategies as st

from poller.core.model import COLUMNS, USER_TYPES, Outcome, Snapshot, UserType
from poller.store.series import snapshots as store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    from poller.store.database import Database

START = datetime(2026, 11, 30, 23, 30, tzinfo=UTC)
SLOTS = [START + timedelta(minutes=15 * number) for number in range(5)]
FAILURES = [Outcome.THROTTLED, Outcome.UNAUTHORIZED, Outcome.UNAVAILABLE, Outcome.MALFORMED]
TABLES = (
    "org_snapshots", "latest_snapshots", "daily_counts", "dirty_days", "late_days", "fleet_days", "unsummed_days"
)  # fmt: skip
CODES = st.sampled_from(["timeout", "INVALID_TOKEN", "NO_PERMISSION"])
MANY = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=100, deadline=None
)


async def write_snapshots(database: Database, history: Sequence[Snapshot], *, new: bool = False) -> None:
    """Writes a generated history, which may be years in the future."""
    await store.write_snapshots(database, history, new=new, allow_future=True)


@st.composite
def snapshots(draw: st.DrawFn, slots: list[datetime] = SLOTS) -> Snapshot:
    """Polls of a few orgs and slots around the end of a month: late, repeated, partial, failed or missed."""
    slot = draw(st.sampled_from(slots))
    made = Snapshot(draw(st.integers(1, 3)), slot, slot + timedelta(minutes=draw(st.integers(0, 14))), Outcome.OK)
    known = draw(st.sampled_from(["all", "some", "some", "none", "never asked"]))
    if known == "never asked":
        return replace(made, polled_at=None, outcome=Outcome.MISSED, error="no_worker")
    if known == "none":
        return replace(made, outcome=draw(st.sampled_from(FAILURES)), error=draw(CODES), requests=3)
    kinds = USER_TYPES if known == "all" else draw(st.sets(st.sampled_from(USER_TYPES), min_size=1, max_size=9))
    counts = {kind: draw(st.integers(0, 99)) for kind in kinds}
    if known == "all":
        return replace(made, counts=counts, requests=10)
    code = draw(CODES)
    errors = {kind: code for kind in USER_TYPES if kind not in counts}
    return replace(made, outcome=Outcome.PARTIAL, error=code, errors=errors, counts=counts, requests=10)


def joined(held: Snapshot, new: Snapshot) -> Snapshot:
    """The merge rules of `write_snapshots`, written as plainly as possible."""
    newer = new.polled_at is not None and (held.polled_at is None or new.polled_at >= held.polled_at)
    same = new.polled_at == held.polled_at
    requests = max(held.requests, new.requests) if same else held.requests + new.requests
    rank = {Outcome.OK: 3, Outcome.PARTIAL: 2, Outcome.MISSED: 0}
    new_rank, held_rank = rank.get(new.outcome, 1), rank.get(held.outcome, 1)
    winner = new if new_rank > held_rank or (new_rank == held_rank and newer) else held
    if new.outcome is not Outcome.PARTIAL or held.outcome is not Outcome.PARTIAL:
        return replace(winner, requests=requests)
    loser = held if winner is new else new
    counts = {**loser.counts, **winner.counts}
    errors = {**loser.errors, **winner.errors}
    still_unknown = {kind: code for kind, code in errors.items() if kind not in counts}
    return replace(winner, requests=requests, counts=counts, errors=still_unknown)


Latest = dict[tuple[int, UserType], tuple[datetime, datetime, int]]
Daily = dict[tuple[int, UserType, "date"], tuple[Any, ...]]
Fleet = dict[tuple[UserType, "date"], tuple[int | None, int, int]]


def latest_of(rows: Iterable[Mapping[str, Any]]) -> Latest:
    """Every org's and type's last known count (slot, polled_at, count), by looking through all rows."""
    found: Latest = {}
    for row in sorted(rows, key=lambda row: row["slot"]):
        for kind, column in COLUMNS.items():
            if row[column] is not None:
                found[row["org_id"], kind] = (row["slot"], row["polled_at"], row[column])
    return found


def daily_of(rows: Iterable[Mapping[str, Any]]) -> Daily:
    """Every org's, type's and day's (first, last, min, max, avg, samples, missing), by looking through all rows."""
    days: dict[tuple[int, UserType, date], list[int | None]] = {}
    for row in sorted(rows, key=lambda row: row["slot"]):
        for kind, column in COLUMNS.items():
            days.setdefault((row["org_id"], kind, row["slot"].astimezone(UTC).date()), []).append(row[column])
    found: Daily = {}
    for key, counts in days.items():
        known = [count for count in counts if count is not None]
        missing = len(counts) - len(known)
        found[key] = (
            (known[0], known[-1], min(known), max(known), sum(known) / len(known), len(known), missing)
            if known
            else (None, None, None, None, None, 0, missing)
        )
    return found


def fleet_of(daily: Daily) -> Fleet:
    """Every type's and day's (total, orgs, unknown) over all orgs."""
    days: dict[tuple[UserType, date], list[int | None]] = {}
    for (_, kind, day), counts in daily.items():
        days.setdefault((kind, day), []).append(counts[1])
    found: Fleet = {}
    for key, lasts in days.items():
        known = [last for last in lasts if last is not None]
        found[key] = (sum(known) if known else None, len(known), len(lasts) - len(known))
    return found


async def shown_latest(database: Any) -> Latest:
    rows = await database.fetch("SELECT org_id, user_type, slot, polled_at, count FROM latest_user_counts")
    found: Latest = {(row[0], UserType(row[1])): tuple(row[2:]) for row in rows}
    assert len(rows) == len(found)
    await _check_side_by_side(database, found)
    return found


async def _check_side_by_side(database: Any, latest: Latest) -> None:
    """The same counts, ten per row, with the types whose counts are from another slot."""
    rows = await database.fetch("SELECT * FROM latest_org_snapshots")
    shown = {(row["org_id"], kind): row[column] for row in rows for kind, column in COLUMNS.items()}
    assert {key: count for key, count in shown.items() if count is not None} == {
        key: of[2] for key, of in latest.items()
    }
    for row in rows:
        slots = {kind: slot for (org_id, kind), (slot, *_) in latest.items() if org_id == row["org_id"]}
        assert row["slot"] >= max(slots.values())
        assert set(row["earlier"] or []) == {kind for kind, slot in slots.items() if slot < row["slot"]}


async def shown_daily(database: Any) -> Daily:
    rows = await database.fetch(
        "SELECT org_id, user_type, day, first, last, min, max, avg, samples, missing FROM daily_user_counts"
    )
    found: Daily = {(row[0], UserType(row[1]), row[2]): tuple(row[3:]) for row in rows}
    assert len(rows) == len(found)
    return found


async def shown_fleet(database: Any) -> Fleet:
    rows = await database.fetch("SELECT user_type, day, total, orgs, unknown FROM fleet_daily_user_counts")
    found: Fleet = {(UserType(row[0]), row[1]): tuple(row[2:]) for row in rows}
    assert len(rows) == len(found)
    return found


async def rows_of(database: Any) -> list[Any]:
    return list(await database.fetch("SELECT * FROM org_snapshots"))


async def forget_everything(database: Database) -> None:
    """Deletes all rows of the series. TRUNCATE takes ten times as long, because it makes new files."""
    await database.execute("; ".join(f"DELETE FROM {table}" for table in TABLES))
