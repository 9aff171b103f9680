"""Resets everything that was learned with an org's old credentials when it gets new ones.

The next poll then depends on the new credentials alone, whatever state the old ones had left: token, lease, generation,
cool-down, parking, probes, holds, request rate. What the poller spent of the org's daily credits stays: those are the
org's, and the customer's share of them is a promise that new credentials do not renew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.store.orgs.another_org import HAS_HISTORY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.store.queries import Connection


async def forget_old_credentials(connection: Connection, org_ids: Sequence[int]) -> None:
    """Make these orgs start from nothing, within the transaction that writes their new credentials."""
    if org_ids:
        for statement in _FORGET:
            await connection.execute(statement, list(set(org_ids)))


_FORGET: Final = (
    # new_credentials.tokens: the old token, and the answer another worker is waiting for, must not come back. The
    # lease ends before all time, by which a late answer to the old credentials is known. The generation stays, so that
    # a worker that still holds an old token never takes a new one for the same.
    """
    INSERT INTO access_tokens (org_id) SELECT unnest($1::int[])
    ON CONFLICT (org_id) DO UPDATE SET
        token = NULL, key_id = NULL, api_domain = NULL, issued_at = NULL, expires_at = NULL,
        lease_holder = NULL, lease_until = '-infinity', cool_until = NULL, cool_downs = 0
    """,
    # new_credentials.limits: a hold, and what Zoho said was left, may be of another org.
    "DELETE FROM org_limits WHERE org_id = ANY($1::int[])",
    # new_credentials.unpark: the fault may be repaired; edition and licences may be of another org. Where there is a
    # history, the org says first whether it is the one that made it.
    f"""
    UPDATE orgs o SET parked_at = NULL, parked_code = NULL, parked_remedy = NULL, parked_outcome = NULL,
                      probe_at = NULL, probes = 0,
                      facts_at = CASE WHEN {HAS_HISTORY} THEN 'epoch'::timestamptz END, updated_at = now()
    WHERE id = ANY($1::int[]) AND (num_nonnulls(parked_at, probe_at, facts_at) > 0 OR probes > 0 OR {HAS_HISTORY})
    """,  # noqa: S608 - names of the model
)
