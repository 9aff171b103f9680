"""After a poll: parks the org, unparks it, or leaves it as it is; `core.health` decides."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from poller.core.health import HealthChange, Refusals, is_refusal, judge_health
from poller.core.remedies import remedy_for
from poller.store.orgs.parking import park, unpark
from poller.store.orgs.refusals import outcome_before, refusals_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from poller.core.health import Parked
    from poller.core.model import Org, Outcome, Snapshot
    from poller.store.database import Database

_REMEMBERED = timedelta(seconds=10)
"""How long the count of refusals of a data centre is reused: all its orgs may be refused at the same time."""

log = structlog.get_logger("poller.polling.runner")


class OrgHealth:
    """The parking of the orgs of one database."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now
        self._refusals: dict[str, tuple[datetime, Refusals]] = {}

    async def update(self, org: Org, snapshot: Snapshot, parked: Parked | None, *, probed: bool) -> None:
        """Parks an org that a person must repair, unparks an org that answers again, or delays the next probe."""
        before, around = None, None
        if is_refusal(snapshot) and parked is None:
            before = await outcome_before(self._database, org.id, snapshot.slot)
            around = await self._around(org, snapshot.slot)
        match judge_health(snapshot, parked=parked is not None, probed=probed, before=before, around=around):
            case HealthChange.UNPARK:
                if await unpark(self._database, org.id):
                    log.info("org.unparked")
            case HealthChange.PARK:
                await self._park(org, snapshot.error or "", remedy_for(snapshot.error or ""), snapshot.outcome)
                log.warning("org.parked", code=snapshot.error, remedy=remedy_for(snapshot.error or ""))
            case HealthChange.PROBE_LATER if parked is not None:
                await self._park(org, parked.code, parked.remedy, parked.outcome)
            case HealthChange.SUSPECT:
                log.warning("org.refused", code=snapshot.error, remedy="nothing yet: the next slot decides")
            case _:
                pass

    async def _park(self, org: Org, code: str, remedy: str, outcome: Outcome) -> None:
        seconds = org.interval_seconds
        await park(self._database, org.id, code, remedy, self._now(), outcome=outcome, first_probe_seconds=seconds)

    async def _around(self, org: Org, slot: datetime) -> Refusals:
        at, known = self._refusals.get(org.data_center, (None, Refusals()))
        if at is not None and self._now() - at < _REMEMBERED:
            return known
        found = await refusals_of(self._database, org.data_center, slot - timedelta(seconds=org.interval_seconds))
        if found.widespread and not known.widespread:
            log.error(
                "data_center.refuses_tokens",
                data_center=org.data_center,
                refused=found.refused,
                remedy="nothing to do: no org is parked for it; see Zoho's status page if it lasts",
            )
        self._refusals[org.data_center] = (self._now(), found)
        return found
