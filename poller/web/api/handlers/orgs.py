"""One org: its state, polls, series and forecast."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from poller.core.errors import UnknownOrgError
from poller.core.states import State
from poller.query.fleet_page import FleetQuestion, Position, StateFilter, fleet_page, fleet_row_fields, order_of
from poller.query.forecasts import ForecastQuestion, forecast_org
from poller.query.lists import list_polls
from poller.query.one_org import org_fields
from poller.query.selection import Selection
from poller.query.series import SeriesQuestion, fleet_series, org_series
from poller.web.api.endpoint import Answer, page
from poller.web.api.handlers.times import duration, moment, named, zone
from poller.web.refusals import Problem

if TYPE_CHECKING:
    from poller.query.series import Series
    from poller.web.api.endpoint import Call

LONGEST_SERIES: Final = "40y"


def filter_of(call: Call) -> StateFilter:
    """The orgs that match the filters of the request, and that the caller sees."""
    query = call.query
    return StateFilter(
        search=query.q or None,
        tags=query.tag,
        states=query.state,
        data_centers=query.data_center,
        editions=query.edition,
        visible_tags=call.caller.visible_tags,
        removed=State.REMOVED in query.state,
    )


async def orgs(call: Call) -> Answer:
    """A page of the orgs that the caller sees."""
    after = None if call.after is None else Position(*call.after)
    question = FleetQuestion(filter_of(call), order_of(call.query.sort), call.query.type, call.limit, after)
    found = await fleet_page(call.reader.seen_by(call.caller), question)
    items = [fleet_row_fields(row) for row in found.orgs]
    return page(items, tuple(found.orgs[-1].position) if found.has_after else None)


async def org(call: Call) -> Answer:
    """One org: every field of the list, and more."""
    found = await _found(call)
    which = StateFilter(org_ids=[call.path.id], visible_tags=call.caller.visible_tags, removed=True)
    listed = await fleet_page(call.reader.seen_by(call.caller), FleetQuestion(which, limit=1))
    if not listed.orgs:
        raise UnknownOrgError
    return Answer(fleet_row_fields(listed.orgs[0]) | found)


async def _found(call: Call) -> dict[str, Any]:
    found = await org_fields(call.reader.seen_by(call.caller), call.path.id, visible_tags=call.caller.visible_tags)
    if found is None:
        raise UnknownOrgError
    return found


async def polls(call: Call) -> Answer:
    """The polls of an org, the newest first."""
    await _found(call)
    since = None if call.query.since is None else moment("since", call.query.since, call.now, UTC)
    before = None if call.after is None else call.after[0]
    database = call.reader.seen_by(call.caller)
    found = await list_polls(database, call.path.id, since=since, before=before, limit=call.limit)
    return page(found.items, found.after)


async def series(call: Call) -> Answer:
    """The counts of an org over time."""
    question = _question(call)
    database, tags = call.reader.seen_by(call.caller), call.caller.visible_tags
    found = await org_series(database, call.path.id, question, visible_tags=tags)
    if found is None:
        raise UnknownOrgError
    return _series(found)


async def series_of_fleet(call: Call) -> Answer:
    """The sums of the orgs that the caller sees."""
    question = _question(call)
    database, tags = call.reader.seen_by(call.caller), call.caller.visible_tags
    return _series(await fleet_series(database, question, visible_tags=tags))


async def forecast(call: Call) -> Answer:
    """What a count of an org is expected to be."""
    name = (await org(call)).fields["name"]
    query = call.query
    question = ForecastQuestion(Selection(), query.type.value, query.horizon, call.now)
    made = await forecast_org(call.reader.seen_by(call.caller), call.path.id, question)
    if made is None:
        raise Problem(404, f"no count of {name!r} is known to forecast from", "wait for its first successful poll")
    return Answer(question.fields(made))


def _question(call: Call) -> SeriesQuestion:
    query, now = call.query, call.now
    where = zone("tz", query.tz)
    since = moment("since", query.since, now, where)
    if query.until is not None:
        moment("until", query.until, now, where)
    if query.every is not None:
        duration("every", query.every)
    moment("since", LONGEST_SERIES, now, where)
    if since < moment("since", LONGEST_SERIES, now, where):
        error = {"parameter": "since", "in": "query", "detail": f"more than {LONGEST_SERIES} ago"}
        raise Problem(400, f"since is more than {LONGEST_SERIES} ago", "ask for a shorter range", errors=[error])
    return named(
        "until",
        lambda: SeriesQuestion.parse(
            now,
            types=[one.value for one in query.type],
            since=query.since,
            until=query.until or "",
            every=query.every or "",
            tz=query.tz,
        ),
    )


def _series(found: Series) -> Answer:
    return Answer(found.fields())
