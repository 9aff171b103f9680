"""The history of the demo: snapshots that polls would have written, and a reading of seats each week."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from zlib import crc32

from poller.core.model import COLUMNS, Outcome, Snapshot
from poller.core.slots import slot_of, slots_between
from poller.demo.troubles import is_paused, never_polled, past_failure
from poller.query.capacity import SEAT_TYPE
from poller.store.capacity.seats import SeatReading, save_seats
from poller.store.series.snapshots import write_snapshots

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from poller.demo.options import DemoOptions
    from poller.simulator import Simulator
    from poller.store.database import Database

HISTORY_INTERVAL_SECONDS: Final = 3_600
_BATCH: Final = 1_000
_WEEK: Final = 7
_OUTAGE_EVERY: Final = 97
"""About one of 97 days of an org's history is an outage, so that the demo shows what gaps look like."""


@dataclass(frozen=True, slots=True)
class DemoHistory:
    """Writes the history of the orgs `ids`, in the order of their numbers in the simulator."""

    database: Database
    simulator: Simulator
    options: DemoOptions
    ids: Sequence[int]
    now: datetime

    async def write(self, progress: Callable[[int, int], None]) -> int:
        """Writes the missing history, hour by hour; returns how many snapshots. `progress(done, total)` counts them."""
        until = slot_of(self.now, HISTORY_INTERVAL_SECONDS)
        # demo.history: how far an earlier demo got.
        newest = await self.database.fetchval("SELECT max(slot) FROM org_snapshots WHERE slot < $1", until)
        since = until - timedelta(days=self.options.days)
        if newest is not None:
            since = max(since, slot_of(newest, HISTORY_INTERVAL_SECONDS) + timedelta(seconds=HISTORY_INTERVAL_SECONDS))
        slots = slots_between(since, until, HISTORY_INTERVAL_SECONDS)
        total, done, written = len(slots) * len(self.ids), 0, 0
        batch: list[Snapshot] = []
        for slot in slots:
            batch.extend(self._snapshots(slot))
            done += len(self.ids)
            if len(batch) >= _BATCH or slot == slots[-1]:
                await write_snapshots(self.database, batch, new=True)
                written += len(batch)
                batch = []
                progress(done, total)
        return written

    async def write_seats(self) -> None:
        """Writes a reading of the seats of every org for each week."""
        for index, org_id in enumerate(self.ids):
            edition = self.simulator.org(index).edition
            for weeks in range(self.options.days // _WEEK, -1, -1):
                at = slot_of(self.now - timedelta(weeks=weeks), HISTORY_INTERVAL_SECONDS)
                used = self.simulator.expected_count(index, SEAT_TYPE, at)
                reading = SeatReading(self.simulator.licences(index, at), used, edition, None, "features")
                await save_seats(self.database, org_id, reading, at)

    def _snapshots(self, slot: datetime) -> list[Snapshot]:
        orgs = self.options.orgs
        return [
            self._snapshot(index, org_id, slot)
            for index, org_id in enumerate(self.ids)
            if index != never_polled(orgs) and not is_paused(orgs, index, slot, self.now)
        ]

    def _snapshot(self, index: int, org_id: int, slot: datetime) -> Snapshot:
        """The snapshot that a poll at `slot` would have written."""
        failure = past_failure(self.options.orgs, index, slot, self.now)
        if failure is not None:
            return Snapshot(org_id, slot, slot, failure.outcome, failure.error, requests=1, duration_ms=90)
        noise = crc32(f"{self.options.seed}:{index}:{slot.date()}".encode())
        if noise % _OUTAGE_EVERY == 0:
            return Snapshot(org_id, slot, slot, Outcome.UNAVAILABLE, "http_503", requests=30, duration_ms=2_000)
        expected = self.simulator.expected_counts(index, slot)
        counts = {user_type: expected[user_type] for user_type in COLUMNS}
        return Snapshot(org_id, slot, slot, Outcome.OK, requests=len(COLUMNS), duration_ms=120, counts=counts)
