"""A slow and obvious copy of the series: every snapshot in a dict, every relation computed from these each time.

It reads two facts from the database, and only after retention: which months still exist and which days are closed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from poller.core.model import COLUMNS, USER_TYPES, Outcome, Snapshot
from poller.store.series.partitions import partition_name
from tests.store.series.history import (
    Daily,
    Latest,
    daily_of,
    fleet_of,
    joined,
    latest_of,
    shown_daily,
    shown_fleet,
    shown_latest,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date, datetime

    from poller.store.database import Database

Key = tuple[int, "datetime"]
Day = tuple[int, "date"]


@dataclass
class NaiveSeries:
    """`rows`: stored snapshots; `away`: half dropped months; `closed`: daily counts without their snapshots."""

    rows: dict[Key, Snapshot] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)
    closed: dict[Day, Daily] = field(default_factory=dict)
    latest: Latest = field(default_factory=dict)

    def written(self, batch: Iterable[Snapshot]) -> NaiveSeries:
        """The series after writing this batch."""
        rows = dict(self.rows)
        for one in batch:
            key = (one.org_id, one.slot)
            rows[key] = joined(rows[key], one) if key in rows else one
        # A row for a month that was left over brings the whole month back.
        away = self.away - {partition_name(one.slot) for one in batch}
        after = NaiveSeries(rows, away, self.closed, dict(self.latest))
        for org_and_type, found in latest_of(after.shown()).items():
            if org_and_type not in after.latest or found[0] >= after.latest[org_and_type][0]:
                after.latest[org_and_type] = found
        return after

    async def retained(
        self, database: Database, months: set[str], forgotten_before: date, *, done: bool
    ) -> NaiveSeries:
        """The series after retention of `months` and of daily counts before `forgotten_before`.

        After an aborted run, the database shows which counts are already deleted.
        """
        tables = await _names(database, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '_[0-9]+$'")
        attached = await _names(
            database,
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE c.relkind = 'r'"
            " AND i.inhparent = 'org_snapshots'::regclass",
        )
        raw_since = await database.fetchval("SELECT raw_since FROM rollup_state")
        reopened = {(row[0], row[1]) for row in await database.fetch("SELECT org_id, day FROM late_days WHERE counted")}
        used = {partition_name(slot) for _, slot in self.rows}
        assert used - (tables & attached) <= months | self.away, "a month went that was not to go"
        closed = dict(self.closed)
        for day, counts in self._days().items():
            if day not in closed and day[1] < raw_since and day not in reopened:
                closed[day] = counts
        rows = {key: one for key, one in self.rows.items() if partition_name(key[1]) in tables}
        lost = {(org_id, slot.date()) for org_id, slot in self.rows.keys() - rows.keys()}
        assert lost <= closed.keys(), "snapshots went without their days being kept"
        still = {(org_id, slot.date()) for org_id, slot in rows}
        old = {day for day in closed if day not in still and day[1] < forgotten_before}
        counted = set() if done else {tuple(row) for row in await database.fetch(_COUNTED)}
        for day in old:
            closed[day] = {key: counts for key, counts in closed[day].items() if key in counted}
        closed = {day: counts for day, counts in closed.items() if counts}
        return NaiveSeries(rows, (used & tables) - attached, closed, self.latest)

    def shown(self) -> list[dict[str, Any]]:
        """The rows of existing months, as a reader sees them."""
        return [
            {
                "org_id": one.org_id,
                "slot": one.slot,
                "polled_at": one.polled_at,
                "outcome": one.outcome.value,
                "error": one.error,
                "errors": one.errors,
                **{column: one.counts.get(kind) for kind, column in COLUMNS.items()},
            }
            for one in self.rows.values()
            if partition_name(one.slot) not in self.away
        ]

    def daily(self) -> Daily:
        """Closed days as they were stored, and other days computed from their rows."""
        found: Daily = {}
        for counts in (self._days() | self.closed).values():
            found |= counts
        return found

    def long(self) -> set[tuple[Any, ...]]:
        """The expected `user_counts`."""
        return {
            (row["org_id"], kind.value, row["slot"], row[column], row["outcome"], self._error(row, kind))
            for row in self.shown()
            for kind, column in COLUMNS.items()
        }

    def gaps(self) -> set[tuple[Any, ...]]:
        """The expected `poll_gaps`, without gaps from schedules."""
        found = set()
        for row in self.shown():
            unknown = [f"{kind.value} {self._error(row, kind)}" for kind in USER_TYPES if row[COLUMNS[kind]] is None]
            partly = row["outcome"] == Outcome.PARTIAL
            if unknown:
                why = ", ".join(unknown) if partly else row["error"]
                found.add((row["org_id"], row["slot"], f"{row['outcome']}: {why}"))
        return found

    @staticmethod
    def _error(row: dict[str, Any], kind: Any) -> str | None:
        if row[COLUMNS[kind]] is not None:
            return None
        error: str | None = row["errors"].get(kind, row["error"])
        return error

    def _days(self) -> dict[Day, Daily]:
        days: dict[Day, Daily] = {}
        for (org_id, kind, day), counts in daily_of(self.shown()).items():
            days.setdefault((org_id, day), {})[org_id, kind, day] = counts
        return days


async def agree(database: Database, naive: NaiveSeries) -> None:
    """Asserts that every relation, read in one transaction, agrees with the rows."""
    async with database.connection() as reader, reader.transaction(isolation="repeatable_read", readonly=True):
        assert await shown_daily(reader) == naive.daily()
        assert await shown_fleet(reader) == fleet_of(naive.daily())
        assert await shown_latest(reader) == naive.latest
        long = await reader.fetch("SELECT org_id, user_type, slot, count, outcome, error FROM user_counts")
        assert len(long) == 10 * len(naive.shown())
        assert {tuple(row) for row in long} == naive.long()
        gaps = await reader.fetch("SELECT org_id, slot, reason FROM poll_gaps")
        assert len(gaps) == len(naive.gaps())
        assert {tuple(row) for row in gaps} == naive.gaps()


_COUNTED = "SELECT org_id, user_type, day FROM daily_user_counts"


async def _names(database: Database, query: str) -> set[str]:
    return {row[0] for row in await database.fetch(query)}
