"""Chooses the orgs of a page that lists those that need a person first, without computing the state of every org.

The list has two groups, each in the order of names. The states of one read until the page is full are those of orgs
that may need a person; of all other orgs, only those in the page are read.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from poller.core.states import NEED_A_PERSON
from poller.store.fleet_filter import NEEDING_STATES, conditions

if TYPE_CHECKING:
    from poller.store.fleet_filter import Arguments, Position
    from poller.store.orgs.states import StateFilter

_NEEDS: Final = 0.0
"""The key of the group of orgs that need a person."""
_OTHERS: Final = 1.0


def is_quick(which: StateFilter, position: Position | None) -> bool:
    """Whether `page_by_need` may be used: the list has every state, or only states that need a person."""
    groups = _all_groups(which)
    return set(which.states) <= set(NEED_A_PERSON) and (position is None or position.key in groups)


def _all_groups(which: StateFilter) -> list[float]:
    return [_NEEDS] if which.states else [_NEEDS, _OTHERS]


def page_by_need(
    which: StateFilter,
    arguments: Arguments,
    position: Position | None,
    *,
    last_first: bool,
    backwards: bool,
    limit: int,
) -> str:
    """The parts of a WITH clause up to `page` (id, name_key, key, place).

    `last_first`: orgs that need a person come last. `backwards`: rows before the position, the nearest one first.
    """
    groups = _groups(which, position, last_first=last_first != backwards)
    where = conditions(replace(which, states=()), arguments)
    states = (
        f"t.state = ANY ({arguments.add(list(which.states))}::text[])"
        if which.states
        else f"t.state IN ({NEEDING_STATES})"
    )
    sources = {_NEEDS: (_MAYBE_NEEDING, states), _OTHERS: (_ORGS, f"t.state NOT IN ({NEEDING_STATES})")}
    beyond = {} if position is None else {position.key: _beyond(position, arguments, backwards=backwards)}
    room, parts = arguments.add(limit), [_CANDIDATES]
    most = room
    for place, key in enumerate(groups):
        source, state = sources[key]
        source = source.replace("<where>", " AND ".join(filter(None, [*where, beyond.get(key)])))
        group = _GROUP.replace("<source>", source).replace("<state>", state).replace("<key>", str(key))
        parts.append(group.replace("<place>", str(place)).replace("<limit>", room))
        room += f" - (SELECT count(*) FROM group{place})"  # noqa: S608 - a number
    chosen = [f"SELECT {place} AS part, * FROM group{place}" for place in range(len(groups))]  # noqa: S608
    page = _PAGE.replace("<groups>", " UNION ALL ".join(chosen)).replace("<limit>", most)
    return ", ".join([*parts, page]).replace("<direction>", "DESC" if backwards else "ASC")


def _groups(which: StateFilter, position: Position | None, *, last_first: bool) -> list[float]:
    """The groups from that of the position on, in the order of the list."""
    groups = _all_groups(which)
    if last_first:
        groups.reverse()
    return [group for place, group in enumerate(groups) if position is None or position.key in groups[: place + 1]]


def needing(which: StateFilter, arguments: Arguments) -> str:
    """The parts of a WITH clause up to `needing` (id, state, state_reason, since): every org that needs a person."""
    where = " AND ".join(conditions(which, arguments))
    source = _MAYBE_NEEDING.replace("<where>", where).replace("<direction>", "ASC")
    return f"{_CANDIDATES}, {_NEEDING.replace('<source>', source)}"


def _beyond(position: Position, arguments: Arguments, *, backwards: bool) -> str:
    names = f"({arguments.add(position.name_key)}::text, {arguments.add(position.org_id)}::int)"
    return f"(o.name_key, o.id) {'<' if backwards else '>'} {names}"


# fleet_need.candidates: an org is late after two intervals and a minute, so only polls that are older by the shortest
# interval of all need a look at the org's own.
_CANDIDATES: Final = """
candidates AS MATERIALIZED (
    SELECT p.org_id AS id, p.outcome, p.polled_at FROM latest_polls p
    WHERE p.outcome NOT IN ('ok', 'throttled') OR p.polled_at < (SELECT now() - make_interval(secs => 60 + 2 * least(
        (SELECT coalesce(min(poll_interval_seconds), 900) FROM service_settings),
        (SELECT min(poll_interval_seconds) FROM orgs WHERE poll_interval_seconds IS NOT NULL))))
    UNION ALL
    SELECT o.id, NULL, NULL FROM orgs o WHERE o.parked_at IS NOT NULL
)"""
# fleet_need.maybe_needing: in the order of names, so that no more states are computed than the page has room for.
# OFFSET 0: else the planner, which expects more of these orgs than there are, reads all orgs.
_MAYBE_NEEDING: Final = """(
    SELECT DISTINCT o.id, o.name_key FROM candidates c
    CROSS JOIN LATERAL (
        SELECT o.id, o.name_key, o.parked_at, o.poll_interval_seconds FROM orgs o WHERE o.id = c.id AND <where> OFFSET 0
    ) AS o
    LEFT JOIN service_settings w ON true
    WHERE o.parked_at IS NOT NULL OR c.outcome NOT IN ('ok', 'throttled') OR c.polled_at < now() - make_interval(
        secs => 60 + 2 * coalesce(o.poll_interval_seconds, w.poll_interval_seconds, 900))
    ORDER BY o.name_key <direction>, o.id <direction> OFFSET 0
)"""
_ORGS: Final = """(
    SELECT o.id, o.name_key FROM orgs o WHERE <where> ORDER BY o.name_key <direction>, o.id <direction>
)"""
_GROUP: Final = """
group<place> AS MATERIALIZED (
    SELECT o.id, o.name_key, <key>::float8 AS key FROM <source> AS o
    JOIN LATERAL (SELECT state FROM org_states WHERE org_id = o.id OFFSET 0) AS t ON true
    WHERE <state> ORDER BY o.name_key <direction>, o.id <direction> LIMIT <limit>
)"""
_NEEDING: Final = f"""
needing AS MATERIALIZED (
    SELECT o.id, t.state, t.state_reason, t.since FROM <source> AS o
    JOIN LATERAL (SELECT state, state_reason, since FROM org_states WHERE org_id = o.id OFFSET 0) AS t ON true
    WHERE t.state IN ({NEEDING_STATES})
)"""  # noqa: S608 - states of the core
_PAGE: Final = """
page AS MATERIALIZED (
    SELECT id, name_key, key, row_number() OVER (ORDER BY part, name_key <direction>, id <direction>) AS place
    FROM (<groups>) AS chosen
    ORDER BY part, name_key <direction>, id <direction> LIMIT <limit>
)"""
