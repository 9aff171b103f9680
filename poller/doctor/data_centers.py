"""Checks that the data centres are reachable, and compares their clock with this machine's. No credential is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.core.checks import CheckResult, CheckStatus
from poller.core.diagnosis import check_data_center, check_network, check_zoho_clock
from poller.core.quantities import count
from poller.zoho.client import open_client
from poller.zoho.reachability import is_reachable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from poller.settings import Settings

_MAX_WAIT_SECONDS: Final = 10
"""For the reply of one server; requests of polls may take longer."""


async def check_data_centers(
    settings: Settings, orgs: Mapping[str, int] | None, report: Callable[[CheckResult], None]
) -> None:
    """Checks the data centres that have orgs; every data centre if there is no org, or if that is not known (None)."""
    listed = settings.data_centers
    for name, number in (orgs or {}).items():
        if name not in listed:
            what = f"{count(number, 'org')} in it, but no setting gives its address"
            report(CheckResult(f"data centre {name}", CheckStatus.WRONG, what, "add it to POLLER_DATA_CENTERS"))
    used = [listed[name] for name in orgs or listed if name in listed]
    servers = {one.name: list(dict.fromkeys((one.accounts_server, *one.api_domains))) for one in used}
    origins = dict.fromkeys(url for urls in servers.values() for url in urls)
    async with open_client(
        connections=len(origins) or 1,
        request_timeout_seconds=min(settings.request_timeout_seconds, _MAX_WAIT_SECONDS),
        proxy=settings.proxy_address,
    ) as client:
        probes = await is_reachable(client, origins)
    if (no_network := check_network(list(probes.values()))) is not None:
        report(no_network)
        return
    for name, urls in servers.items():
        report(check_data_center(name, [probes[url] for url in urls], (orgs or {}).get(name)))
    report(check_zoho_clock(list(probes.values())))
