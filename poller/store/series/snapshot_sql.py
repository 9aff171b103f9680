"""The SQL statements that write snapshots, built from the ten count columns.

`WRITE` and `WRITE_NEW` take one array per column of `_PARAMETERS`, in that order, and the latest time in the batch, in
seconds since 1970. A batch with a time later than PostgreSQL's clock is not written. Only `snapshots` runs them.

In ON CONFLICT clauses `existing` is the stored row, and `excluded` (PostgreSQL's name) the incoming one.
"""

# ruff: noqa: S608 - every name put into the text stands in this file or in the model

from __future__ import annotations

from typing import Final

from poller.core.clock import TOLERANCE_SECONDS
from poller.core.model import COLUMNS
from poller.store.series.templates import per_column, per_count

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


def _rank(row: str) -> str:
    return f"CASE {row}.outcome WHEN 'ok' THEN 3 WHEN 'partial' THEN 2 WHEN 'missed' THEN 0 ELSE 1 END"


_NEWER: Final = "coalesce(excluded.polled_at, '-infinity') >= coalesce(existing.polled_at, '-infinity')"
_INCOMING_WINS: Final = f"""CASE WHEN {_rank("excluded")} = {_rank("existing")} THEN {_NEWER}
     ELSE {_rank("excluded")} > {_rank("existing")} END"""
_BOTH_PARTIAL: Final = "(existing.outcome = 'partial' AND excluded.outcome = 'partial')"


def _known(row: str, *, but_not_by: str | None = None) -> str:
    """Returns SQL for the user types whose count `row` knows; `but_not_by`: without those that this row knows."""
    besides = f" AND {but_not_by}.{{column}} IS NULL" if but_not_by else ""
    cases = (
        f"CASE WHEN {row}.{column} IS NOT NULL{besides.format(column=column)} THEN '{user_type.value}' END"
        for user_type, column in COLUMNS.items()
    )
    return f"array_remove(ARRAY[{', '.join(cases)}], NULL)"


def _merged_errors(newer: str, older: str) -> str:
    """Returns SQL that merges the errors of two partial polls: a type that either poll knows has none."""
    return f"""nullif((coalesce({older}.errors, '{{}}') - {_known(newer)})
     || (coalesce({newer}.errors, '{{}}') - {_known(older, but_not_by=newer)}), '{{}}')"""


_LATEST: Final = f"${len(_PARAMETERS) + 1}::float8"
_IN_TIME: Final = f"{_LATEST} <= extract(epoch FROM now()) + {TOLERANCE_SECONDS}"
"""It has no column, so PostgreSQL evaluates it once per batch, not once per row."""

# snapshot_sql.insert: the arrays are unnested in the SELECT list, row by row; `FROM unnest(…, …)` would store every
# array first, which costs a tenth of the time.
INSERT: Final = f"""
INSERT INTO org_snapshots AS existing ({", ".join(_PARAMETERS)})
SELECT {", ".join(_CONVERSIONS.get(column, column) for column in _PARAMETERS)}
FROM (SELECT {
    ", ".join(f"unnest(${place}::{kind}[]) AS {column}" for place, (column, kind) in enumerate(_PARAMETERS.items(), 1))
}) AS batch
WHERE {_IN_TIME}
"""
_OR_MERGE: Final = f"""
ON CONFLICT (org_id, slot) DO UPDATE SET
{
    per_column(
        f"<column> = CASE WHEN {_INCOMING_WINS} THEN excluded.<column> ELSE existing.<column> END",
        ("polled_at", "duration_ms", "late_seconds", "outcome", "error", "credits_remaining"),
    )
},
{
    per_count(
        f'''<column> = CASE WHEN NOT {_BOTH_PARTIAL}
     THEN CASE WHEN {_INCOMING_WINS} THEN excluded.<column> ELSE existing.<column> END
     WHEN {_NEWER} THEN coalesce(excluded.<column>, existing.<column>)
     ELSE coalesce(existing.<column>, excluded.<column>) END'''
    )
},
errors = CASE WHEN NOT {_BOTH_PARTIAL} THEN CASE WHEN {_INCOMING_WINS} THEN excluded.errors ELSE existing.errors END
     WHEN {_NEWER} THEN {_merged_errors("excluded", "existing")}
     ELSE {_merged_errors("existing", "excluded")} END,
-- A poll that is written twice counts its requests once.
requests = CASE WHEN excluded.polled_at = existing.polled_at THEN greatest(existing.requests, excluded.requests)
     ELSE least({LARGEST_SMALLINT}, existing.requests::integer + excluded.requests) END
WHERE {_INCOMING_WINS} OR {_BOTH_PARTIAL} OR excluded.requests > 0
"""


def _since(row: str) -> str:
    """Returns SQL for the slot of a type's count in a row of `latest_snapshots`."""
    return f"coalesce({row}.<column>_slot, {row}.slot)"


_INCOMING: Final = (
    f"(excluded.<column> IS NOT NULL AND (existing.<column> IS NULL OR {_since('excluded')} >= {_since('existing')}))"
)
_ROW_SLOT: Final = "greatest(excluded.slot, existing.slot)"


def _written(conflicts: str) -> str:
    """Returns the statement that writes a batch into `org_snapshots` and the usual rows into `latest_snapshots`."""
    return f"""
WITH written AS ({INSERT} {conflicts}
    RETURNING existing.org_id, existing.slot, existing.polled_at, existing.outcome,
              {per_count("existing.<column>", ", ")}
),
newest AS (
    SELECT DISTINCT ON (org_id) * FROM written WHERE outcome = 'ok' ORDER BY org_id, slot DESC
),
later AS (
    SELECT w.org_id, w.slot FROM written w LEFT JOIN newest n USING (org_id)
    WHERE w.outcome = 'partial' AND (n.org_id IS NULL OR w.slot > n.slot)
),
moved AS (
    UPDATE latest_snapshots existing SET slot = n.slot, polled_at = n.polled_at,
{per_count("<column> = n.<column>, <column>_slot = NULL, <column>_polled_at = NULL")}
    FROM newest n
    WHERE existing.org_id = n.org_id AND existing.slot <= n.slot AND n.org_id NOT IN (SELECT org_id FROM later)
    RETURNING existing.org_id
)
SELECT 'latest' AS leftover, org_id, slot FROM newest WHERE org_id NOT IN (SELECT org_id FROM moved)
UNION ALL SELECT 'latest', org_id, slot FROM later
UNION ALL SELECT 'day', org_id, slot FROM written
WHERE slot < (SELECT rolled_until::timestamp AT TIME ZONE 'UTC' FROM rollup_state)
   OR slot >= ((now() AT TIME ZONE 'UTC')::date + 2)::timestamp AT TIME ZONE 'UTC'
UNION ALL SELECT 'future', 0, to_timestamp({_LATEST}) WHERE NOT {_IN_TIME}
"""


# snapshot_sql.write_new, snapshot_sql.write: write a batch into `org_snapshots`, and each org's newest poll with all
# ten counts into `latest_snapshots`. They return what the caller must still do: `latest`: merge a poll that may have
# the latest count of some type (an org's first poll, a partial or a late one); `day`: mark a day dirty that is rolled
# up already, or that lies after tomorrow; `future`, as the only row: nothing was written, because the batch is later
# than PostgreSQL's clock. `WRITE_NEW` fails if a slot already has a row. `WRITE` merges, and takes longer: it first
# looks for each row (2 of 15 ms for 1,000 rows, measured on two cores and PostgreSQL 18), and it takes longer to plan.
WRITE_NEW: Final = _written("")
WRITE: Final = _written(_OR_MERGE)

# snapshot_sql.merge_latest: merges the snapshots of these orgs and slots into `latest_snapshots`, type by type. It
# first folds them to one row per org, because a statement can change a row only once. A second poll of the latest slot
# may know fewer counts than `latest_snapshots`, if the row of the first poll was dropped with its month.
MERGE_LATEST: Final = f"""
WITH remaining AS (
    SELECT s.* FROM unnest($1::integer[], $2::timestamptz[]) AS key (org_id, slot)
    JOIN org_snapshots s ON s.org_id = key.org_id AND s.slot = key.slot
),
folded AS (
    SELECT org_id, max(slot) AS slot, (array_agg(polled_at ORDER BY slot DESC))[1] AS polled_at,
{
    per_count('''(array_agg(<column> ORDER BY slot DESC) FILTER (WHERE <column> IS NOT NULL))[1] AS <column>,
max(slot) FILTER (WHERE <column> IS NOT NULL) AS <column>_slot,
(array_agg(polled_at ORDER BY slot DESC) FILTER (WHERE <column> IS NOT NULL))[1] AS <column>_polled_at''')
}
    FROM remaining GROUP BY org_id ORDER BY org_id
)
INSERT INTO latest_snapshots AS existing (org_id, slot, polled_at, {
    per_count("<column>, <column>_slot, <column>_polled_at")
})
SELECT org_id, slot, polled_at, {
    per_count("<column>, nullif(<column>_slot, slot), CASE WHEN <column>_slot < slot THEN <column>_polled_at END")
} FROM folded
ON CONFLICT (org_id) DO UPDATE SET slot = {_ROW_SLOT},
polled_at = CASE WHEN excluded.slot >= existing.slot THEN excluded.polled_at ELSE existing.polled_at END,
{
    per_count(
        f'''<column> = CASE WHEN {_INCOMING} THEN excluded.<column> ELSE existing.<column> END,
<column>_slot = CASE WHEN {_INCOMING} THEN CASE WHEN {_since("excluded")} < {_ROW_SLOT} THEN {_since("excluded")} END
     WHEN existing.<column> IS NOT NULL AND {_since("existing")} < {_ROW_SLOT} THEN {_since("existing")} END,
<column>_polled_at = CASE WHEN {_INCOMING} THEN CASE WHEN {_since("excluded")} < {_ROW_SLOT}
          THEN coalesce(excluded.<column>_polled_at, excluded.polled_at) END
     WHEN existing.<column> IS NOT NULL AND ({_since("existing")} < {_ROW_SLOT} OR excluded.slot = existing.slot)
          THEN coalesce(existing.<column>_polled_at, existing.polled_at) END'''
    )
}
WHERE {per_count(_INCOMING, " OR ")}
"""
