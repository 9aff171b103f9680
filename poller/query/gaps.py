"""Which slots have unknown counts, and why: gaps as ranges for people, slot by slot for CSV and JSON."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

from poller.query.rows import csv_lines, json_lines, json_objects
from poller.store.queue.service_settings import read_service_settings
from poller.store.series.gaps import stream_gaps, unknown_orgs
from poller.store.series.retention import raw_since

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping
    from datetime import date, tzinfo

    from poller.core.series import Gap, UnknownOrgs
    from poller.query.parameters import Since
    from poller.query.selection import Selection
    from poller.store.database import Database

GAP_COLUMNS: Final = ("org_id", "org", "slot", "reason")


@dataclass(slots=True)
class GapRange:
    """Gaps of one org with one reason, in slots that follow each other."""

    first: Gap
    last: Gap
    slots: int = 1

    def extend(self, gap: Gap) -> bool:
        """Adds the next gap if it belongs to this range; whether it does."""
        if not gap.follows or (gap.org_id, gap.reason) != (self.last.org_id, self.last.reason):
            return False
        self.last = gap
        self.slots += 1
        return True


@dataclass(frozen=True, slots=True)
class Gaps:
    """The answer: gaps since `since`, and orgs without a known past.

    `kept_since`: the first day that snapshots are kept of, where the question began earlier; `since` is that day then.
    """

    since: datetime
    zone: tzinfo
    kept_since: date | None
    unknown: UnknownOrgs
    gaps: AsyncGenerator[Gap]

    def ranges(self) -> AsyncIterator[GapRange]:
        """The gaps, joined into ranges."""
        return join_gaps(self.gaps)

    def csv(self) -> AsyncGenerator[str]:
        """Every slot with unknown counts, then the orgs that were never polled, without a slot."""
        return csv_lines(GAP_COLUMNS, self._rows())

    def json(self) -> AsyncGenerator[str]:
        """The same rows as one JSON list, one object per line."""
        return json_lines(self._rows())

    def json_objects(self) -> AsyncGenerator[str]:
        """The same rows as JSON, one object per line, without a list around them."""
        return json_objects(self._rows())

    async def _rows(self) -> AsyncGenerator[Mapping[str, Any]]:
        async for gap in self.gaps:
            slot = gap.slot.astimezone(self.zone).isoformat()
            yield {"org_id": gap.org_id, "org": gap.org, "slot": slot, "reason": gap.reason}
        for org, org_id in self.unknown.never_orgs.items():
            yield {"org_id": org_id, "org": org, "slot": None, "reason": "never polled"}


async def join_gaps(gaps: AsyncIterator[Gap]) -> AsyncIterator[GapRange]:
    """Joins gaps that follow each other and have the same reason."""
    current: GapRange | None = None
    async for gap in gaps:
        if current is not None and current.extend(gap):
            continue
        if current is not None:
            yield current
        current = GapRange(gap, gap)
    if current is not None:
        yield current


@asynccontextmanager
async def open_gaps(
    database: Database, orgs: Selection, since: Since, *, listed: int | None = None
) -> AsyncIterator[Gaps]:
    """The gaps of these orgs; removed orgs are found by name. `listed`: how many unknown orgs to name, None: all."""
    now = database.clock.now()
    begin = since.at(now)
    kept = await raw_since(database)
    is_cut = begin.date() < kept
    if is_cut:
        begin = datetime(kept.year, kept.month, kept.day, tzinfo=UTC)
    ids = await orgs.ids(database, removed=True)
    service = await read_service_settings(database)
    unknown = await unknown_orgs(database, begin, org_ids=ids, listed=listed)
    found = stream_gaps(database, begin, now, interval_seconds=service.poll_interval_seconds, org_ids=ids)
    async with aclosing(cast("AsyncGenerator[Gap]", found)) as gaps:
        yield Gaps(begin, since.zone, kept if is_cut else None, unknown, gaps)
