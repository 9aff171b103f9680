"""The rules by which alerts fire: what they are, and changes to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.admin import alert_rules as admin
from poller.core.alert_rule_change import RuleChange
from poller.core.errors import UnknownRuleError
from poller.core.secret import Secret
from poller.query.alert_rules import described_rule, described_rules, find_rule
from poller.web.api.endpoint import Answer
from poller.web.api.handlers.operations import writable
from poller.web.refusals import Problem

if TYPE_CHECKING:
    from poller.core.callers import Caller
    from poller.web.api.endpoint import Call
    from poller.web.api.models.alerts import RuleBody


async def rules(call: Call) -> Answer:
    """The rules by name."""
    require_every_org(call.caller)
    return Answer({"items": [one.fields() for one in await described_rules(call.reader.seen_by(call.caller))]})


async def save(call: Call) -> Answer:
    """Adds the rule, or changes the fields of it that are given."""
    require_every_org(call.caller)
    writer, name = writable(call.writer), call.path.name
    try:
        await find_rule(writer.database, name)
    except UnknownRuleError:
        await admin.add_rule(writer, call.caller, name, _change(call.body))
        message = "The rule is added. It is evaluated within a minute."
    else:
        await admin.change_rule(writer, call.caller, name, _change(call.body))
        message = "The rule is changed. It is evaluated within a minute."
    return Answer({"rule": (await described_rule(writer.database, name)).fields(), "message": message})


async def remove(call: Call) -> Answer:
    """Removes the rule, or brings it back."""
    require_every_org(call.caller)
    database, name = writable(call.writer).database, call.path.name
    if call.body.undo:
        await admin.restore_rule(database, call.caller, name)
        return Answer({"rule": (await described_rule(database, name)).fields(), "message": "The rule is back."})
    await admin.remove_rule(database, call.caller, name)
    return Answer({"rule": None, "message": "The rule is removed, and its alerts are resolved."})


def require_every_org(caller: Caller) -> None:
    """Refuses a caller with tags: a rule may be about any org."""
    if caller.visible_tags is not None:
        raise Problem(403, "rules are about every org", "use a key without tags")


def _change(body: RuleBody) -> RuleChange:
    return RuleChange(
        metric=body.metric,
        comparison=body.comparison,
        threshold=None if body.threshold is None else str(body.threshold),
        hold_for=body.for_,
        clear_after=body.clear,
        severity=body.severity,
        orgs=body.orgs,
        tags=body.tags,
        data_centers=body.data_centers,
        quiet=body.quiet,
        zone=body.zone,
        enabled=body.enabled,
        urls=None if body.to is None else tuple(map(Secret, body.to)),
    )
