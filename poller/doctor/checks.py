"""Runs all checks in order and reports each result as soon as it is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.core.checks import CheckResult, CheckStatus
from poller.core.errors import SettingsError
from poller.core.quantities import count
from poller.doctor.data_centers import check_data_centers
from poller.doctor.database import check_database
from poller.doctor.settings import check_settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from poller.core.secret import Secret
    from poller.doctor.database import OpenDatabase

    CheckAddresses = Callable[[Sequence[Secret], str], Awaitable[None]]


async def run_checks(
    env_file: Path | None,
    open_database: OpenDatabase,
    check_addresses: CheckAddresses,
    report: Callable[[CheckResult], None],
) -> None:
    """Checks the settings of the environment and of `env_file`, then the database and the data centres they name."""
    settings, results = check_settings(env_file)
    for result in results:
        report(result)
    if settings is None:
        what = "database, keys, data centres"
        report(CheckResult("everything else", CheckStatus.UNKNOWN, what, "correct the settings first"))
        return
    if settings.notify_addresses:
        report(await _check_addresses(settings.notify_addresses, check_addresses))
    orgs = await check_database(settings, open_database, report)
    await check_data_centers(settings, orgs, report)


async def _check_addresses(urls: Sequence[Secret], check_addresses: CheckAddresses) -> CheckResult:
    try:
        await check_addresses(urls, "POLLER_NOTIFY_URLS")
    except SettingsError as error:
        return CheckResult("addresses", CheckStatus.WRONG, error.what, error.remedy)
    return CheckResult("addresses", CheckStatus.OK, f"{count(len(urls), 'address', 'addresses')} for messages")
