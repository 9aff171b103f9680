"""What the page of one org shows: facts, series, last polls, gaps, seats, forecast, anomalies and events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from poller.core.model import USER_TYPES
from poller.core.remedies import remedy_for
from poller.core.states import State
from poller.query.anomalies import Anomaly
from poller.query.forecast_fans import read_prediction
from poller.query.lists import list_polls
from poller.query.series import series_of
from poller.store.access.audit import operations_on
from poller.store.capacity.org_history import org_anomalies, seat_changes
from poller.store.orgs.facts import read_facts
from poller.store.reading import reading
from poller.store.series.columns import org_columns
from poller.store.series.gap_ranges import gap_ranges

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from poller.core.audit import AuditEntry
    from poller.core.org_facts import OrgFacts
    from poller.core.series import GapSpan, TypeSeries
    from poller.query.capacity import Point
    from poller.query.forecast_fans import ForecastFans, OrgPrediction
    from poller.query.series import Series, SeriesQuestion
    from poller.store.database import Database
    from poller.store.queries import Queries

LAST_POLLS: Final = 24
_OPERATIONS: Final = timedelta(days=90)
MOST_OPERATIONS: Final = 20
_OPERATED: Final = {"poll": "poll asked for", "pause": "paused", "resume": "resumed"}
MOST_GAPS: Final = 100
"""Ranges of gaps on one page; a longer list is that of `poller gaps`."""


@dataclass(frozen=True, slots=True)
class OrgEvent:
    """Something that happened to the org: `kind` is `added`, `paused`, `resumed`, `parked`, `removed` or `seats`.

    An anomaly has its own kind, such as `step`. `text`: the same in words.
    """

    at: datetime
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class OrgNow:
    """The org at `at`: what changes with each poll. `polls`: the last ones, the newest first, as the API shows them.

    `operations`: who polled, paused or resumed it lately, the newest first.
    """

    at: datetime
    facts: OrgFacts
    polls: Sequence[Mapping[str, Any]]
    forecast: OrgPrediction | None
    operations: Sequence[AuditEntry]

    @property
    def remedy(self) -> str | None:
        """What a person should do about the state; None: nothing."""
        if self.facts.state == State.PARKED:
            return self.facts.parked_remedy
        if self.facts.state in {State.FAILING, State.HELD} and self.facts.last_error is not None:
            return remedy_for(self.facts.last_error)
        return None


@dataclass(frozen=True, slots=True)
class OrgView:
    """Everything on the page. `totals`: the numbers of the whole range for each of the ten types, as one step.

    `gaps` are the newest first; `more_gaps`: there are older ranges that are not in the list. `seats`: when the number
    of seats changed, and to what. `fan`: the days of the forecast.
    """

    current: OrgNow
    series: Series
    totals: Sequence[TypeSeries]
    gaps: Sequence[GapSpan]
    more_gaps: bool
    seats: Sequence[tuple[datetime, int]]
    fan: Sequence[Point]
    events: Sequence[OrgEvent]


async def read_org_now(
    database: Database, org_id: int, *, now: datetime, visible_tags: Sequence[str] | None
) -> OrgNow | None:
    """Reads the org as it is now; None where the caller sees no such org."""
    async with reading(database) as connection:
        return await _org_now(connection, org_id, now, visible_tags)


async def read_org_page(
    database: Database,
    org_id: int,
    question: SeriesQuestion,
    fans: ForecastFans,
    *,
    now: datetime,
    visible_tags: Sequence[str] | None,
    fan_days: int = 0,
) -> OrgView | None:
    """Reads the page over one connection; None where the caller sees no such org.

    `fan_days`: how many days of the forecast to show; 0: none.
    """
    async with reading(database) as connection:
        current = await _org_now(connection, org_id, now, visible_tags)
        if current is None:
            return None
        facts = current.facts
        series = await series_of(connection, org_id, question, facts.effective_interval_seconds)
        begin, end = series.edges[0], series.edges[-1]
        totals = await org_columns(connection, org_id, [begin, end], USER_TYPES)
        usual, most = facts.interval_seconds, MOST_GAPS + 1
        gaps = await gap_ranges(connection, org_id, begin, min(end, now), interval_seconds=usual, limit=most)
        seats = await seat_changes(connection, org_id)
        rows = await org_anomalies(connection, org_id, begin.date(), end.date())
    anomalies = [Anomaly(**dict(row)) for row in rows]
    events = _events(current, seats, anomalies, begin, end)
    fan = await fans.days(database, facts, current.forecast, fan_days)
    return OrgView(current, series, totals, gaps[:MOST_GAPS], len(gaps) > MOST_GAPS, seats, fan, events)


async def _org_now(queries: Queries, org_id: int, now: datetime, visible_tags: Sequence[str] | None) -> OrgNow | None:
    facts = await read_facts(queries, org_id, visible_tags)
    if facts is None:
        return None
    polls = (await list_polls(queries, org_id, limit=LAST_POLLS)).items
    operations = await operations_on(queries, org_id, now - _OPERATIONS, MOST_OPERATIONS)
    return OrgNow(now, facts, polls, await read_prediction(queries, org_id), operations)


def _events(
    current: OrgNow, seats: Sequence[tuple[datetime, int]], anomalies: Sequence[Anomaly], begin: datetime, end: datetime
) -> list[OrgEvent]:
    """What happened in the range, the oldest first."""
    facts = current.facts
    known = [
        (facts.created_at, "added", "the org was added"),
        (facts.paused_at, "paused", "paused: the org is not polled"),
        (facts.resumed_at, "resumed", "resumed"),
        (facts.parked_at, "parked", f"parked: {facts.parked_code}"),
        (facts.since if facts.state == State.REMOVED else None, "removed", "removed"),
    ]
    found = [OrgEvent(at, kind, text) for at, kind, text in known if at is not None]
    found += [
        OrgEvent(at, "seats", f"seats changed from {before:,} to {after:,}")
        for (_, before), (at, after) in pairwise(seats)
    ]
    found += [
        OrgEvent(one.at, one.action, _OPERATED.get(one.action, one.action) + f" by {one.caller}")
        for one in current.operations
    ]
    found += [OrgEvent(_noon(one.day), one.kind, _anomaly_words(one)) for one in anomalies]
    return sorted((one for one in found if begin <= one.at < end), key=lambda one: one.at)


def _anomaly_words(one: Anomaly) -> str:
    """The anomaly in words: `Administrators 73 → 74`, where the counts say it all."""
    if one.kind == "admins_up" and one.before is not None and one.after is not None:
        return f"Administrators {one.before:,.0f} → {one.after:,.0f}"
    return f"{one.user_type}: {one.why}"


def _noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
