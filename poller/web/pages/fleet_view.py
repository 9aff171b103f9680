"""The rows of the fleet's table as the template shows them: words instead of values, and paths of lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poller.core.states import State
from poller.query.fleet_page import remedy_of
from poller.web.pages.formats import change, day, number, span
from poller.web.pages.rendering import MARKS
from poller.web.pages.sparkline import sparkline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from poller.query.fleet_page import FleetOrg

_HEARTBEATS: Final = {"ok": "|", "missed": ".", "throttled": ":"}
"""How a poll is drawn; every other outcome is an `x`."""
_FULL: Final = 0.95
"""Share of used seats from which on few are left."""
_LONGEST_WHY: Final = 150
"""Characters of the reason and remedy on a row; the org's page has all of it."""


@dataclass(frozen=True, slots=True)
class RowView:
    """One row as text. `share`: of used seats, in percent. `more`: the org's page says more than `why`."""

    id: int
    name: str
    state: str
    digest: str
    mark: str
    word: str
    why: str
    more: bool
    data_center: str
    edition: str
    tags: str
    count: str
    used: int | None
    share: int
    full: bool
    purchased: int | None
    idle: str
    change_7d: str
    change_30d: str
    path: str
    runs_out: str
    runs_out_why: str
    counts_at: datetime | None
    age: str
    polls: str


def row_views(orgs: Sequence[FleetOrg], now: datetime, outcomes: Mapping[int, Sequence[str]]) -> list[RowView]:
    """The rows as the template shows them."""
    today = now.date()
    return [_row_view(org, now, today, outcomes.get(org.org.org_id, ())) for org in orgs]


def _row_view(row: FleetOrg, now: datetime, today: date, outcomes: Sequence[str]) -> RowView:
    org = row.org
    mark, word = MARKS[org.state]
    idle = None if row.purchased is None or row.used is None else max(row.purchased - row.used, 0)
    runs_out, runs_out_why = _runs_out(row, today)
    whole = _why(row, now)
    share = min(round(100 * row.used / row.purchased), 100) if row.used is not None and row.purchased else 100
    why = _cut(whole)
    return RowView(
        id=org.org_id,
        name=org.org,
        state=org.state,
        digest=row.digest,
        mark=mark,
        word=word,
        why=why,
        more=len(why) < len(whole),
        data_center=org.data_center,
        edition=org.edition or "",
        tags=" ".join(org.tags),
        count=number(row.count),
        used=row.used,
        share=share,
        full=row.used is not None and row.purchased is not None and row.used >= _FULL * row.purchased,
        purchased=row.purchased,
        idle=number(idle),
        change_7d=change(row.change_7d),
        change_30d=change(row.change_30d),
        path=sparkline(row.history),
        runs_out=runs_out,
        runs_out_why=runs_out_why,
        counts_at=org.counts_at,
        age="" if org.counts_at is None else span((now - org.counts_at).total_seconds()),
        polls="".join(_HEARTBEATS.get(outcome, "x") for outcome in outcomes),
    )


def _why(row: FleetOrg, now: datetime) -> str:
    """Reason and remedy of an org that needs a person, or that waits; empty for any other."""
    org = row.org
    since = "" if org.since is None else f" for {span((now - org.since).total_seconds())}"
    remedy = remedy_of(row)
    if remedy is not None:
        return f"{org.state_reason or MARKS[org.state][1]}{since}: {remedy}"
    if org.state == State.HELD and org.state_reason:
        return f"{org.state_reason}{since}: Zoho's limits delay its polls; they go on automatically"
    return ""


def _cut(text: str) -> str:
    """The text, or as many of its words as there is room for."""
    return text if len(text) <= _LONGEST_WHY else text[:_LONGEST_WHY].rpartition(" ")[0] + " …"


def _runs_out(row: FleetOrg, today: date) -> tuple[str, str]:
    """The day, or why there is none."""
    if row.exhausted_on is not None:
        return day(row.exhausted_on, today), ""
    if row.purchased is None:
        return "–", "the number of seats is not known"
    if row.forecast_at is None:
        return "–", "there is no forecast yet"
    return "not in sight", ""
