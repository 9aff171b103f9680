"""Alerts: those that fire, their history, and what a person does about them."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from poller.admin import alerts as admin
from poller.core.alert_rule_change import snooze_seconds
from poller.core.alerts import AlertFilter
from poller.query.alerts import alert_fields, list_alerts
from poller.query.parameters import later_time_of
from poller.web.api.endpoint import Answer, page
from poller.web.api.handlers.operations import writable
from poller.web.api.handlers.times import named
from poller.web.refusals import Problem

if TYPE_CHECKING:
    from datetime import datetime

    from poller.web.api.endpoint import Call


async def alerts(call: Call) -> Answer:
    """A page of the alerts that the caller sees."""
    query = call.query
    which = AlertFilter(
        states=query.state,
        rules=query.rule,
        severities=query.severity,
        orgs=query.org,
        tags=query.tag,
        data_centers=query.data_center,
        visible_tags=call.caller.visible_tags,
        search=query.q,
    )
    database = call.reader.seen_by(call.caller)
    found = await list_alerts(database, which, call.now, limit=call.limit, after=call.after)
    return page(found.items, found.after)


async def alert(call: Call) -> Answer:
    """One alert with its history."""
    return Answer(await alert_fields(call.reader.seen_by(call.caller), call.path.id, call.caller.visible_tags))


async def acknowledge(call: Call) -> Answer:
    """Acknowledges an alert, or undoes that."""
    operation = admin.unacknowledge if call.body.undo else admin.acknowledge
    return Answer((await operation(writable(call.writer).database, call.caller, call.path.id)).fields())


async def snooze(call: Call) -> Answer:
    """Snoozes an alert, or ends that."""
    database = writable(call.writer).database
    until = _until(call)
    if until is None:
        done = await admin.unsnooze(database, call.caller, call.path.id)
    else:
        done = await admin.snooze(database, call.caller, call.path.id, until)
    return Answer(done.fields())


def _until(call: Call) -> datetime | None:
    """Until when; None: the snooze ends."""
    body = call.body
    given = [body.for_ is not None, body.until is not None, body.undo]
    if sum(given) != 1:
        what = "give one of `for`, `until` and `undo`"
        error = {"parameter": "body", "in": "body", "detail": what}
        raise Problem(400, f"body: {what}", 'send such as {"for": "7d"}', errors=[error])
    if body.until is not None:
        return named("until", lambda: later_time_of(body.until, call.now, UTC), "body")
    seconds = 0 if body.undo else named("for", lambda: snooze_seconds(body.for_), "body")
    return call.now + timedelta(seconds=seconds) if seconds else None
