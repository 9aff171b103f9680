"""Once a day, beside an org's counts: its zgid, edition, licences and seats, under the same limits and credits.

What cannot be read is noted with its remedy; it is no failure of the poll. An org whose credentials are new is asked
before its counts: where the zgid is another one, they are another Zoho org's, and none of its counts is kept.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from poller.core.admission import HELD
from poller.core.another_org import ANOTHER_ORG, is_another_org
from poller.core.model import USER_TYPES, Outcome, UserType
from poller.core.poll_result import CountRefusal
from poller.polling.plan import FACTS_SECONDS
from poller.store.capacity.seats import SeatReading, save_refusal, save_seats
from poller.store.orgs.another_org import park_as_another_org
from poller.store.orgs.changes import is_org_info_newer, update_org_info
from poller.zoho.org_info import OrgInfo
from poller.zoho.seats import SeatCount, SeatRefusal

if TYPE_CHECKING:
    from poller.core.model import Org, Snapshot
    from poller.polling.poll import PollPorts
    from poller.store.database import Database
    from poller.zoho.limiter import OrgLimiter

log = structlog.get_logger("poller.polling.org_info")


class OrgInfoRefresh:
    """What one poll asks an org about itself; `requests` counts what that took."""

    def __init__(self, database: Database, world: PollPorts, org: Org, limiter: OrgLimiter) -> None:
        self._database = database
        self._world = world
        self._org = org
        self._limiter = limiter
        self._info: OrgInfo | CountRefusal | None = None
        self.requests = 0

    async def prove(self) -> CountRefusal | None:
        """Before the counts: why they must not be asked for, None where they may be.

        An org that Zoho does not answer for now waits. One whose consent hides the zgid is polled: there is no proof.
        """
        info = await self._ask()
        if info is None:
            return CountRefusal(Outcome.THROTTLED, HELD)
        if isinstance(info, CountRefusal):
            if info.outcome in {Outcome.THROTTLED, Outcome.UNAVAILABLE}:
                return info
            if info.outcome is not Outcome.UNAUTHORIZED:
                log.warning("org.unproven", code=info.code, remedy="give consent with the scope ZohoCRM.org.READ too")
            return None
        return await self._refuse_another_org(info)

    async def refresh(self, snapshot: Snapshot) -> Snapshot:
        """After the counts: keeps edition, licences and seats. Without its counts where they are another org's."""
        info = self._info
        if info is None and await self._was_read_meanwhile():
            return snapshot
        if info is None or (isinstance(info, CountRefusal) and info.outcome is Outcome.UNAUTHORIZED):
            info = await self._ask()
        if info is None:
            return snapshot
        if isinstance(info, OrgInfo) and (refusal := await self._refuse_another_org(info)) is not None:
            errors = dict.fromkeys(USER_TYPES, refusal.code)
            return replace(snapshot, outcome=refusal.outcome, error=refusal.code, errors=errors, counts={})
        await self._keep(info if isinstance(info, OrgInfo) else None, snapshot)
        return snapshot

    async def _was_read_meanwhile(self) -> bool:
        """Whether another process has read org info since this poll was planned: once a day is enough for both."""
        since = self._world.now() - timedelta(seconds=FACTS_SECONDS)
        return await is_org_info_newer(self._database, self._org.id, since)

    async def _ask(self) -> OrgInfo | CountRefusal | None:
        self._info, requests = await self._world.fetch_org_info(self._org, self._limiter)
        self.requests += requests
        return self._info

    async def _refuse_another_org(self, info: OrgInfo) -> CountRefusal | None:
        """Parks the org where the credentials are another org's: nothing of the answer is kept then."""
        if info.zgid is None or not is_another_org(self._org.zgid, info.zgid):
            return None
        remedy = await park_as_another_org(self._database, self._org, info.zgid, self._world.now())
        log.warning("org.parked", code=ANOTHER_ORG, remedy=remedy)
        return CountRefusal(Outcome.UNAUTHORIZED, ANOTHER_ORG)

    async def _keep(self, info: OrgInfo | None, snapshot: Snapshot) -> None:
        database, org, now = self._database, self._org, self._world.now
        zgid, edition, licences = (info.zgid, info.edition, info.licences) if info else (None, None, None)
        if await update_org_info(database, org.id, now(), zgid=zgid, edition=edition, licences=licences):
            log.info("org.learned", edition=edition, licences=licences)
        seats, more = await self._world.read_seats(org, self._limiter)
        self.requests += more
        if isinstance(seats, SeatRefusal) and await save_refusal(database, org.id, seats.code, seats.remedy, now()):
            log.warning("seats.refused", code=seats.code, remedy=seats.remedy)
        reading = _reading(info, seats, snapshot.counts.get(UserType.ACTIVE))
        if reading is not None:
            await save_seats(database, org.id, reading, now())


def _reading(facts: OrgInfo | None, seats: SeatCount | SeatRefusal | None, active: int | None) -> SeatReading | None:
    """What `user_licenses` says, else what `/org` says with the active users as those in use; None: neither says."""
    edition, renews_on = (facts.edition, facts.renews_on) if facts else (None, None)
    if isinstance(seats, SeatCount):
        purchased = seats.purchased if seats.purchased is not None else (facts.licences if facts else None)
        return SeatReading(purchased, active if seats.used is None else seats.used, edition, renews_on, "features")
    if facts is None or facts.licences is None:
        return None
    return SeatReading(facts.licences, active, edition, renews_on, "org")
