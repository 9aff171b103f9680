"""Clears limits of orgs that end later than any real one could, left by a release that used its worker's wrong clock.

Such a limit would stop the org's polls until the wrong time comes: a rate-limit hold, a cool-down or lease of its
token, credits that count as spent, a probe of a parked org. A time counts as wrong only if it is too late by `now` and
by PostgreSQL's clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from datetime import datetime

    from poller.store.database import Database

log = structlog.get_logger("poller.store")

_LATEST: Final = "greatest($1::timestamptz, now())"
# Holds, cool-downs and leases last an hour at most unless Zoho asks for more; probes are a day apart at most.
_STATEMENTS: Final = {
    # future_limits.holds
    "holds": f"""
        UPDATE org_limits SET hold_until = NULL, holds = 0
        WHERE hold_until > {_LATEST} + interval '1 day'""",  # noqa: S608 - the expression stands above
    # future_limits.credits_remaining
    "credits_remaining": f"""
        UPDATE org_limits SET credits_remaining = NULL, credits_remaining_at = NULL
        WHERE credits_remaining_at > {_LATEST} + interval '1 minute'""",  # noqa: S608 - as above
    # future_limits.cool_downs
    "cool_downs": f"""
        UPDATE access_tokens SET cool_until = NULL, cool_downs = 0
        WHERE cool_until > {_LATEST} + interval '1 day'""",  # noqa: S608 - as above
    # future_limits.leases
    "leases": f"""
        UPDATE access_tokens SET lease_until = NULL, lease_holder = NULL
        WHERE lease_until > {_LATEST} + interval '1 day' AND lease_until < 'infinity'""",  # noqa: S608 - as above
    # future_limits.probes
    "probes": f"""
        UPDATE orgs SET probe_at = {_LATEST}
        WHERE probe_at > {_LATEST} + interval '2 days'""",  # noqa: S608 - as above
    # future_limits.facts
    "org_info": f"""
        UPDATE orgs SET facts_at = {_LATEST}
        WHERE facts_at > {_LATEST} + interval '1 minute'""",  # noqa: S608 - as above
    # future_limits.credits
    "credits_spent": f"""
        DELETE FROM credit_spend
        WHERE bucket > {_LATEST} + interval '15 minutes'""",  # noqa: S608 - as above
    # future_limits.budgets: ten issues in ten minutes are allowed; an issue in the future would count for ever.
    "token_budgets": f"""
        DELETE FROM token_budgets
        WHERE {_LATEST} + interval '1 hour' < ANY (issued_at)""",  # noqa: S608 - as above
}


async def clear_future_limits(database: Database, now: datetime) -> dict[str, int]:
    """Clears every limit that lies too far in the future; returns the number of rows changed, by kind of limit."""
    changed: dict[str, int] = {}
    for kind, statement in _STATEMENTS.items():
        status = await database.execute(statement, now)
        rows = int(status.rpartition(" ")[2])
        if rows:
            changed[kind] = rows
    if changed:
        log.warning("limits.future_cleared", why="a worker of an earlier release had a wrong clock", **changed)
    return changed
