"""Checks what is stored in the database: months, keys, retention, orgs stored under two names."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from poller.core.checks import CheckResult, CheckStatus
from poller.core.diagnosis import check_keys, check_months, check_peppers, check_retention
from poller.core.errors import SettingsError
from poller.store.access.keys import count_by_pepper
from poller.store.orgs.credentials import read_credentials
from poller.store.orgs.encryption import Keyring
from poller.store.orgs.identity import twins
from poller.store.orgs.key_rotation import key_usage
from poller.store.queue.maintenance import list_tasks
from poller.store.series.partitions import list_partitions, month_after, month_of
from poller.store.series.retention import late_days
from poller.store.server_health import one_org_per_key, orgs_under_keys, read_months

if TYPE_CHECKING:
    from poller.settings import Settings
    from poller.store.database import Database

_MONTHS_AHEAD: Final = 2
"""Months that must exist after the current one. The third is created within hours of the first of a month."""


async def check_partitions(_settings: Settings, database: Database) -> CheckResult:
    """Whether the partitions of this month and the next ones exist, and no default partition does."""
    wanted = [month_of(database.clock.now())]
    for _ in range(_MONTHS_AHEAD):
        wanted.append(month_after(wanted[-1]))
    if (default := (await read_months(database)).default_partition) is not None:
        remedy = (
            f"detach it, for every new month has to search it: ALTER TABLE org_snapshots DETACH PARTITION {default}"
        )
        return CheckResult("partitions", CheckStatus.WRONG, f"{default} is a default partition", remedy)
    served = any(task.name == "partitions" and task.done_at for task in await list_tasks(database))
    return check_months(wanted, [month.since for month in await list_partitions(database)], served=served)


async def check_stored_keys(settings: Settings, database: Database) -> CheckResult:
    """Whether this process can decrypt every row: it has each key in use, and one org under each key decrypts."""
    usage = await key_usage(database)
    keyring = _keyring(settings)
    if keyring is None and usage:
        return check_keys((), usage, await orgs_under_keys(database, list(usage)), file=True)
    if keyring is None:
        return CheckResult("keys", CheckStatus.OK, f"{settings.key_file} is created on first use")
    missing = [key for key in usage if key not in keyring.ids]
    result = check_keys(keyring.ids, usage, await orgs_under_keys(database, missing), file=settings.secret_keys is None)
    if result.status is CheckStatus.OK:
        # A key with the right id may still be the wrong key.
        for org_id in await one_org_per_key(database):
            await read_credentials(database, keyring, org_id)
    return result


async def check_access_keys(settings: Settings, database: Database) -> CheckResult:
    """Whether this process has the encryption keys that the access keys in use are checked with."""
    try:
        keyring = _keyring(settings)
    except SettingsError:
        return CheckResult("access keys", CheckStatus.OK, "not checked, because the encryption keys cannot be read")
    usage = await count_by_pepper(database)
    return check_peppers(() if keyring is None else keyring.ids, usage, file=settings.secret_keys is None)


def _keyring(settings: Settings) -> Keyring | None:
    """The encryption keys; None where the key file does not exist yet."""
    if settings.secret_keys is not None:
        return Keyring.from_setting(settings.secret_keys.get_secret_value())
    return Keyring.from_key_file(settings.key_file) if settings.key_file.exists() else None


async def check_stored_retention(settings: Settings, database: Database) -> CheckResult:
    """Whether months past their retention were dropped, and whether daily counts include every snapshot."""
    overdue = 0
    if settings.snapshot_retention is not None:
        # The retention task and the rollups before it may take a day.
        cutoff = settings.snapshot_retention.cutoff(database.clock.now() - timedelta(days=1))
        overdue = sum(month_after(month.since) <= cutoff for month in await list_partitions(database))
    return check_retention(
        settings.snapshot_retention,
        settings.daily_retention,
        overdue=overdue,
        late=await late_days(database),
        half_dropped=(await read_months(database)).half_dropped,
    )


async def check_twins(_settings: Settings, database: Database) -> CheckResult:
    """Whether one Zoho org is listed under two names."""
    found = await twins(database)
    if not found:
        return CheckResult("twins", CheckStatus.OK, "no Zoho org is listed under two names")
    one, other, mark = found[0]
    more = f", and {len(found) - 1:,} more" if len(found) > 1 else ""
    same = {"grant": "the same credential", "zgid": "the same zgid", "name": "nearly the same name"}[mark]
    return CheckResult(
        "twins",
        CheckStatus.WARNING,
        f"{one!r} and {other!r} have {same}{more}: one Zoho org under two names is polled and counted twice",
        f"keep one: `poller orgs remove '{other}'`",
    )
