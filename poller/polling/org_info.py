"""Once a day, requests an org's zgid, edition, licences and seats along with its counts, under the same limits.

If Zoho refuses, the remedy is stored or logged; the poll has not failed. If the credentials of an org are new, its zgid
is requested before its counts: another zgid means that the credentials belong to another Zoho org, and none of its
counts is kept.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from poller.core.admission import HELD
from poller.core.another_org import ANOTHER_ORG, is_another_org
from poller.core.model import USER_TYPES, Outcome, UserType
from poller.core.poll_result import CountRefusal
from poller.core.poll_state import INFO_LIFETIME
from poller.store.capacity.seats import SeatReading, save_refusal, save_seats
from poller.store.orgs.another_org import park_as_another_org
from poller.store.orgs.changes import is_org_info_newer, update_org_info
from poller.zoho.org_info import OrgInfo
from poller.zoho.seats import SeatCount, SeatRefusal

if TYPE_CHECKING:
    from poller.core.model import Org, Snapshot
    from poller.polling.ports import PollPorts
    from poller.store.database import Database
    from poller.zoho.limiter import OrgLimiter

log = structlog.get_logger("poller.polling.org_info")


class OrgInfoRefresh:
    """The requests of one poll for org info; `requests` counts them."""

    def __init__(self, database: Database, ports: PollPorts, org: Org, limiter: OrgLimiter) -> None:
        self._database = database
        self._ports = ports
        self._org = org
        self._limiter = limiter
        self._info: OrgInfo | CountRefusal | None = None
        self.requests = 0

    async def prove(self) -> CountRefusal | None:
        """Requests the zgid; returns why the counts must not be requested, or None.

        If Zoho does not answer now, the counts wait. If the consent does not cover the zgid, there is no proof, and the
        counts are requested without it.
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
        """Stores edition, licences and seats; returns the snapshot, without its counts if they are another org's."""
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
        """Whether another process has read org info since this poll started: once a day is enough for both."""
        since = self._ports.now() - INFO_LIFETIME
        return await is_org_info_newer(self._database, self._org.id, since)

    async def _ask(self) -> OrgInfo | CountRefusal | None:
        self._info, requests = await self._ports.fetch_org_info(self._org, self._limiter)
        self.requests += requests
        return self._info

    async def _refuse_another_org(self, info: OrgInfo) -> CountRefusal | None:
        """Parks the org if the credentials belong to another Zoho org; then nothing of the reply is stored."""
        if info.zgid is None or not is_another_org(self._org.zgid, info.zgid):
            return None
        remedy = await park_as_another_org(self._database, self._org, info.zgid, self._ports.now())
        log.warning("org.parked", code=ANOTHER_ORG, remedy=remedy)
        return CountRefusal(Outcome.UNAUTHORIZED, ANOTHER_ORG)

    async def _keep(self, info: OrgInfo | None, snapshot: Snapshot) -> None:
        database, org, now = self._database, self._org, self._ports.now
        zgid, edition, licences = (info.zgid, info.edition, info.licences) if info else (None, None, None)
        if await update_org_info(database, org.id, now(), zgid=zgid, edition=edition, licences=licences):
            log.info("org.learned", edition=edition, licences=licences)
        seats, more = await self._ports.read_seats(org, self._limiter)
        self.requests += more
        if isinstance(seats, SeatRefusal) and await save_refusal(database, org.id, seats.code, seats.remedy, now()):
            log.warning("seats.refused", code=seats.code, remedy=seats.remedy)
        reading = _reading(info, seats, snapshot.counts.get(UserType.ACTIVE))
        if reading is not None:
            await save_seats(database, org.id, reading, now())


def _reading(facts: OrgInfo | None, seats: SeatCount | SeatRefusal | None, active: int | None) -> SeatReading | None:
    """The seats by `user_licenses`, else by `/org` with the active users as the used seats; None if neither says."""
    edition, renews_on = (facts.edition, facts.renews_on) if facts else (None, None)
    if isinstance(seats, SeatCount):
        purchased = seats.purchased if seats.purchased is not None else (facts.licences if facts else None)
        return SeatReading(purchased, active if seats.used is None else seats.used, edition, renews_on, "features")
    if facts is None or facts.licences is None:
        return None
    return SeatReading(facts.licences, active, edition, renews_on, "org")
