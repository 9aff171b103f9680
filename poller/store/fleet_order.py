"""Chooses the rows of a page of the fleet's list, in any order: sorts every org that matches.

Rows without a value in the sorted column come last in both directions; equal values are in the order of names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from poller.core.states import State
from poller.store.capacity.seats import IS_FULL
from poller.store.fleet_filter import CURRENT, NEEDING_STATES, Arguments, Position, conditions, joins

if TYPE_CHECKING:
    from collections.abc import Mapping

    from poller.core.model import UserType
    from poller.store.orgs.states import StateFilter


class FleetOrder(NamedTuple):
    """The order of a list: one of `SORTS`, and its direction."""

    sort: str = "need"
    descending: bool = False


def sorted_page(
    which: StateFilter,
    order: FleetOrder,
    user_type: UserType,
    arguments: Arguments,
    position: Position | None,
    *,
    backwards: bool,
    limit: int,
) -> str:
    """The part of a WITH clause that chooses the rows of the page (id, name_key, key, place): sorts every org."""
    where = conditions(which, arguments)
    key, needed = _KEYS[order.sort]
    if position is not None:
        where.append(_beyond(key, order, position, arguments, backwards=backwards))
    return (
        _PAGE.replace("<key>", key or "NULL::float8")
        .replace("<joins>", joins({*needed, *({"state"} if which.states else ())}, user_type))
        .replace("<where>", " AND ".join(where))
        .replace("<order>", _order_by(key, order, backwards=backwards))
        .replace("<limit>", arguments.add(limit))
    )


def _order_by(key: str, order: FleetOrder, *, backwards: bool) -> str:
    """The order of the rows, or its reverse."""
    down, up = ("ASC", "DESC") if backwards else ("DESC", "ASC")
    if not key:
        name = down if order.descending else up
        return f"o.name_key {name}, o.id {name}"
    return f"({key}) IS NULL {up}, {key} {down if order.descending else up}, o.name_key {up}, o.id {up}"


def _beyond(key: str, order: FleetOrder, at: Position, arguments: Arguments, *, backwards: bool) -> str:
    """The condition for rows after the position, or before it if `backwards`."""
    names = f"({arguments.add(at.name_key)}::text, {arguments.add(at.org_id)}::int)"
    if not key:
        return f"(o.name_key, o.id) {'<' if order.descending != backwards else '>'} {names}"
    beside = f"(o.name_key, o.id) {'<' if backwards else '>'} {names}"
    if at.key is None:
        return f"({key} IS NOT NULL OR {beside})" if backwards else f"({key} IS NULL AND {beside})"
    value = f"{arguments.add(at.key)}::{'text' if isinstance(at.key, str) else 'float8'}"
    further = f"{key} {'<' if order.descending != backwards else '>'} {value} OR ({key} = {value} AND {beside})"
    return f"({further})" if backwards else f"({further} OR {key} IS NULL)"


_STATE_ORDER: Final = ", ".join(f"'{state}'" for state in State)
_EPOCH: Final = "(extract(epoch FROM {}))::float8"
_KEYS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "need": (f"(t.state NOT IN ({NEEDING_STATES}))::int::float8", ("state",)),
    "org": ("", ()),
    "state": (f"array_position(ARRAY[{_STATE_ORDER}], t.state)::float8", ("state",)),
    "data_center": ('o.data_center COLLATE "C"', ()),
    "edition": ('lower(o.edition) COLLATE "C"', ()),
    "tags": ("nullif(array_to_string(o.tags, ' '), '') COLLATE \"C\"", ()),
    "count": ("l.<column>::float8", ("latest",)),
    "change_7d": (f"(({CURRENT}) - d7.last)::float8", ("latest", "7")),
    "change_30d": (f"(({CURRENT}) - d30.last)::float8", ("latest", "30")),
    "seats": ("s.purchased::float8", ("seats",)),
    "idle": ("s.idle::float8", ("seats",)),
    "exhausted_on": (
        f"CASE WHEN {IS_FULL} THEN 0 ELSE f.exhausted_on - date '2000-01-01' END::float8",
        ("forecast", "seats"),
    ),
    "counts_at": (_EPOCH.format("l.polled_at"), ("latest",)),
    "seen": (_EPOCH.format("t.last_polled_at"), ("state",)),
}
"""The sort key of each sort, and the joins it needs; by name there is none beside the name."""
SORTS: Final = tuple(_KEYS)
TEXT_SORTS: Final = frozenset({"data_center", "edition", "tags"})
"""The sorts whose keys are text; the others have numbers."""

# fleet_order.page
_PAGE: Final = """
page AS MATERIALIZED (
    SELECT o.id, o.name_key, <key> AS key, row_number() OVER (ORDER BY <order>) AS place
    FROM orgs o
    <joins>
    WHERE <where>
    ORDER BY <order> LIMIT <limit>
)"""
