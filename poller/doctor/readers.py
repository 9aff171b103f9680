"""Checks other users of the database: the rights of reading roles, and sessions that block the poller."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from poller.core.checks import CheckResult, CheckStatus
from poller.store.access.roles import has_logins, read_missing
from poller.store.access.scoped import missing_role
from poller.store.blockers import LOCKS, lock_holders, other_holders
from poller.store.server_health import missing_readers

if TYPE_CHECKING:
    from poller.settings import Settings
    from poller.store.blockers import Blocker
    from poller.store.database import Database

MIGRATE: Final = "run `poller migrate`"
_LONG: Final = timedelta(minutes=1)
_TOO_LONG: Final = timedelta(seconds=10)
"""The poller waits at most this long for locks; its own are held for seconds."""
_LOOK_AGAIN_SECONDS: Final = 2.0
"""Between two looks at transactions whose start time this role may not see."""


async def check_roles(_settings: Settings, database: Database) -> CheckResult:
    """Whether readers and guests can read, and whether their logins have limits."""
    absent, blind = await missing_readers(database)
    if absent:
        statements = " ".join(f"CREATE ROLE {role} NOLOGIN;" for role in absent)
        remedy = f"{MIGRATE}; if it may not create roles, have an administrator run `{statements}` first"
        return CheckResult("roles", CheckStatus.WARNING, f"not there: {', '.join(absent)}", remedy)
    if blind:
        return CheckResult("roles", CheckStatus.WARNING, f"may not read yet: {', '.join(blind)}", MIGRATE)
    missing = await read_missing(database)
    if missing.to_read:
        remedy = f"{MIGRATE}, or have an administrator run `{'; '.join(missing.to_read)};`"
        return CheckResult(
            "roles", CheckStatus.WARNING, "poller_reader or poller_guest cannot reach what it may read", remedy
        )
    if missing.to_limit and await has_logins(database):
        remedy = f"{MIGRATE}, or have an administrator run `{'; '.join(missing.to_limit)};`"
        return CheckResult("roles", CheckStatus.WARNING, "logins of readers or guests lack limits", remedy)
    return CheckResult("roles", CheckStatus.OK, "poller_reader and poller_guest may read, within limits")


async def check_web_role(_settings: Settings, database: Database) -> CheckResult:
    """Whether PostgreSQL hides other orgs from callers with tags, in addition to the conditions of queries."""
    if not await missing_role(database):
        return CheckResult("web role", CheckStatus.OK, "PostgreSQL hides other orgs from access keys with tags")
    what = "only queries hide other orgs from access keys with tags: the role poller_web cannot be used"
    user = await database.fetchval("SELECT quote_ident(current_user)")
    statements = f"CREATE ROLE poller_web NOLOGIN; GRANT poller_web TO {user};"
    remedy = f"{MIGRATE}; if it may not create roles, have an administrator run `{statements}` first"
    return CheckResult("web role", CheckStatus.WARNING, what, remedy)


async def check_locks(_settings: Settings, database: Database) -> CheckResult:
    """Whether another session's open transaction blocks polls, migrations, or the deletion of old months."""
    found = await other_holders(database)
    if any(blocker.since is None for blocker in found):
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        later = {blocker.transaction for blocker in await other_holders(database)}
        found = [blocker for blocker in found if blocker.transaction in later]
    now = database.clock.now()
    found = [blocker for blocker in found if _is_long(blocker, now)]
    held = [one for one in await lock_holders(database, LOCKS) if one.since and now - one.since > _TOO_LONG]
    if held:
        what = f"{held[0]}, holds a lock of the poller and keeps polls, months and migrations waiting"
        return CheckResult("locks", CheckStatus.WARNING, what, _end(held[0]))
    if not found:
        return CheckResult("locks", CheckStatus.OK, "no other session holds up the poller")
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    what = f"{found[0]}{more}, keeps months from being dropped and migrations from running"
    return CheckResult("locks", CheckStatus.WARNING, what, _end(found[0]))


def _end(blocker: Blocker) -> str:
    return f"end that transaction: SELECT pg_terminate_backend({blocker.pid})"


def _is_long(blocker: Blocker, now: datetime) -> bool:
    """Whether a transaction has run for long. One whose start is hidden was seen twice, which counts as long."""
    return blocker.since is None or now - blocker.since > _LONG
