"""Reads what decides about polls and what polls start from: one row per slot, by one query for many slots.

Pages are found by key, so that any number of orgs takes the memory of one page and no transaction outlives a page.
"""

from __future__ import annotations

import math
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from poller.core.credits import affordable_interval, credits_to_spend
from poller.core.editions import daily_credits
from poller.core.health import Parked, outcome_of_parked_code
from poller.core.model import Org, Outcome
from poller.core.poll_state import PollState
from poller.core.rate_limit import INITIAL, RateLimitState
from poller.core.slots import slot_of
from poller.core.token import KEY_MISSING
from poller.store.orgs.credits import counted_after
from poller.store.orgs.orgs import find_orgs
from poller.store.orgs.tokens import decrypt_token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from datetime import datetime

    from poller.core.policy import PollPolicy
    from poller.core.schedule import Due
    from poller.core.token import StoredToken
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring


async def read_poll_states(
    database: Database,
    keyring: Keyring,
    policy: PollPolicy,
    due: Sequence[Due],
    own_jobs: Sequence[int],
    *,
    now: datetime,
    heartbeat_timeout: timedelta,
) -> list[PollState | None]:
    """The states of these slots, in their order; None for a slot of a removed org.

    `own_jobs`: the jobs of this worker, which do not make an org busy. Nor do jobs whose last heartbeat is older than
    `heartbeat_timeout`.
    """
    states: list[PollState | None] = [None] * len(due)
    org_ids, slots = [one.org_id for one in due], [one.slot for one in due]
    for row in await database.fetch(_SLOTS, org_ids, slots, now, counted_after(now), heartbeat_timeout, list(own_jobs)):
        place = row["place"] - 1
        states[place] = _state(
            row,
            keyring,
            policy,
            now,
            slot=due[place].slot,
            due=due[place],
            active=row["active"],
            known=row["slot_outcome"] == Outcome.OK and not _asked_after(due[place], row["slot_polled_at"]),
            polled_at=row["slot_polled_at"],
            busy=row["busy"],
            cool_until=row["cool_until"],
        )
    return states


async def pages_of_poll_states(
    database: Database,
    keyring: Keyring,
    policy: PollPolicy,
    names: Sequence[str] | None,
    *,
    now: Callable[[], datetime],
    data_center: str | None = None,
    probe: bool = False,
    page: int = 200,
) -> AsyncIterator[list[PollState]]:
    """The states of every active org, or of the named orgs even if they are paused, for the slot of this moment.

    `probe`: poll parked orgs too. An unknown name is a `UsageError`.
    """
    async for rows in pages_of_rows(database, names, now=now, data_center=data_center, page=page):
        moment = now()
        yield [_state(row, keyring, policy, moment, probe=probe) for row in rows]


async def count_by_data_center(database: Database, names: Sequence[str] | None) -> dict[str, int]:
    """The number of active orgs, or of the named orgs, in each data centre. An unknown name is a `UsageError`."""
    if names is not None:
        return dict(Counter(org.data_center for org in await find_orgs(database, names)))
    return {row["data_center"]: row["orgs"] for row in await database.fetch(_DATA_CENTERS)}


async def pages_of_rows(
    database: Database,
    names: Sequence[str] | None,
    *,
    now: Callable[[], datetime],
    data_center: str | None = None,
    page: int = 200,
) -> AsyncIterator[Sequence[Any]]:
    """Rows with `POLL_COLUMNS` of every active org, or of the named orgs; the last page may be empty."""
    ids = None if names is None else [org.id for org in await find_orgs(database, names)]
    after = 0
    while True:
        rows = await database.fetch(POLL_PAGE, after, page, ids, counted_after(now()), data_center)
        yield rows
        if len(rows) < page:
            return
        after = rows[-1]["org_id"]


def org_of(row: Any, policy: PollPolicy) -> Org:
    """The org of a row with `POLL_COLUMNS`."""
    return Org(
        id=row["org_id"],
        name=row["name"],
        data_center=row["data_center"],
        api_version=row["api_version"] or policy.api_version,
        interval_seconds=row["poll_interval_seconds"] or policy.poll_interval_seconds,
        edition=row["edition"],
        licences=row["licences"],
        zgid=row["zgid"],
    )


def parked_of(row: Any) -> Parked | None:
    """Why the org of a row with `POLL_COLUMNS` is parked; None if it is not."""
    if row["parked_at"] is None:
        return None
    code, outcome = row["parked_code"], row["parked_outcome"]
    return Parked(
        at=row["parked_at"],
        code=code,
        remedy=row["parked_remedy"],
        probe_at=row["probe_at"],
        # Workers of the release before revision 0023 store no outcome.
        outcome=outcome_of_parked_code(code) if outcome is None else Outcome(outcome),
    )


def rate_limit_of(row: Any) -> RateLimitState:
    """The stored rate limit state of the org of a row with `POLL_COLUMNS`."""
    if row["holds"] is None:
        return INITIAL
    hold_until = row["hold_until"].timestamp() if row["hold_until"] else 0.0
    return RateLimitState(hold_until=hold_until, holds=row["holds"], rate_factor=row["rate_factor"])


def token_of(row: Any, keyring: Keyring) -> StoredToken | None:
    """The stored token of the org of a row with `POLL_COLUMNS`; see `decrypt_token`."""
    return None if row["token"] is None else decrypt_token(keyring, {**row, "key_id": row["token_key_id"]})


def _state(
    row: Any,
    keyring: Keyring,
    policy: PollPolicy,
    now: datetime,
    *,
    slot: datetime | None = None,
    **of_slot: Any,
) -> PollState:
    org = org_of(row, policy)
    allowance = daily_credits(org.edition, org.licences)
    heard_at, key_id = row["credits_remaining_at"], row["key_id"]
    age_seconds = math.inf if heard_at is None else (now - heard_at) / timedelta(seconds=1)
    if slot is None:
        slot = slot_of(now, affordable_interval(org.interval_seconds, allowance, policy.credit_share))
    return PollState(
        now=now,
        org=org,
        slot=slot,
        parked=parked_of(row),
        hold_until=row["hold_until"],
        credits_left=credits_to_spend(
            allowance, policy.credit_share, row["credits_spent"], row["credits_remaining"], age_seconds
        ),
        rate_limit=rate_limit_of(row),
        token=token_of(row, keyring),
        key_id=key_id,
        unopened=None if key_id is None or key_id in keyring.ids else KEY_MISSING,
        info_at=row["facts_at"],
        is_unproven=bool(row["is_unproven"]),
        **of_slot,
    )


def _asked_after(due: Due, polled_at: datetime | None) -> bool:
    """Whether a person asked for the slot after it was polled: then known counts are requested again."""
    return due.asked_at is not None and (polled_at is None or polled_at < due.asked_at)


# poll_state.data_centers
_DATA_CENTERS: Final = """
SELECT data_center, count(*)::int AS orgs FROM orgs WHERE removed_at IS NULL AND paused_at IS NULL
GROUP BY data_center ORDER BY data_center
"""

# What a poll starts from; $4: credits since.
_COLUMNS: Final = """o.id AS org_id, o.name, o.data_center, o.api_version, o.poll_interval_seconds, o.edition,
       o.licences, o.zgid, o.facts_at = 'epoch' AND o.zgid IS NOT NULL AS is_unproven,
       o.parked_at, o.parked_code, o.parked_remedy, o.parked_outcome, o.probe_at,
       coalesce(o.facts_at, CASE WHEN num_nulls(o.edition, o.licences, o.zgid) = 0 THEN o.created_at END) AS facts_at,
       c.client_id, c.client_secret, c.refresh_token, c.grant_code, c.soid, c.key_id,
       t.token, t.key_id AS token_key_id, t.api_domain, t.issued_at, t.expires_at, t.generation,
       l.hold_until, l.holds, l.rate_factor, l.credits_remaining, l.credits_remaining_at,
       (SELECT coalesce(sum(spend.credits), 0)::int FROM credit_spend spend
        WHERE spend.org_id = o.id AND spend.bucket > $4) AS credits_spent"""
_JOINS: Final = """
     LEFT JOIN org_credentials c ON c.org_id = o.id
     LEFT JOIN access_tokens t ON t.org_id = o.id
     LEFT JOIN org_limits l ON l.org_id = o.id"""

# poll_state.page: orgs by id, each with its credentials, token, limits and the credits of its last 24 hours.
# $1 after this id, $2 rows, $3 these ids or NULL for all, $4 credits since, $5 this data centre or NULL for all
POLL_PAGE: Final = f"""
SELECT {_COLUMNS}
FROM orgs o {_JOINS}
WHERE o.id > $1 AND o.removed_at IS NULL AND ($5::text IS NULL OR o.data_center = $5)
  AND CASE WHEN $3::int[] IS NULL THEN o.paused_at IS NULL ELSE o.id = ANY($3) END
ORDER BY o.id LIMIT $2
"""  # noqa: S608 - the columns and joins stand above

# poll_state.slots: these slots with their orgs, by key, so that each slot is searched in its own month only. Jobs are
# keyed by org and slot. $1 orgs, $2 slots, $3 now, $4 credits since, $5 heartbeat timeout, $6 own jobs
_SLOTS: Final = f"""
WITH elsewhere AS MATERIALIZED (
    SELECT DISTINCT split_part(dedupe_key, ':', 1)::int AS org_id FROM pgqueuer
    WHERE status = 'picked' AND entrypoint = 'poll' AND heartbeat >= now() - $5::interval AND id <> ALL($6::bigint[])
)
SELECT due.place, o.paused_at IS NULL AS active, s.outcome AS slot_outcome, s.polled_at AS slot_polled_at,
       CASE WHEN t.token IS NULL OR t.expires_at <= $3 THEN t.cool_until END AS cool_until,
       e.org_id IS NOT NULL AS busy, {_COLUMNS}
FROM unnest($1::int[], $2::timestamptz[]) WITH ORDINALITY AS due (org_id, slot, place)
     JOIN orgs o ON o.id = due.org_id AND o.removed_at IS NULL {_JOINS}
     LEFT JOIN elsewhere e ON e.org_id = o.id
     LEFT JOIN LATERAL (
         SELECT outcome, polled_at FROM org_snapshots WHERE org_id = due.org_id AND slot = due.slot
     ) s ON true
"""  # noqa: S608 - the columns and joins stand above
