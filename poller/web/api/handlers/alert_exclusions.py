"""Exclusions: which orgs and user types have no alerts, and changes to that."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from poller.admin.alert_exclusions import ExcludedSubjects, exclude, include
from poller.core.errors import UnknownRuleError
from poller.query.alert_exclusions import list_visible_exclusions
from poller.query.alert_rules import exclusion_fields
from poller.query.parameters import later_time_of
from poller.query.selection import Selection
from poller.web.api.endpoint import Answer, page
from poller.web.api.handlers.operations import writable
from poller.web.api.handlers.times import named
from poller.web.refusals import Problem

if TYPE_CHECKING:
    from poller.web.api.endpoint import Call


async def exclusions(call: Call) -> Answer:
    """A page of the exclusions that the caller sees."""
    query = call.query
    found = await list_visible_exclusions(
        call.reader, call.caller, orgs=query.org, rules=query.rule, limit=call.limit, after=call.after
    )
    return page(found.items, found.after)


async def change(call: Call) -> Answer:
    """Excludes the subjects of the body from the alerts, or ends that."""
    try:
        return await _changed(call)
    except UnknownRuleError as unknown:
        error = {"parameter": "rule", "in": "body", "detail": unknown.what}
        raise Problem(400, unknown.what, unknown.remedy, errors=[error]) from None


async def _changed(call: Call) -> Answer:
    database, body = writable(call.writer).database, call.body
    subjects = ExcludedSubjects(body.rule, Selection(names=tuple(body.orgs or ())), body.user_type)
    if body.undo:
        done = await include(database, call.caller, subjects)
        message = "The alerts are no longer excluded." if done.changed else "The alerts were not excluded."
    else:
        until = None if body.until is None else named("until", lambda: later_time_of(body.until, call.now, UTC), "body")
        reason = " ".join(body.reason.split())
        done = await exclude(database, call.caller, subjects, reason=reason, until=until)
        message = "The alerts are excluded. Open ones are resolved within a minute, without a message."
        if not done.changed:
            message = "The alerts were excluded already."
    fields = [exclusion_fields(one) for one in done.exclusions]
    return Answer({"exclusions": fields, "changed": done.changed, "message": message})
