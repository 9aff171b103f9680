"""Sums over the fleet for `poller status`: states, orgs with trouble, stretched intervals, last polls and credits.

Each is one query over the small tables that hold one row per org, so that a fleet of 100,000 orgs takes a fraction of a
second; the credits of a large fleet are estimated from a sample.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from poller.core.fleet import CreditSum, PollSums, StateSums, Stretched, Trouble
from poller.core.states import State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from poller.store.queries import Queries

_EXACT_ROWS: Final = 1_000_000
"""Up to this number of rows `credit_spend` is summed exactly; beyond it, from a sample."""
_SAMPLED_ROWS: Final = 200_000
"""Size of the sample: about a thousand pages, whose sum is right to within one or two per cent."""


async def read_states(
    database: Queries, states: Sequence[State], listed: int | None
) -> tuple[StateSums, list[Trouble]]:
    """Counts the orgs, and groups those in `states` by reason, the largest groups first.

    Names the first `listed` orgs of each group; None: all.
    """
    wanted = [state.value for state in states]
    rows = await database.fetch(_STATES, wanted, listed)
    remedies = {row["parked_code"]: row["remedy"] for row in await database.fetch(_REMEDIES)}
    orgs: Counter[str] = Counter()
    for row in rows:
        orgs[row["state"]] += row["orgs"]
    sums = StateSums(orgs, sum(row["stretched"] for row in rows), sum(row["credits_share"] for row in rows))
    found = [
        Trouble(
            row["state"],
            row["reason"],
            remedies.get(row["reason"]) if row["state"] == State.PARKED else None,
            row["orgs"],
            row["names"],
        )
        for row in rows
        if row["names"] is not None
    ]
    return sums, sorted(found, key=lambda one: (wanted.index(one.state), -one.count, one.reason or ""))


async def stretched_orgs(database: Queries, listed: int) -> list[Stretched]:
    """Returns the first `listed` stretched orgs by name."""
    return [Stretched(**row) for row in await database.fetch(_STRETCHED, listed)]


async def poll_sums(database: Queries, now: datetime) -> PollSums:
    """Counts the newest slots by outcome."""
    rows = await database.fetch(_POLLS, now)
    return PollSums(
        {row["outcome"]: row["orgs"] for row in rows},
        sum(row["late"] for row in rows),
        max((row["latest_seconds"] or 0 for row in rows), default=0),
        sum(row["out_of_credits"] for row in rows),
    )


async def credit_sum(
    database: Queries, since: datetime, *, exact_rows: int = _EXACT_ROWS, sampled_rows: int = _SAMPLED_ROWS
) -> CreditSum:
    """Sums the credits of quarter hours that began after `since`; from a sample if there are more than `exact_rows`."""
    (row,) = await database.fetch(_CREDIT_ROWS)
    if row["rows"] <= exact_rows:
        (sums,) = await database.fetch(
            # fleet_states.credit_sum
            "SELECT coalesce(sum(credits), 0)::bigint FROM credit_spend WHERE bucket > $1",
            since,
        )
        return CreditSum(sums[0], estimated=False)
    percent = 100.0 * min(1.0, sampled_rows / row["rows"])
    (sums,) = await database.fetch(_CREDIT_SAMPLE, since, percent, row["rows"])
    return CreditSum(sums[0], estimated=True)


# fleet_states.states: reads the view once and sums; sorts the names afterwards.
_STATES: Final = """
SELECT state, reason, orgs, credits_share, stretched,
       CASE WHEN names IS NOT NULL THEN ARRAY(SELECT name FROM unnest(names) AS name ORDER BY name LIMIT $2) END
           AS names
FROM (
    SELECT state, state_reason AS reason, count(*)::int AS orgs, sum(credits_share)::bigint AS credits_share,
           (count(*) FILTER (WHERE effective_interval_seconds > interval_seconds
                               AND state NOT IN ('paused', 'parked')))::int AS stretched,
           array_agg(org) FILTER (WHERE state = ANY($1::text[])) AS names
    FROM org_states WHERE state <> 'removed' GROUP BY state, state_reason
) AS sums
"""

# fleet_states.remedies
_REMEDIES: Final = """
SELECT parked_code, min(parked_remedy) AS remedy FROM orgs
WHERE parked_at IS NOT NULL AND removed_at IS NULL GROUP BY parked_code
"""

# fleet_states.stretched: uses the index on names.
_STRETCHED: Final = """
SELECT o.name AS org, s.interval_seconds, s.effective_interval_seconds
FROM orgs o
JOIN LATERAL (SELECT * FROM org_states WHERE org_id = o.id) AS s ON s.effective_interval_seconds > s.interval_seconds
WHERE o.removed_at IS NULL AND o.paused_at IS NULL AND o.parked_at IS NULL
ORDER BY o.name LIMIT $1
"""

# fleet_states.polls: without orgs that were not polled for a day, which the freshness figures show.
_POLLS: Final = """
SELECT p.outcome, count(*)::int AS orgs, (count(*) FILTER (WHERE p.late_seconds > 0))::int AS late,
       max(p.late_seconds)::int AS latest_seconds,
       (count(*) FILTER (WHERE p.error = 'credit_share_spent'))::int AS out_of_credits
FROM latest_polls p JOIN orgs o ON o.id = p.org_id
WHERE o.removed_at IS NULL AND o.paused_at IS NULL AND o.parked_at IS NULL
  AND p.slot > $1::timestamptz - interval '1 day'
GROUP BY p.outcome
"""

# fleet_states.credit_rows: rows per page as of the last vacuum or analyze, times the number of pages now.
_CREDIT_ROWS: Final = """
SELECT coalesce(reltuples * pg_relation_size(oid) / current_setting('block_size')::int / nullif(relpages, 0), 0)::bigint
       AS rows
FROM pg_class WHERE oid = 'credit_spend'::regclass
"""

# fleet_states.credit_sample: the mean row of some pages, times the number of rows. The number of sampled pages varies,
# so scaling their sum by the sampled share would be less exact.
_CREDIT_SAMPLE: Final = """
SELECT coalesce(sum(credits) FILTER (WHERE bucket > $1) * $3::bigint / nullif(count(*), 0), 0)::bigint
FROM credit_spend TABLESAMPLE SYSTEM ($2)
"""
