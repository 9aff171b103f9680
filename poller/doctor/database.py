"""Checks the database: the server, its clock, its disk and its schema, then what is stored in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Final

from poller.core.checks import CheckResult, CheckStatus
from poller.core.diagnosis import check_clock, check_disk
from poller.core.errors import PollerError
from poller.doctor import readers, service, stored_data
from poller.doctor.readers import MIGRATE
from poller.embedded.cluster import major_of
from poller.settings import Settings
from poller.settings.report import database_in_use
from poller.store.database import connect
from poller.store.schema import read_state
from poller.store.server_health import OLDEST_VERSION, clock_ahead, orgs_by_data_center, read_server

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from poller.store.database import Database

OpenDatabase = Callable[[Settings], AbstractAsyncContextManager[str]]
"""Gives the address of the database of the settings; an embedded server runs until the context ends."""


async def check_database(
    settings: Settings, open_database: OpenDatabase, report: Callable[[CheckResult], None]
) -> dict[str, int] | None:
    """Reports every check of the database; the number of orgs by data centre, None where that is not known."""
    try:
        if _is_missing(settings):
            what = f"there is none yet in {settings.data_dir}"
            report(CheckResult("database", CheckStatus.WARNING, what, f"{MIGRATE} to make it"))
            return {}
        async with (
            open_database(settings) as dsn,
            await connect(dsn, schema_check=False, max_size=2, application_name="poller doctor") as database,
        ):
            behind = await _check_server(settings, database, report)
            for name, check in _STORED.items():
                report(await _attempt(name, check, settings, database, behind=behind))
            return None if behind else await orgs_by_data_center(database)
    except PollerError as error:
        report(CheckResult("database", CheckStatus.WRONG, error.what, error.remedy))
        what = "migrations, months, keys, roles, maintenance"
        report(CheckResult("what is in it", CheckStatus.UNKNOWN, what, "fix the database first"))
        return None


async def _check_server(settings: Settings, database: Database, report: Callable[[CheckResult], None]) -> bool:
    """Reports the checks of the server; whether the schema is behind this poller."""
    report(await _server(settings, database))
    report(await _clock(database))
    if settings.embedded:
        report(await _disk(settings, database))
    schema = await _migrations(database)
    report(schema)
    return schema.status is CheckStatus.WRONG


def _is_missing(settings: Settings) -> bool:
    """Whether there is no embedded database yet. Connecting would create one, so the files are looked at."""
    return settings.embedded and major_of(settings.data_dir / "postgresql") is None


async def _attempt(
    name: str,
    check: Callable[[Settings, Database], Awaitable[CheckResult]],
    settings: Settings,
    database: Database,
    *,
    behind: bool,
) -> CheckResult:
    """The result of one check; its error as a result where it fails."""
    try:
        return await check(settings, database)
    except PollerError as error:
        if behind:
            return CheckResult(name, CheckStatus.UNKNOWN, "the database is behind", f"{MIGRATE} first")
        return CheckResult(name, CheckStatus.WRONG, error.what, error.remedy)


async def _server(settings: Settings, database: Database) -> CheckResult:
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
    return check_clock("database clock", "PostgreSQL's clock", *await clock_ahead(database))


async def _disk(settings: Settings, database: Database) -> CheckResult:
    disk = shutil.disk_usage(settings.data_dir)
    return check_disk(str(settings.data_dir), disk.free, disk.total, (await read_server(database)).bytes)


async def _migrations(database: Database) -> CheckResult:
    async with database.connection() as connection:
        state = await read_state(connection)
    if state.current is None:
        return CheckResult("migrations", CheckStatus.WRONG, "the database is empty", MIGRATE)
    if state.behind:
        what = f"at {state.current}, this poller needs {state.head}"
        return CheckResult("migrations", CheckStatus.WRONG, what, MIGRATE)
    newer = f", newer than this poller's {state.head}" if state.current > state.head else ""
    return CheckResult("migrations", CheckStatus.OK, f"at {state.current}{newer}")


_STORED: Final = {
    "partitions": stored_data.check_partitions,
    "keys": stored_data.check_stored_keys,
    "access keys": stored_data.check_access_keys,
    "roles": readers.check_roles,
    "web role": readers.check_web_role,
    "locks": readers.check_locks,
    "workers": service.check_workers,
    "workers' clocks": service.check_worker_clocks,
    "schedule": service.check_schedule,
    "future rows": service.check_future_rows,
    "maintenance": service.check_maintenance,
    "messages": service.check_outbox,
    "retention": stored_data.check_stored_retention,
    "twins": stored_data.check_twins,
}
