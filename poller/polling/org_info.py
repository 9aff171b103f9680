"""Once a day, beside an org's counts: its edition, licences and seats, under the same limits and credits.

What cannot be read is noted with its remedy; it is no failure of the poll.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from poller.core.model import UserType
from poller.store.capacity.seats import SeatReading, save_refusal, save_seats
from poller.store.orgs.changes import learn
from poller.zoho.seats import SeatCount, SeatRefusal

if TYPE_CHECKING:
    from poller.core.model import Org, Snapshot
    from poller.polling.poll import World
    from poller.store.database import Database
    from poller.zoho.limiter import OrgLimiter
    from poller.zoho.org_check import OrgFacts

log = structlog.get_logger("poller.polling.org_info")


async def refresh_org_info(database: Database, world: World, org: Org, limiter: OrgLimiter, snapshot: Snapshot) -> int:
    """Asks what the org's limits and seats are, and keeps the answers; how many requests that took."""
    facts, requests = await world.learn_facts(org, limiter)
    if not requests:
        return 0
    zgid, edition, licences = (facts.zgid, facts.edition, facts.licences) if facts else (None, None, None)
    if await learn(database, org.id, world.now(), zgid=zgid, edition=edition, licences=licences):
        log.info("org.learned", edition=edition, licences=licences)
    seats, more = await world.read_seats(org, limiter)
    if isinstance(seats, SeatRefusal) and await save_refusal(database, org.id, seats.code, seats.remedy, world.now()):
        log.warning("seats.refused", code=seats.code, remedy=seats.remedy)
    reading = _reading(facts, seats, snapshot.counts.get(UserType.ACTIVE))
    if reading is not None:
        await save_seats(database, org.id, reading, world.now())
    return requests + more


def _reading(facts: OrgFacts | None, seats: SeatCount | SeatRefusal | None, active: int | None) -> SeatReading | None:
    """What `user_licenses` says, else what `/org` says with the active users as those in use; None: neither says."""
    edition, renews_on = (facts.edition, facts.renews_on) if facts else (None, None)
    if isinstance(seats, SeatCount):
        purchased = seats.purchased if seats.purchased is not None else (facts.licences if facts else None)
        return SeatReading(purchased, active if seats.used is None else seats.used, edition, renews_on, "features")
    if facts is None or facts.licences is None:
        return None
    return SeatReading(facts.licences, active, edition, renews_on, "org")
