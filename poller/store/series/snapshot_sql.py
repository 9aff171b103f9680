"""The one statement that writes a batch of snapshots, put together from the ten count columns.

It takes one array per column of `_PARAMETERS`, in that order, and the latest time in any of them, in seconds since
1970. `snapshots.write_snapshots` alone runs it. A batch that is later than PostgreSQL's clock is not written at all.
"""

# ruff: noqa: S608 - every name put into the text stands in this file or in the model

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.core.clock import TOLERANCE_SECONDS
from poller.core.model import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST_SMALLINT: Final = 32_767
_COUNTS: Final = tuple(COLUMNS.values())
_PARAMETERS: Final = {
    "slot": "float8",
    "polled_at": "float8",
    "org_id": "integer",
    "duration_ms": "integer",
    **dict.fromkeys(_COUNTS, "integer"),
    "late_seconds": "smallint",
    "requests": "smallint",
    "outcome": "text",
    "error": "text",
    "errors": "text",
    "credits_remaining": "integer",
}
_CONVERSIONS: Final = {
    "slot": "to_timestamp(slot)",
    "polled_at": "to_timestamp(polled_at)",
    "late_seconds": "coalesce(late_seconds, 0::smallint)",
    "outcome": "coalesce(outcome, 'ok')",
    "errors": "errors::jsonb",
}


def _listed(template: str, columns: Sequence[str] = _COUNTS, joint: str = ",\n") -> str:
    return joint.join(template.replace("@", column) for column in columns)


def _rank(row: str) -> str:
    return f"CASE {row}.outcome WHEN 'ok' THEN 3 WHEN 'partial' THEN 2 WHEN 'missed' THEN 0 ELSE 1 END"


# `held` is the row that is there, `excluded` the one that comes.
_NEWER: Final = "coalesce(excluded.polled_at, '-infinity') >= coalesce(held.polled_at, '-infinity')"
_incoming_wins: Final = f"""CASE WHEN {_rank("excluded")} = {_rank("held")} THEN {_NEWER}
     ELSE {_rank("excluded")} > {_rank("held")} END"""
_BOTH_PARTIAL: Final = "(held.outcome = 'partial' AND excluded.outcome = 'partial')"


def _known(row: str, *, but_not_by: str | None = None) -> str:
    """The user types `row` knows the count of, as an array; of these, those that another row does not."""
    besides = f" AND {but_not_by}.{{column}} IS NULL" if but_not_by else ""
    cases = (
        f"CASE WHEN {row}.{column} IS NOT NULL{besides.format(column=column)} THEN '{kind.value}' END"
        for kind, column in COLUMNS.items()
    )
    return f"array_remove(ARRAY[{', '.join(cases)}], NULL)"


def _merged_errors(newer: str, older: str) -> str:
    """Of two partial polls: each type's code comes from the poll its count comes from, else from the newer."""
    return f"""nullif((coalesce({older}.errors, '{{}}') - {_known(newer)})
     || (coalesce({newer}.errors, '{{}}') - {_known(older, but_not_by=newer)}), '{{}}')"""


_LATEST: Final = f"${len(_PARAMETERS) + 1}::float8"
_IN_TIME: Final = f"{_LATEST} <= extract(epoch FROM now()) + {TOLERANCE_SECONDS}"
"""Without a column: PostgreSQL looks at it once per batch, not once per row."""

# In the list, where they move on together; `FROM unnest(…, …)` lays every array down first, a tenth of the time.
INSERT: Final = f"""
INSERT INTO org_snapshots AS held ({", ".join(_PARAMETERS)})
SELECT {", ".join(_CONVERSIONS.get(column, column) for column in _PARAMETERS)}
FROM (SELECT {
    ", ".join(f"unnest(${place}::{kind}[]) AS {column}" for place, (column, kind) in enumerate(_PARAMETERS.items(), 1))
}) AS batch
WHERE {_IN_TIME}
"""
_OR_MERGE: Final = f"""
ON CONFLICT (org_id, slot) DO UPDATE SET
{
    _listed(
        f"@ = CASE WHEN {_incoming_wins} THEN excluded.@ ELSE held.@ END",
        ("polled_at", "duration_ms", "late_seconds", "outcome", "error", "credits_remaining"),
    )
},
{
    _listed(
        f'''@ = CASE WHEN NOT {_BOTH_PARTIAL} THEN CASE WHEN {_incoming_wins} THEN excluded.@ ELSE held.@ END
     WHEN {_NEWER} THEN coalesce(excluded.@, held.@) ELSE coalesce(held.@, excluded.@) END'''
    )
},
errors = CASE WHEN NOT {_BOTH_PARTIAL} THEN CASE WHEN {_incoming_wins} THEN excluded.errors ELSE held.errors END
     WHEN {_NEWER} THEN {_merged_errors("excluded", "held")} ELSE {_merged_errors("held", "excluded")} END,
-- The same poll written twice is asked for once.
requests = CASE WHEN excluded.polled_at = held.polled_at THEN greatest(held.requests, excluded.requests)
     ELSE least({LARGEST_SMALLINT}, held.requests::integer + excluded.requests) END
WHERE {_incoming_wins} OR {_BOTH_PARTIAL} OR excluded.requests > 0
"""


def _since(row: str) -> str:
    """The slot a type's count is of, in a row of `latest_snapshots`."""
    return f"coalesce({row}.@_slot, {row}.slot)"


_incoming: Final = f"(excluded.@ IS NOT NULL AND (held.@ IS NULL OR {_since('excluded')} >= {_since('held')}))"
_ROW_SLOT: Final = "greatest(excluded.slot, held.slot)"


def _written(conflicts: str) -> str:
    """A batch into `org_snapshots`, and into `latest_snapshots` what of it goes there the usual way."""
    return f"""
WITH written AS ({INSERT} {conflicts}
    RETURNING held.org_id, held.slot, held.polled_at, held.outcome, {_listed("held.@", joint=", ")}
),
newest AS (
    SELECT DISTINCT ON (org_id) * FROM written WHERE outcome = 'ok' ORDER BY org_id, slot DESC
),
later AS (
    SELECT w.org_id, w.slot FROM written w LEFT JOIN newest n USING (org_id)
    WHERE w.outcome = 'partial' AND (n.org_id IS NULL OR w.slot > n.slot)
),
moved AS (
    UPDATE latest_snapshots held SET slot = n.slot, polled_at = n.polled_at,
{_listed("@ = n.@, @_slot = NULL, @_polled_at = NULL")}
    FROM newest n
    WHERE held.org_id = n.org_id AND held.slot <= n.slot AND n.org_id NOT IN (SELECT org_id FROM later)
    RETURNING held.org_id
)
SELECT 'latest' AS rest, org_id, slot FROM newest WHERE org_id NOT IN (SELECT org_id FROM moved)
UNION ALL SELECT 'latest', org_id, slot FROM later
UNION ALL SELECT 'day', org_id, slot FROM written
WHERE slot < (SELECT rolled_until::timestamp AT TIME ZONE 'UTC' FROM rollup_state)
   OR slot >= ((now() AT TIME ZONE 'UTC')::date + 2)::timestamp AT TIME ZONE 'UTC'
UNION ALL SELECT 'future', 0, to_timestamp({_LATEST}) WHERE NOT {_IN_TIME}
"""


# Purpose of both: a batch of snapshots into `org_snapshots`, and into `latest_snapshots` an org's newest poll that
# knows everything. They return what is left to do: `latest`, a poll that may be the latest of a type (an org's first,
# partly known ones, late ones); `day`, one of a day that is rolled up already, or not open yet; `future`, alone, where
# the batch is later than PostgreSQL's clock and nothing was written. The first fails where
# there is a row of some slot already; the second merges, and takes longer: for each row it looks first whether there is
# one (2 of 15 ms for 1,000 rows, measured on two cores and PostgreSQL 18), and it is more to get ready.
WRITE_NEW: Final = _written("")
WRITE: Final = _written(_OR_MERGE)

# Purpose: merge the snapshots of these orgs and slots into `latest_snapshots`, type by type: folded to one row per org
# first, because a statement can touch a row but once. A poll of the latest slot again may know less than is kept of it,
# where the first one's row was dropped with its month.
MERGE_LATEST: Final = f"""
WITH remaining AS (
    SELECT s.* FROM unnest($1::integer[], $2::timestamptz[]) AS key (org_id, slot)
    JOIN org_snapshots s ON s.org_id = key.org_id AND s.slot = key.slot
),
folded AS (
    SELECT org_id, max(slot) AS slot, (array_agg(polled_at ORDER BY slot DESC))[1] AS polled_at,
{
    _listed('''(array_agg(@ ORDER BY slot DESC) FILTER (WHERE @ IS NOT NULL))[1] AS @,
max(slot) FILTER (WHERE @ IS NOT NULL) AS @_slot,
(array_agg(polled_at ORDER BY slot DESC) FILTER (WHERE @ IS NOT NULL))[1] AS @_polled_at''')
}
    FROM remaining GROUP BY org_id ORDER BY org_id
)
INSERT INTO latest_snapshots AS held (org_id, slot, polled_at, {_listed("@, @_slot, @_polled_at")})
SELECT org_id, slot, polled_at, {
    _listed("@, nullif(@_slot, slot), CASE WHEN @_slot < slot THEN @_polled_at END")
} FROM folded
ON CONFLICT (org_id) DO UPDATE SET slot = {_ROW_SLOT},
polled_at = CASE WHEN excluded.slot >= held.slot THEN excluded.polled_at ELSE held.polled_at END,
{
    _listed(
        f'''@ = CASE WHEN {_incoming} THEN excluded.@ ELSE held.@ END,
@_slot = CASE WHEN {_incoming} THEN CASE WHEN {_since("excluded")} < {_ROW_SLOT} THEN {_since("excluded")} END
     WHEN held.@ IS NOT NULL AND {_since("held")} < {_ROW_SLOT} THEN {_since("held")} END,
@_polled_at = CASE WHEN {_incoming} THEN CASE WHEN {_since("excluded")} < {_ROW_SLOT}
          THEN coalesce(excluded.@_polled_at, excluded.polled_at) END
     WHEN held.@ IS NOT NULL AND ({_since("held")} < {_ROW_SLOT} OR excluded.slot = held.slot)
          THEN coalesce(held.@_polled_at, held.polled_at) END'''
    )
}
WHERE {_listed(_incoming, joint=" OR ")}
"""
