"""Lists of facts of many orgs."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from poller.core.org_filter import OrgFilter
from poller.query import lists
from poller.web.api.endpoint import page
from poller.web.api.handlers.times import moment

if TYPE_CHECKING:
    from datetime import date

    from poller.query.lists import ListPage
    from poller.web.api.endpoint import Answer, Call


async def latest(call: Call) -> Answer:
    """The last known counts of each org."""
    database = call.reader.seen_by(call.caller)
    return _answer(await lists.list_latest(database, _orgs(call), limit=call.limit, after=call.after))


async def gaps(call: Call) -> Answer:
    """The slots whose counts are not all known."""
    query, now = call.query, call.now
    since = moment("since", query.since, now, UTC)
    until = now if query.until is None else min(moment("until", query.until, now, UTC), now)
    database = call.reader.seen_by(call.caller)
    return _answer(await lists.list_gaps(database, _orgs(call), since, until, limit=call.limit, after=call.after))


async def seats(call: Call) -> Answer:
    """The seats of each org."""
    before = _day_after(call, call.query.renews_within)
    database = call.reader.seen_by(call.caller)
    found = await lists.list_seats(database, _orgs(call), renews_before=before, limit=call.limit, after=call.after)
    return _answer(found)


async def forecasts(call: Call) -> Answer:
    """The latest forecasts of the service."""
    before = _day_after(call, call.query.exhausted_within)
    database = call.reader.seen_by(call.caller)
    found = await lists.list_forecasts(
        database, _orgs(call), exhausted_before=before, limit=call.limit, after=call.after
    )
    return _answer(found)


async def anomalies(call: Call) -> Answer:
    """Days on which a count did something unusual."""
    since = moment("since", call.query.since, call.now, UTC).date()
    database = call.reader.seen_by(call.caller)
    found = await lists.list_anomalies(
        database, _orgs(call), since, kinds=call.query.kind, limit=call.limit, after=call.after
    )
    return _answer(found)


def _orgs(call: Call) -> OrgFilter:
    query = call.query
    return OrgFilter(call.caller.visible_tags, query.tag, query.data_center, query.org)


def _answer(found: ListPage) -> Answer:
    return page(found.items, found.after)


def _day_after(call: Call, days: int | None) -> date | None:
    return None if days is None else (call.now + timedelta(days=days)).date()
