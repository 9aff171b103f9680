"""Makes a fleet's history as polls would have written it: every org once an hour, in the order of polls, with outages.

The counts are the simulator's, computed once for each half day of an org.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from zlib import crc32

from poller.core.model import COLUMNS, Outcome, Snapshot
from poller.simulator import Simulator, SimulatorOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BATCH: Final = 1_000
HOURS: Final = 24
_OUTAGE_EVERY: Final = 97
"""One day of an org out of this many is an outage."""


class History:
    """The history of `org_ids` for `days` whole days, up to `until` (a midnight in UTC)."""

    def __init__(self, org_ids: Sequence[int], days: int, until: datetime) -> None:
        self.org_ids = org_ids
        self.since = until - timedelta(days=days)
        self.until = until
        self._simulator = Simulator(SimulatorOptions(orgs=len(org_ids)))

    def days(self) -> Iterator[datetime]:
        """The start of each day."""
        day = self.since
        while day < self.until:
            yield day
            day += timedelta(days=1)

    def batches(self, day: datetime, hours: int = HOURS) -> Iterator[list[Snapshot]]:
        """The snapshots of the first hours of a day, in batches of a thousand."""
        batch: list[Snapshot] = []
        for snapshot in self._snapshots(day, hours):
            batch.append(snapshot)
            if len(batch) == BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    def _snapshots(self, day: datetime, hours: int) -> Iterator[Snapshot]:
        halves = [
            [self._simulator.expected_counts(index, at) for index in range(len(self.org_ids))]
            for at in (day, day + timedelta(hours=HOURS // 2))
        ]
        counts = [[{kind: truths[kind] for kind in COLUMNS} for truths in half] for half in halves]
        down = [crc32(f"{place}:{day:%F}".encode()) % _OUTAGE_EVERY == 0 for place in range(len(self.org_ids))]
        for hour in range(hours):
            slot = day + timedelta(hours=hour)
            known = counts[hour // (HOURS // 2)]
            for place, org_id in enumerate(self.org_ids):
                # Spread over the hour as phases spread polls.
                polled_at = slot + timedelta(seconds=3_600 * place / len(self.org_ids))
                if down[place]:
                    yield Snapshot(
                        org_id, slot, polled_at, Outcome.UNAVAILABLE, "http_503", requests=30, duration_ms=2_000
                    )
                else:
                    yield Snapshot(
                        org_id, slot, polled_at, Outcome.OK, requests=10, duration_ms=120, counts=known[place]
                    )
