"""The service: its health, and who changed or saw what."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from poller.query.audit import audit_entries, audit_facts
from poller.query.health import read_health
from poller.query.health_fields import health_fields
from poller.web.api.endpoint import Answer, page
from poller.web.api.handlers.times import moment

if TYPE_CHECKING:
    from poller.web.api.endpoint import Call


async def health(call: Call) -> Answer:
    """How the polls of the last 24 hours went."""
    return Answer(health_fields(await read_health(call.reader, call.caller)))


async def audit(call: Call) -> Answer:
    """The audit log, the newest first."""
    found = await audit_entries(
        call.reader.seen_by(call.caller),
        moment("since", call.query.since, call.now, UTC),
        visible_tags=call.caller.visible_tags,
        before=None if call.after is None else call.after[0],
        limit=call.limit + 1,
    )
    shown = found[: call.limit]
    after = (shown[-1].id,) if len(found) > call.limit else None
    return page([audit_facts(entry) for entry in shown], after)
