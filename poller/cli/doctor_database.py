"""The doctor's look at the database and at what is in it."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from poller.cli.doctor_readers import MAKE as _MAKE, examine_locks, examine_roles
from poller.cli.doctor_service import SERVICE_CHECKS
from poller.core.diagnosis import (
    CheckResult,
    CheckStatus,
    judge_clock,
    judge_disk,
    judge_keys,
    judge_months,
    judge_retention,
)
from poller.core.errors import PollerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from poller.settings import Settings
    from poller.store.database import Database

_MONTHS_AHEAD: Final = 2
"""The third is made within hours of the first of a month."""


async def examine_database(settings: Settings, tell: Callable[[CheckResult], None]) -> dict[str, int] | None:
    """Tell every finding; the number of orgs by data centre, or None where that cannot be known."""
    from poller.app import database_dsn
    from poller.store.database import connect
    from poller.store.server_health import orgs_by_data_center

    try:
        if _none_yet(settings):
            tell(
                CheckResult(
                    "database",
                    CheckStatus.WARNING,
                    f"there is none yet in {settings.data_dir}",
                    f"{_MAKE}: it makes it",
                )
            )
            return {}
        async with (
            database_dsn(settings) as dsn,
            await connect(dsn, schema_check=False, max_size=2, application_name="poller doctor") as database,
        ):
            tell(await _server(settings, database))
            tell(await _clock(database))
            if settings.embedded:
                tell(await _disk(settings, database))
            schema = await _migrations(database)
            tell(schema)
            for check, look in _CHECKS.items():
                tell(await _attempt(check, look, settings, database, behind=schema.verdict is CheckStatus.WRONG))
            return None if schema.verdict is CheckStatus.WRONG else await orgs_by_data_center(database)
    except PollerError as error:
        tell(CheckResult("database", CheckStatus.WRONG, error.what, error.remedy))
        tell(
            CheckResult(
                "what is in it",
                CheckStatus.UNKNOWN,
                "migrations, months, keys, roles, chores",
                "fix the database first",
            )
        )
        return None


def _none_yet(settings: Settings) -> bool:
    """Whether an embedded database is still to be made: to look at it would make it."""
    from poller.embedded.cluster import major_of

    return settings.embedded and major_of(settings.data_dir / "postgresql") is None


async def _attempt(
    check: str,
    look: Callable[[Settings, Database], Awaitable[CheckResult]],
    settings: Settings,
    database: Database,
    *,
    behind: bool,
) -> CheckResult:
    try:
        return await look(settings, database)
    except PollerError as error:
        if behind:
            return CheckResult(check, CheckStatus.UNKNOWN, "the database is behind", f"{_MAKE} first")
        return CheckResult(check, CheckStatus.WRONG, error.what, error.remedy)


async def _server(settings: Settings, database: Database) -> CheckResult:
    from poller.settings.report import database_in_use
    from poller.store.server_health import OLDEST_VERSION, read_server

    facts = await read_server(database)
    what = f"PostgreSQL {facts.version.partition(' ')[0]}" + (
        f", embedded in {settings.data_dir}"
        if settings.embedded
        else f", {database_in_use(settings)}" + (", through a pooler" if database.pooled else "")
    )
    if facts.version_number < OLDEST_VERSION:
        return CheckResult(
            "database", CheckStatus.WRONG, what, f"{OLDEST_VERSION // 10_000} or newer is needed: upgrade it"
        )
    if facts.read_only:
        remedy = "point POLLER_DATABASE_URL at the primary, not at a replica"
        return CheckResult("database", CheckStatus.WRONG, f"{what}, which takes no writes", remedy)
    return CheckResult("database", CheckStatus.OK, f"{what}, answers")


async def _clock(database: Database) -> CheckResult:
    from poller.store.server_health import clock_ahead

    return judge_clock("database clock", "PostgreSQL's clock", *await clock_ahead(database))


async def _disk(settings: Settings, database: Database) -> CheckResult:
    from poller.store.server_health import read_server

    room = shutil.disk_usage(settings.data_dir)
    return judge_disk(str(settings.data_dir), room.free, room.total, (await read_server(database)).bytes)


async def _migrations(database: Database) -> CheckResult:
    from poller.store.schema import read_state

    async with database.connection() as connection:
        state = await read_state(connection)
    if state.current is None:
        return CheckResult("migrations", CheckStatus.WRONG, "the database is empty", _MAKE)
    if state.behind:
        return CheckResult(
            "migrations", CheckStatus.WRONG, f"at {state.current}, this poller needs {state.head}", _MAKE
        )
    newer = f", newer than this poller's {state.head}" if state.current > state.head else ""
    return CheckResult("migrations", CheckStatus.OK, f"at {state.current}{newer}")


async def _partitions(_settings: Settings, database: Database) -> CheckResult:
    from poller.store.queue.maintenance import list_tasks
    from poller.store.series.partitions import list_partitions, month_after, month_of
    from poller.store.server_health import read_months

    wanted = [month_of(database.clock.now())]
    for _ in range(_MONTHS_AHEAD):
        wanted.append(month_after(wanted[-1]))
    if (default := (await read_months(database)).default_partition) is not None:
        remedy = (
            f"detach it, for every new month has to search it: ALTER TABLE org_snapshots DETACH PARTITION {default}"
        )
        return CheckResult("partitions", CheckStatus.WRONG, f"{default} is a default partition", remedy)
    served = any(chore.name == "partitions" and chore.done_at for chore in await list_tasks(database))
    return judge_months(wanted, [month.since for month in await list_partitions(database)], served=served)


async def _keys(settings: Settings, database: Database) -> CheckResult:
    from poller.app import KEY_FILE
    from poller.store.orgs.credentials import read_credentials
    from poller.store.orgs.encryption import Keyring
    from poller.store.orgs.key_rotation import key_usage
    from poller.store.server_health import one_org_per_key, orgs_under_keys

    usage = await key_usage(database)
    path = settings.data_dir / KEY_FILE
    if settings.secret_keys is not None:
        keyring = Keyring.from_setting(settings.secret_keys.get_secret_value())
    elif path.exists():
        keyring = Keyring.from_key_file(path)
    elif usage:
        return judge_keys((), usage, await orgs_under_keys(database, list(usage)), file=True)
    else:
        return CheckResult("keys", CheckStatus.OK, f"{path} is made with its first use")
    away = [key for key in usage if key not in keyring.ids]
    finding = judge_keys(keyring.ids, usage, await orgs_under_keys(database, away), file=settings.secret_keys is None)
    if finding.verdict is CheckStatus.OK:
        # A key of the right name may be another key.
        for org_id in await one_org_per_key(database):
            await read_credentials(database, keyring, org_id)
    return finding


async def _retention(settings: Settings, database: Database) -> CheckResult:
    from poller.store.series.partitions import list_partitions, month_after
    from poller.store.series.retention import late_days
    from poller.store.server_health import read_months

    overdue = 0
    if settings.snapshot_retention is not None:
        # A day is what the chore and the rollups it waits for may take.
        cutoff = settings.snapshot_retention.cutoff(database.clock.now() - timedelta(days=1))
        overdue = sum(month_after(month.since) <= cutoff for month in await list_partitions(database))
    return judge_retention(
        settings.snapshot_retention,
        settings.daily_retention,
        overdue=overdue,
        late=await late_days(database),
        half_dropped=(await read_months(database)).half_dropped,
    )


async def _twins(_settings: Settings, database: Database) -> CheckResult:
    from poller.store.orgs.identity import twins

    found = await twins(database)
    if not found:
        return CheckResult("twins", CheckStatus.OK, "no Zoho org is there under two names")
    one, other, mark = found[0]
    more = f", and {len(found) - 1:,} more" if len(found) > 1 else ""
    same = {"grant": "the same credential", "zgid": "the same zgid", "name": "nearly the same name"}[mark]
    return CheckResult(
        "twins",
        CheckStatus.WARNING,
        f"{one!r} and {other!r} have {same}{more}: one Zoho org under two names is polled and counted twice",
        f"keep one: `poller orgs remove '{other}'`",
    )


_CHECKS: Final = {
    "partitions": _partitions,
    "keys": _keys,
    "roles": examine_roles,
    "locks": examine_locks,
    **SERVICE_CHECKS,
    "retention": _retention,
    "twins": _twins,
}
