"""Everything that is known about one org, except its secrets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from poller.store.capacity.contracts import read_contract
from poller.store.orgs.credits import spent
from poller.store.orgs.orgs import read_org
from poller.store.orgs.pollable import read_pollable
from poller.store.orgs.states import StateFilter, read_page
from poller.store.queue.service_settings import read_service_settings

if TYPE_CHECKING:
    from datetime import datetime

    from poller.core.policy import PollPolicy
    from poller.core.states import OrgState
    from poller.store.database import Database
    from poller.store.orgs.orgs import OrgRecord
    from poller.store.orgs.pollable import PollableOrg


@dataclass(frozen=True, slots=True)
class OrgDetails:
    """One org: its record, its state, its limits (None for a removed org), the settings of the service, its contract.

    `contract`: its columns about seats; None without a contract.
    """

    at: datetime
    record: OrgRecord
    state: OrgState
    pollable: PollableOrg | None
    credits_spent: int
    service: PollPolicy
    contract: dict[str, Any] | None


async def read_details(database: Database, org_id: int) -> OrgDetails | None:
    """Reads the details of an org; None if the org was purged just now."""
    now = database.clock.now()
    service = await read_service_settings(database)
    record = await read_org(database, org_id)
    page = await read_page(database, StateFilter(org_ids=[org_id], removed=True))
    if record is None or not page.orgs:
        return None
    pollables = await read_pollable(
        database,
        [org_id],
        now=now,
        api_version=service.api_version,
        interval_seconds=service.poll_interval_seconds,
    )
    credits_spent = (await spent(database, [org_id], now))[org_id]
    contract = await read_contract(database, org_id)
    return OrgDetails(now, record, page.orgs[0], pollables[0] if pollables else None, credits_spent, service, contract)
