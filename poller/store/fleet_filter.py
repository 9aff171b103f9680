"""Conditions and joins that the list, the totals and the facets of the fleet share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from poller.core.model import COLUMNS
from poller.core.states import NEED_A_PERSON
from poller.store.capacity.seats import SEATS_OF_ORG
from poller.store.listing import containing

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from poller.core.model import UserType
    from poller.store.orgs.states import StateFilter

UNKNOWN_EDITION: Final = "unknown"
"""Selects orgs whose edition is not known."""
TODAY: Final = "(now() AT TIME ZONE 'UTC')::date"
CURRENT: Final = (
    "CASE WHEN coalesce(l.<column>_polled_at, l.polled_at) > now() - interval '24 hours' THEN l.<column> END"
)
"""The count that changes are measured from: none where the last known one is older than a day."""


NEEDING_STATES: Final = ", ".join(f"'{state}'" for state in NEED_A_PERSON)
"""The states that need a person, as a list in SQL."""


class Position(NamedTuple):
    """Where a row stands in a sorted list: the value of the sorted column, the sort key of its name, and its id."""

    key: str | float | None
    name_key: str
    org_id: int


class Arguments:
    """Collects the arguments of a statement that is put together from parts."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def add(self, value: Any) -> str:
        """The placeholder of a new argument, such as $3."""
        self.values.append(value)
        return f"${len(self.values)}"


def conditions(which: StateFilter, arguments: Arguments) -> list[str]:
    """The conditions for `orgs o` (and `t.state`, where states are given); never empty."""
    found = ["true" if which.removed else "o.removed_at IS NULL"]
    if which.visible_tags is not None:
        found.append(f"o.tags && {arguments.add(list(which.visible_tags))}::text[]")
    if which.org_ids is not None:
        found.append(f"o.id = ANY ({arguments.add(list(which.org_ids))}::int[])")
    if which.search:
        found.append(f"o.name ILIKE {arguments.add(containing(which.search))}")
    for template, values in _LISTS.items():
        if given := list(getattr(which, values)):
            found.append(template.format(arguments.add(given)))
    return found


def joins(names: Collection[str], user_type: UserType) -> str:
    """The joins of these names, in the order in which they build on each other."""
    wanted = {*names, *(("latest",) if {"seats", "7", "30"} & set(names) else ())}
    text = "\n".join(join for name, join in _JOINS.items() if name in wanted)
    return text.replace("<type>", user_type.value).replace("<column>", COLUMNS[user_type])


STATE_CONDITION: Final = "t.state = ANY ({}::text[])"
DATA_CENTER_CONDITION: Final = "o.data_center = ANY ({}::text[])"
EDITION_CONDITION: Final = f"coalesce(o.edition, '{UNKNOWN_EDITION}') = ANY ({{}}::text[])"
TAG_CONDITION: Final = "o.tags @> {}::text[]"
_LISTS: Final[Mapping[str, str]] = {
    STATE_CONDITION: "states",
    DATA_CENTER_CONDITION: "data_centers",
    EDITION_CONDITION: "editions",
    TAG_CONDITION: "tags",
}
_DAY: Final = f"""LEFT JOIN daily_user_counts AS d<n>
    ON d<n>.org_id = o.id AND d<n>.user_type = '<type>' AND d<n>.day = {TODAY} - <n>"""
_JOINS: Final[Mapping[str, str]] = {
    "state": "JOIN LATERAL (SELECT * FROM org_states WHERE org_id = o.id) AS t ON true",
    "latest": "LEFT JOIN latest_snapshots l ON l.org_id = o.id",
    "7": _DAY.replace("<n>", "7"),
    "30": _DAY.replace("<n>", "30"),
    "forecast": "LEFT JOIN forecast_results f ON f.org_id = o.id AND f.user_type = 'ActiveUsers'",
    "seats": SEATS_OF_ORG.strip(),
}
