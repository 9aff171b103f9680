"""Resets the state of an org that depends on its old credentials when it gets new ones.

The next poll then depends on the new credentials alone: token, lease, cool-down, parking, probes, holds and request
rate are reset. The credits that the poller spent in the last 24 hours stay: they belong to the org, and new credentials
do not give the poller another share of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.store.orgs.another_org import HAS_HISTORY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.store.queries import Connection


async def reset_after_new_credentials(connection: Connection, org_ids: Sequence[int]) -> None:
    """Resets the state of these orgs, within the transaction that writes their new credentials."""
    if org_ids:
        for statement in _RESET:
            await connection.execute(statement, list(set(org_ids)))


_RESET: Final = (
    # new_credentials.tokens: the old token must not come back, nor one that another worker is just requesting. The
    # lease end -infinity marks a late reply to the old credentials. The generation stays, so that a worker that still
    # has the old token never mistakes the new one for it.
    """
    INSERT INTO access_tokens (org_id) SELECT unnest($1::int[])
    ON CONFLICT (org_id) DO UPDATE SET
        token = NULL, key_id = NULL, api_domain = NULL, issued_at = NULL, expires_at = NULL,
        lease_holder = NULL, lease_until = '-infinity', cool_until = NULL, cool_downs = 0
    """,
    # new_credentials.limits: holds and remaining credits may belong to another Zoho org.
    "DELETE FROM org_limits WHERE org_id = ANY($1::int[])",
    # new_credentials.unpark: the new credentials may work; edition and licences may belong to another Zoho org. If
    # there is a history, the poller first requests the zgid, to check that it is the same Zoho org.
    f"""
    UPDATE orgs o SET parked_at = NULL, parked_code = NULL, parked_remedy = NULL, parked_outcome = NULL,
                      probe_at = NULL, probes = 0,
                      facts_at = CASE WHEN {HAS_HISTORY} THEN 'epoch'::timestamptz END, updated_at = now()
    WHERE id = ANY($1::int[]) AND (num_nonnulls(parked_at, probe_at, facts_at) > 0 OR probes > 0 OR {HAS_HISTORY})
    """,  # noqa: S608 - names of the model
)
