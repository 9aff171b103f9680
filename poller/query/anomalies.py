"""The anomalies that the service has found, the newest first."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from poller.store.capacity.anomalies import stream_anomalies

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import date

    from poller.query.selection import Selection
    from poller.store.database import Database


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One org on one day: what it did (`kind`), the counts before and after, and the range that was expected."""

    # pylint: disable=duplicate-code  # analysis, store and query each name the columns

    org: str
    user_type: str
    day: date
    kind: str
    before: float | None
    after: float | None
    expected_low: float | None
    expected_high: float | None
    severity: str
    why: str

    def fields(self) -> dict[str, Any]:
        """As one JSON object."""
        return asdict(self)


async def recorded_anomalies(database: Database, orgs: Selection, since: date) -> AsyncIterator[Anomaly]:
    """The anomalies of these orgs since that day; removed orgs are found by name."""
    ids = await orgs.ids(database, removed=True)
    async for row in stream_anomalies(database, ids, since):
        yield Anomaly(**dict(row))
