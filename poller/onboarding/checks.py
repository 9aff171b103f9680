"""Checks orgs with live calls, and keeps what the checks show: an org that works again is polled again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.core.another_org import is_another_org
from poller.core.checks import CheckStatus
from poller.core.editions import limits_of
from poller.polling.bounded import for_each
from poller.store.orgs import credits as credit_store, parking
from poller.store.orgs.another_org import park_as_another_org
from poller.store.orgs.changes import update_org_info
from poller.store.orgs.pollable import pages_of_active
from poller.zoho.org_check import Check, check_org
from poller.zoho.org_requests import CheckPorts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from poller.onboarding.context import OnboardingContext
    from poller.store.orgs.pollable import PollableOrg
    from poller.zoho.org_check import OrgCheck
    from poller.zoho.token_request import NoToken

PARALLEL_CHECKS: Final = 16
CREDITS: Final = 3
"""The most that one check costs."""


async def check_orgs(
    context: OnboardingContext,
    names: Sequence[str] | None,
    on_result: Callable[[OrgCheck], None],
    refused: Mapping[int, NoToken] | None = None,
) -> None:
    """Checks these orgs, or every active one (None), in parallel, and calls `on_result` for each.

    `refused`: orgs by id whose grant code was refused just now, and why. Edition, licences and zgid are stored as Zoho
    says them; an org whose counts can be read is unparked, one with another org's credentials is parked.
    """
    settings = context.settings

    async def orgs() -> AsyncIterator[PollableOrg]:
        pages = pages_of_active(
            context.database,
            names,
            now=context.zoho.now(),
            api_version=settings.api_version,
            interval_seconds=settings.poll_interval_seconds,
        )
        async for page in pages:
            for pollable in page:
                yield pollable

    async def check_one(pollable: PollableOrg) -> None:
        refusal = (refused or {}).get(pollable.org.id)
        on_result(await _check(context, pollable, refusal))

    await for_each(orgs(), check_one, at_once=PARALLEL_CHECKS)


async def _check(context: OnboardingContext, pollable: PollableOrg, refusal: NoToken | None) -> OrgCheck:
    database, zoho, org = context.database, context.zoho, pollable.org
    ports = CheckPorts(zoho.tokens, zoho.client.count, zoho.client.get, zoho.now)
    await credit_store.spend(database, {org.id: CREDITS}, zoho.now())
    limits = limits_of(org.edition, context.settings.in_flight_share)
    with zoho.limiter.org(org.id, limits, pollable.rate_limit, data_center=org.data_center) as limiter:
        found = await check_org(org, limiter, ports, refusal=refusal)
    info = found.info
    if info is not None and info.zgid and is_another_org(org.zgid, info.zgid):
        await park_as_another_org(database, org, info.zgid, zoho.now())
        return found
    if info is not None:
        await update_org_info(
            database, org.id, zoho.now(), zgid=info.zgid, edition=info.edition, licences=info.licences
        )
    if found.status(Check.USERS) is CheckStatus.OK:
        await parking.unpark(database, org.id)
    return found
