"""The rows of the fleet's table as HTML, one function for each column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.core.states import State
from poller.query.fleet_page import remedy_of
from poller.web.pages.formats import change, day, marked, number, span
from poller.web.pages.markup import escape, reason_unknown, seats_bar, time_element
from poller.web.pages.rendering import MARKS
from poller.web.pages.sparkline import sparkline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from poller.query.fleet_page import FleetOrg

_HEARTBEATS: Final = {"ok": (2, 16, ""), "missed": (15, 3, ' class="missed"'), "throttled": (8, 10, ' class="held"')}
"""Where the line of a poll begins, its height, and its class."""
_UNSPOKEN: Final = 'aria-hidden="true"'
_OTHER_HEARTBEAT: Final = (2, 16, ' class="bad"')
_LONGEST_WHY: Final = 150
"""Characters of the reason and remedy on a row; the org's page has all of it."""


def row_markup(
    orgs: Sequence[FleetOrg], now: datetime, outcomes: Mapping[int, Sequence[str]], columns: Sequence[str]
) -> Iterator[str]:
    """Yields each row. `outcomes`: of the last polls of each org, where that column is shown."""
    cells = [_CELLS[name] for name in columns if name != "polls"]
    polls = columns.index("polls") if "polls" in columns else None
    for row in orgs:
        shown = [cell(row, now) for cell in cells]
        if polls is not None:
            shown.insert(polls, _polls(outcomes.get(row.org.org_id, ())))
        yield _row(row, "".join(shown), _why_row(row, now, len(columns)))


def _row(row: FleetOrg, cells: str, why: str) -> str:
    org = row.org
    name = escape(org.org)
    return (
        f'<tbody data-row data-digest="{row.digest}"><tr data-org="{name}" data-state="{org.state}">'
        f'<th scope="row"><a href="/orgs/{org.org_id}">{name}</a></th>{cells}</tr>{why}</tbody>\n'
    )


def _state(row: FleetOrg, _now: datetime) -> str:
    state = row.org.state
    mark, word = MARKS[state]
    return f'<td class="c-state"><span class="state {state}"><i>{mark}</i> {word}</span></td>'


def _data_center(row: FleetOrg, _now: datetime) -> str:
    return f'<td class="c-dc">{escape(row.org.data_center)}</td>'


def _edition(row: FleetOrg, _now: datetime) -> str:
    edition = row.org.edition
    return f'<td class="c-edition">{escape(edition) if edition else _NO_EDITION}</td>'


def _tags(row: FleetOrg, _now: datetime) -> str:
    return f'<td class="c-tags">{escape(" ".join(row.org.tags))}</td>'


def _count(row: FleetOrg, _now: datetime) -> str:
    return f'<td class="n c-count">{_NEVER_COUNTED if row.count is None else number(row.count)}</td>'


def _seats(row: FleetOrg, _now: datetime) -> str:
    if row.purchased is None:
        return _SEATS_UNKNOWN
    return f'<td class="n c-seats">{seats_bar(row.used, row.purchased, _UNSPOKEN)}</td>'


def _idle(row: FleetOrg, _now: datetime) -> str:
    if row.purchased is None or row.used is None:
        return _IDLE_UNKNOWN
    return f'<td class="n c-idle">{number(max(row.purchased - row.used, 0))}</td>'


def _week(row: FleetOrg, _now: datetime) -> str:
    return f'<td class="n c-7d">{_NO_WEEK if row.change_7d is None else change(row.change_7d)}</td>'


def _month(row: FleetOrg, _now: datetime) -> str:
    return f'<td class="n c-30d">{_NO_MONTH if row.change_30d is None else change(row.change_30d)}</td>'


def _history(row: FleetOrg, _now: datetime) -> str:
    path = sparkline(row.history)
    if not path:
        return _NO_HISTORY
    return (
        '<td class="c-history"><svg class="spark" viewBox="0 0 120 20" aria-hidden="true">'
        f'<path d="{path}"/></svg></td>'
    )


def _runs_out(row: FleetOrg, now: datetime) -> str:
    if row.purchased is not None and row.used is not None and row.used >= row.purchased:
        return _ALL_IN_USE
    if row.exhausted_on is not None:
        return f'<td class="n c-out">{day(row.exhausted_on, now.date())}</td>'
    return _NO_SEATS if row.purchased is None else _NO_FORECAST if row.forecast_at is None else _NOT_IN_SIGHT


def _counts_at(row: FleetOrg, now: datetime) -> str:
    at = row.org.counts_at
    if at is None:
        return _NEVER_SEEN
    return f'<td class="n c-at">{time_element(at, span((now - at).total_seconds()))}</td>'


def _polls(outcomes: Sequence[str]) -> str:
    """The last polls, oldest first."""
    if not outcomes:
        return _NEVER_POLLED
    lines = "".join(
        f'<rect x="{5 * place}" y="{top}" width="3" height="{height}"{kind}/>'
        for place, (top, height, kind) in enumerate(_HEARTBEATS.get(one, _OTHER_HEARTBEAT) for one in outcomes)
    )
    label = f"{len(outcomes)} polls, {outcomes.count('ok')} ok"
    size = 5 * len(outcomes)
    return (
        f'<td class="c-polls"><svg class="polls" viewBox="0 0 {size} 20" role="img" aria-label="{label}">'
        f"{lines}</svg></td>"
    )


def _why_row(row: FleetOrg, now: datetime, columns: int) -> str:
    """A second row with reason and remedy of an org that needs a person, or that waits; empty for any other."""
    whole = _why(row, now)
    if not whole:
        return ""
    shown = whole if len(whole) <= _LONGEST_WHY else whole[:_LONGEST_WHY].rpartition(" ")[0] + " …"
    more = f' <a href="/orgs/{row.org.org_id}">How&nbsp;▸</a>' if len(shown) < len(whole) else ""
    return f'<tr class="why"><td colspan="{columns + 1}">{marked(shown)}{more}</td></tr>'


def _why(row: FleetOrg, now: datetime) -> str:
    org = row.org
    if org.state == State.OK:
        return ""
    since = "" if org.since is None else f" for {span((now - org.since).total_seconds())}"
    remedy = remedy_of(row)
    if remedy is not None:
        return f"{org.state_reason or MARKS[org.state][1]}{since}: {remedy}"
    if org.state == State.HELD and org.state_reason:
        return f"{org.state_reason}{since}: Zoho's limits delay its polls; they go on automatically"
    return ""


def _cell_unknown(kind: str, reason: str) -> str:
    return f'<td class="{kind}">{reason_unknown(reason)}</td>'


_NO_EDITION: Final = reason_unknown("the edition is not known")
_NEVER_COUNTED: Final = reason_unknown("no count is known yet")
_NO_WEEK: Final = reason_unknown("no count of the last 24 hours, or of 7 days ago")
_NO_MONTH: Final = reason_unknown("no count of the last 24 hours, or of 30 days ago")
_SEATS_UNKNOWN: Final = _cell_unknown("n c-seats", "the number of seats is not known")
_IDLE_UNKNOWN: Final = _cell_unknown("n c-idle", "the seats, or how many are used, are not known")
_NO_HISTORY: Final = _cell_unknown("c-history", "no count in 30 days")
_NO_SEATS: Final = _cell_unknown("n c-out", "the number of seats is not known")
_NO_FORECAST: Final = _cell_unknown("n c-out", "there is no forecast yet")
_ALL_IN_USE: Final = '<td class="n c-out full">all in use</td>'
_NOT_IN_SIGHT: Final = '<td class="n c-out">not in sight</td>'
_NEVER_SEEN: Final = _cell_unknown("n c-at", "no count is known yet")
_NEVER_POLLED: Final = _cell_unknown("c-polls", "never polled")

_CELLS: Final[Mapping[str, Callable[[FleetOrg, datetime], str]]] = {
    "state": _state,
    "data_center": _data_center,
    "edition": _edition,
    "tags": _tags,
    "count": _count,
    "seats": _seats,
    "idle": _idle,
    "change_7d": _week,
    "change_30d": _month,
    "history": _history,
    "exhausted_on": _runs_out,
    "counts_at": _counts_at,
}
"""The cell of each column but `polls`."""
