"""Everything around the rows of the Fleet page: totals, facets, headings, presets, pager and the chart of all orgs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from poller.core.model import USER_TYPES
from poller.core.states import NEED_A_PERSON, State
from poller.core.user_types import TYPE_WORDS
from poller.web.pages.fleet_chart import HEIGHT, STEP, fleet_chart
from poller.web.pages.fleet_query import COLUMNS, ROWS, UNSORTED, FleetQuery, Links, sealed
from poller.web.pages.rendering import MARKS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from poller.query.fleet_page import FleetPage
    from poller.query.fleet_summary import FleetDay, FleetSummary, FleetTrouble

FACETS: Final = (("DC", "data_center"), ("Edition", "edition"), ("Tag", "tag"))
_NEED: Final = [state.value for state in NEED_A_PERSON]
_WHOLE_FLEET: Final = Links(FleetQuery())
PRESETS: Final = (
    ("Needs a person", _WHOLE_FLEET.to(state=_NEED)),
    ("Runs out", _WHOLE_FLEET.to(sort="exhausted_on")),
    (
        "Idle seats",
        _WHOLE_FLEET.to(sort="-idle", column=["state", "tags", "count", "seats", "idle", "change_30d", "history"]),
    ),
    ("Grew most", _WHOLE_FLEET.to(sort="-change_30d")),
)
"""Views that everybody has: their names and addresses."""
_SHOWN_VALUES: Final = 40
"""Values of a facet in its menu: the most frequent ones."""
_REASONS: Final = 4
"""Reasons that the short line of a group names."""
_SORT_WORDS: Final = {
    "org": "name",
    "state": "state",
    "data_center": "data centre",
    "edition": "edition",
    "tags": "tags",
    "count": "users",
    "seats": "seats",
    "idle": "idle seats",
    "change_7d": "change in 7 days",
    "change_30d": "change in 30 days",
    "exhausted_on": "the day the seats run out",
    "seen": "last poll",
    "counts_at": "the age of the counts",
}
"""What each order but the default one is called, after "by"."""


class FacetLink(NamedTuple):
    """A value of a facet, its link, and how many orgs it leaves; `chosen`: the link removes it. None: not counted."""

    word: str
    address: str
    orgs: int | None
    chosen: bool


class Heading(NamedTuple):
    """The heading of a column. `direction`: the value of `aria-sort`, empty where the table is sorted by another."""

    name: str
    word: str
    address: str | None
    direction: str


class TroubleGroup(NamedTuple):
    """Orgs in one state that need a person, the reasons in short, and each reason with its remedy."""

    state: str
    orgs: int
    address: str
    reasons: str
    troubles: Sequence[tuple[FleetTrouble, str]]


def page_values(query: FleetQuery, page: FleetPage, summary: FleetSummary) -> dict[str, Any]:
    """What the template shows around the rows."""
    links = Links(query)
    last = query.start + len(page.orgs) - 1
    return {
        "columns": query.columns,
        "headings": [_heading(query, links, name) for name in query.columns],
        "name_heading": _heading(query, links, "org"),
        "sort_word": _sort_word(query),
        "column_words": COLUMNS,
        "types": [(TYPE_WORDS[one], links.to(type=one.value), one == query.type) for one in USER_TYPES],
        "presets": PRESETS,
        "list_text": links.to().partition("?")[2],
        "row_links": [(str(count), links.to(rows=count), count == query.rows) for count in ROWS],
        "first": query.start,
        "last": last,
        "before": _before(query, links, page),
        "after": links.to(after=sealed(page.orgs[-1].position), start=last + 1) if page.has_after else None,
        **summary_values(query, summary),
    }


def summary_values(query: FleetQuery, summary: FleetSummary) -> dict[str, Any]:
    """What the template shows above the table; it is refreshed as a whole."""
    links = Links(query)
    states = summary.values("state")
    return {
        "query": query,
        "links": links,
        "summary": summary,
        "totals": summary.totals,
        "type_word": TYPE_WORDS[query.type],
        "troubles": list(_trouble_groups(summary.troubles)),
        "all_orgs": sum(one.orgs for one in states),
        "need": FacetLink(
            "needs a person",
            links.to(state=_NEED),
            sum(one.orgs for one in states if one.value in _NEED),
            sorted(query.state) == sorted(_NEED),
        ),
        "states": list(_state_links(query, links, summary)),
        "facets": [(word, name, list(_facet_links(query, links, summary, name))) for word, name in FACETS],
        "removable": list(_removable(query, links)),
        "chart": fleet_chart(summary.trend),
        "chart_size": (STEP * (len(summary.trend) - 1), HEIGHT),
        "known_days": [day for day in summary.trend if day.total is not None],
        "least_known": _least_known(summary.trend),
    }


def _trouble_groups(troubles: Sequence[FleetTrouble]) -> Iterator[TroubleGroup]:
    for state in NEED_A_PERSON:
        found = [one for one in troubles if one.state == state]
        if found:
            several = len(found) > 1
            named = [f"{one.orgs:,} {one.reason}" if several else one.reason for one in found if one.reason]
            reasons = ", ".join(named[:_REASONS]) + (f" and {len(named) - _REASONS} more" if named[_REASONS:] else "")
            orgs, address = sum(one.orgs for one in found), _WHOLE_FLEET.to(state=[state])
            yield TroubleGroup(state, orgs, address, reasons, [(one, one.what_to_do) for one in found])


def _heading(query: FleetQuery, links: Links, name: str) -> Heading:
    word = "Org" if name == "org" else f"{TYPE_WORDS[query.type]}" if name == "count" else COLUMNS[name]
    if name in UNSORTED:
        return Heading(name, word, None, "")
    direction = ""
    if query.sort.removeprefix("-") == name:
        direction = "descending" if query.sort.startswith("-") else "ascending"
    return Heading(name, word, links.sorted_by(name), direction)


def _sort_word(query: FleetQuery) -> str:
    name, reverse = query.sort.removeprefix("-"), query.sort.startswith("-")
    if name == "need":
        return f"those that need a person {'last' if reverse else 'first'}"
    return f"by {_SORT_WORDS[name]}" + (", highest first" if reverse else "")


def _before(query: FleetQuery, links: Links, page: FleetPage) -> str | None:
    if not page.has_before or not page.orgs:
        return None
    start = max(query.start - query.rows, 1)
    return links.to(before=sealed(page.orgs[0].position), start=start)


def _state_links(query: FleetQuery, links: Links, summary: FleetSummary) -> Iterator[FacetLink]:
    """Every state that an org is in or that is chosen, in the order of `State`, without `ok` and removed orgs."""
    counts = {one.value: one.orgs for one in summary.values("state")}
    for state in State:
        if state != State.REMOVED and (state in counts or state in query.state):
            chosen = state in query.state
            yield FacetLink(MARKS[state][1], links.toggled("state", state), counts.get(state, 0), chosen)


def _facet_links(query: FleetQuery, links: Links, summary: FleetSummary, name: str) -> Iterator[FacetLink]:
    chosen = getattr(query, name)
    values = summary.values(name)
    for one in values[:_SHOWN_VALUES]:
        yield FacetLink(one.value, links.toggled(name, one.value), one.orgs, one.value in chosen)
    shown = {one.value for one in values[:_SHOWN_VALUES]}
    counts = {one.value: one.orgs for one in values}
    for value in chosen:
        if value not in shown:
            yield FacetLink(value, links.toggled(name, value), counts.get(value, 0), chosen=True)


def _removable(query: FleetQuery, links: Links) -> Iterator[FacetLink]:
    """The chosen filters, each with the link that removes it."""
    if query.q.strip():
        yield FacetLink(f"“{query.q.strip()}”", links.to(q=None), None, chosen=True)
    for word, name in FACETS:
        for value in getattr(query, name):
            yield FacetLink(f"{word}: {value}", links.toggled(name, value), None, chosen=True)


def _least_known(trend: Sequence[FleetDay]) -> FleetDay | None:
    """The day on which the counts of most orgs were unknown; None where every count of every day is known."""
    worst = max(trend, key=lambda day: day.unknown, default=None)
    return worst if worst is not None and worst.unknown else None
