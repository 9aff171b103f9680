"""Sums over the fleet's list: totals, how many orgs each further filter would leave, and orgs that need a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from poller.core.model import COLUMNS
from poller.core.remedies import trouble_remedy
from poller.store.capacity.seats import IS_FULL
from poller.store.fleet_filter import (
    CURRENT,
    DATA_CENTER_CONDITION,
    EDITION_CONDITION,
    STATE_CONDITION,
    TAG_CONDITION,
    TODAY,
    UNKNOWN_EDITION,
    Arguments,
    conditions,
    joins,
)
from poller.store.fleet_need import needing
from poller.store.orgs.states import StateFilter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from poller.core.model import UserType
    from poller.store.database import Database

_RUN_OUT_DAYS: Final = 30
_NAMED: Final = 3
"""Orgs that a group names."""


@dataclass(frozen=True, slots=True)
class FleetTotals:
    """Sums of the orgs that match. Orgs whose count or seats are not known are in no sum, and are counted.

    `change_7d` is that of the `compared` orgs whose counts a week ago and now are known. `known_now`: `polled` orgs
    (those that are not paused) with counts of the last two intervals; `oldest_at`: the oldest counts among them.
    `purchased` and `used` are those of the `with_seats` orgs where both are known. `run_out`: orgs whose seats are all
    in use or run out within 30 days, as on the Seats page; `next_run_out`: the first day that a forecast names for any
    other org.
    """

    orgs: int
    total: int | None
    counted: int
    change_7d: int | None
    compared: int
    purchased: int | None
    used: int | None
    with_seats: int
    polled: int
    known_now: int
    oldest_at: datetime | None
    run_out: int
    next_run_out: date | None


class Facet(NamedTuple):
    """A value of a facet (`state`, `data_center`, `edition`, `tag`), and how many orgs remain with it."""

    facet: str
    value: str
    orgs: int


@dataclass(frozen=True, slots=True)
class FleetTrouble:
    """Orgs that need a person for the same reason: how many, the first names, and since when the first of them."""

    state: str
    reason: str | None
    remedy: str | None
    orgs: int
    names: Sequence[str]
    since: datetime | None

    @property
    def what_to_do(self) -> str:
        """What a person should do about these orgs. `remedy` is that of parked orgs only."""
        return trouble_remedy(self.state, self.reason, self.remedy)


async def read_totals(database: Database, which: StateFilter, user_type: UserType) -> FleetTotals:
    """Returns the sums of the orgs that match."""
    arguments = Arguments()
    where = " AND ".join(conditions(which, arguments))
    query = _TOTALS.replace("<joins>", joins({"state", "latest", "7", "forecast", "seats"}, user_type))
    query = query.replace("<where>", where).replace("<column>", COLUMNS[user_type])
    (row,) = await database.fetch(query, *arguments.values)
    return FleetTotals(**row)


async def read_facets(database: Database, which: StateFilter) -> list[Facet]:
    """Returns every value of each facet, most orgs first, with the other filters applied.

    States, data centres and editions of one facet add up, so a facet's own filter does not count; tags must all be
    there, so the orgs of a tag are those that also have the chosen tags.
    """
    arguments = Arguments()
    others = conditions(StateFilter(search=which.search, visible_tags=which.visible_tags), arguments)
    own = {
        name: template.format(arguments.add(list(values))) if values else "true"
        for name, template, values in (
            ("by_state", STATE_CONDITION, which.states),
            ("by_data_center", DATA_CENTER_CONDITION, which.data_centers),
            ("by_edition", EDITION_CONDITION, which.editions),
            ("by_tag", TAG_CONDITION, which.tags),
        )
    }
    query = _FACETS.replace("<own>", ", ".join(f"{condition} AS {name}" for name, condition in own.items()))
    rows = await database.fetch(query.replace("<where>", " AND ".join(others)), *arguments.values)
    return [Facet(*row) for row in rows]


async def read_troubles(database: Database, visible_tags: Sequence[str] | None) -> list[FleetTrouble]:
    """Returns the orgs that need a person by state and reason, the largest group first."""
    arguments = Arguments()
    query = _TROUBLES.replace("<needing>", needing(StateFilter(visible_tags=visible_tags), arguments))
    rows = await database.fetch(query.replace("<named>", str(_NAMED)), *arguments.values)
    return [FleetTrouble(**row) for row in rows]


_KNOWN_AT: Final = "coalesce(l.<column>_polled_at, l.polled_at)"
# fleet_totals.sums
_TOTALS: Final = f"""
SELECT count(*)::int AS orgs, sum(l.<column>)::bigint AS total, count(l.<column>)::int AS counted,
       sum(({CURRENT}) - d7.last)::bigint AS change_7d, count(({CURRENT}) - d7.last)::int AS compared,
       (sum(s.purchased) FILTER (WHERE s.used IS NOT NULL))::bigint AS purchased,
       (sum(s.used) FILTER (WHERE s.purchased IS NOT NULL))::bigint AS used,
       count(s.purchased + s.used)::int AS with_seats,
       (count(*) FILTER (WHERE t.state <> 'paused'))::int AS polled,
       (count(*) FILTER (WHERE t.state <> 'paused' AND l.<column> IS NOT NULL AND (t.state = 'ok'
            OR {_KNOWN_AT} > now() - make_interval(secs => 60 + 2 * coalesce(o.poll_interval_seconds,
                (SELECT poll_interval_seconds FROM service_settings), 900)))))::int AS known_now,
       min({_KNOWN_AT}) FILTER (WHERE t.state <> 'paused') AS oldest_at,
       (count(*) FILTER (WHERE {IS_FULL} OR f.exhausted_on < {TODAY} + {_RUN_OUT_DAYS}))::int AS run_out,
       min(f.exhausted_on) FILTER (WHERE NOT {IS_FULL}) AS next_run_out
FROM orgs o
<joins>
WHERE <where>
"""  # noqa: S608 - it stands above

# fleet_totals.facets
_FACETS: Final = f"""
WITH found AS MATERIALIZED (
    SELECT t.state, o.data_center, o.edition, o.tags, <own>
    FROM orgs o
    JOIN LATERAL (SELECT state FROM org_states WHERE org_id = o.id) AS t ON true
    WHERE <where>
)
SELECT 'state' AS facet, state AS value, count(*)::int AS orgs FROM found
WHERE by_data_center AND by_edition AND by_tag GROUP BY state
UNION ALL
SELECT 'data_center', data_center, count(*)::int FROM found
WHERE by_state AND by_edition AND by_tag GROUP BY data_center
UNION ALL
SELECT 'edition', coalesce(edition, '{UNKNOWN_EDITION}'), count(*)::int FROM found
WHERE by_state AND by_data_center AND by_tag GROUP BY edition
UNION ALL
SELECT 'tag', tag, count(*)::int FROM found CROSS JOIN LATERAL unnest(tags) AS tag
WHERE by_state AND by_data_center AND by_edition AND by_tag GROUP BY tag
ORDER BY orgs DESC, value
"""  # noqa: S608 - it stands above

# fleet_totals.troubles
_TROUBLES: Final = """
WITH <needing>
SELECT n.state, n.state_reason AS reason, min(o.parked_remedy) FILTER (WHERE n.state = 'parked') AS remedy,
       count(*)::int AS orgs, (array_agg(o.name ORDER BY o.name_key, o.id))[1:<named>] AS names, min(n.since) AS since
FROM needing n JOIN orgs o ON o.id = n.id
GROUP BY n.state, n.state_reason
ORDER BY count(*) DESC, 1, 2
"""
