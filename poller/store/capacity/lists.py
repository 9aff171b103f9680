"""Reads lists of seats, forecasts and anomalies, a page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from poller.store.listing import MATCHES, RowPage, matching, read_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from poller.core.org_filter import OrgFilter
    from poller.store.queries import Queries


async def forecasts_page(
    database: Queries,
    which: OrgFilter,
    *,
    exhausted_before: date | None = None,
    limit: int,
    after: Sequence[Any] | None = None,
) -> RowPage:
    """Returns the latest forecasts of the service, of orgs whose seats run out before that day; None: of all orgs."""
    arguments = [*matching(which), exhausted_before]
    key = {"org": "o.name", "org_id": "o.id", "user_type": "f.user_type"}
    return await read_rows(database, _FORECASTS, arguments, limit=limit, after=after, key=key)


async def anomalies_page(
    database: Queries,
    which: OrgFilter,
    since: date,
    *,
    kinds: Sequence[str] = (),
    severities: Sequence[str] = (),
    limit: int,
    after: Sequence[Any] | None = None,
) -> RowPage:
    """Returns the anomalies since that day, the newest first."""
    key = {"day": "a.day", "org_id": "a.org_id", "kind": "a.kind", "user_type": "a.user_type"}
    arguments = [*matching(which), since, list(kinds) or None, list(severities) or None]
    return await read_rows(database, _ANOMALIES, arguments, limit=limit, after=after, key=key, descending=True)


async def count_anomalies(database: Queries, which: OrgFilter, since: date) -> dict[tuple[str, str], int]:
    """Counts the anomalies since that day by kind and severity."""
    rows = await database.fetch(_KINDS, *matching(which), since)
    return {(row["kind"], row["severity"]): row["found"] for row in rows}


# capacity_lists.kinds
_KINDS: Final = f"""
SELECT a.kind, a.severity, count(*)::int AS found FROM anomalies a JOIN orgs o ON o.id = a.org_id
WHERE {MATCHES} AND a.day >= $5 GROUP BY a.kind, a.severity
"""  # noqa: S608 - it stands in `listing`

# capacity_lists.forecasts
_FORECASTS: Final = f"""
SELECT o.id AS org_id, o.name AS org, f.user_type, f.made_at, f.seats, f.used, f.per_day, f.method, f.exhausted_on,
       f.exhausted_low, f.exhausted_high, f.backtest_error, f.backtest_windows
FROM seat_forecasts f JOIN orgs o ON o.id = f.org_id
WHERE {MATCHES} AND ($5::date IS NULL OR f.exhausted_on < $5)
"""  # noqa: S608 - it stands in `listing`

# capacity_lists.anomalies
_ANOMALIES: Final = f"""
SELECT a.org_id, a.org, a.user_type, a.day, a.kind, a.before, a.after, a.expected_low, a.expected_high, a.severity,
       a.why
FROM anomalies a JOIN orgs o ON o.id = a.org_id
WHERE {MATCHES} AND a.day >= $5 AND ($6::text[] IS NULL OR a.kind = ANY($6))
  AND ($7::text[] IS NULL OR a.severity = ANY($7))
"""  # noqa: S608 - the same
