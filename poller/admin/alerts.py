"""What a person does about an alert: acknowledge it, snooze it, and undo both.

An alert that the caller may not see is an `UnknownAlertError`, like one that does not exist. An operation that is
repeated changes nothing and says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from poller.admin.audit import record
from poller.core.alerts import AlertState
from poller.core.audit import AuditAction
from poller.core.errors import ConflictError, UsageError
from poller.query.alerts import find_alert
from poller.store.capacity import alerts as store

if TYPE_CHECKING:
    from datetime import datetime

    from poller.core.alerts import Alert
    from poller.core.callers import Caller
    from poller.store.database import Database

LONGEST_SNOOZE: Final = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class HandledAlert:
    """The alert afterwards; `changed` is False if it was so before. `message`: what happens next, in a sentence."""

    alert: Alert
    changed: bool
    message: str

    def fields(self) -> dict[str, Any]:
        """As one JSON object."""
        return {"alert": self.alert.fields(), "changed": self.changed, "message": self.message}


async def acknowledge(database: Database, caller: Caller, alert_id: int) -> HandledAlert:
    """Sends no more messages about an alert until it is resolved."""
    alert = await _open_alert(database, caller, alert_id)
    if alert.state is AlertState.ACKNOWLEDGED:
        return HandledAlert(alert, changed=False, message="The alert was acknowledged already.")
    async with database.transaction() as connection:
        await store.acknowledge(connection, alert_id, caller.name, database.clock.now())
    message = "The alert is acknowledged: no more messages until it is resolved."
    return await _noted(database, caller, alert, AuditAction.ACKNOWLEDGE, message)


async def unacknowledge(database: Database, caller: Caller, alert_id: int) -> HandledAlert:
    """Undoes an acknowledgement: the alert fires again."""
    alert = await _open_alert(database, caller, alert_id)
    if alert.state is not AlertState.ACKNOWLEDGED:
        return HandledAlert(alert, changed=False, message="The alert was not acknowledged.")
    async with database.transaction() as connection:
        await store.unacknowledge(connection, alert_id, caller.name, database.clock.now())
    return await _noted(database, caller, alert, AuditAction.UNACKNOWLEDGE, "The alert fires again.")


async def snooze(database: Database, caller: Caller, alert_id: int, until: datetime) -> HandledAlert:
    """Sends no messages about an alert until a time; then it fires again if its condition still holds."""
    alert, now = await _open_alert(database, caller, alert_id), database.clock.now()
    if not now < until <= now + LONGEST_SNOOZE:
        which = "is not in the future" if until <= now else "is more than a year ahead"
        raise UsageError(f"{until:%Y-%m-%d %H:%M} UTC {which}", "snooze for a time such as 4h, 7d or 1y")
    message = f"The alert is snoozed until {until:%Y-%m-%d %H:%M} UTC: no messages before then."
    if alert.state is AlertState.SNOOZED and alert.snoozed_until == until:
        return HandledAlert(alert, changed=False, message=message)
    async with database.transaction() as connection:
        await store.snooze(connection, alert_id, until, caller.name, now)
    return await _noted(database, caller, alert, AuditAction.SNOOZE, message)


async def unsnooze(database: Database, caller: Caller, alert_id: int) -> HandledAlert:
    """Ends a snooze: the alert fires again."""
    alert = await _open_alert(database, caller, alert_id)
    if alert.state is not AlertState.SNOOZED:
        return HandledAlert(alert, changed=False, message="The alert was not snoozed.")
    async with database.transaction() as connection:
        await store.unsnooze(connection, alert_id, caller.name, database.clock.now())
    return await _noted(database, caller, alert, AuditAction.UNSNOOZE, "The alert fires again.")


async def _open_alert(database: Database, caller: Caller, alert_id: int) -> Alert:
    alert = await find_alert(database, alert_id, caller.visible_tags)
    if alert.state is AlertState.RESOLVED:
        raise ConflictError(f"the alert {alert_id} is resolved", "there is nothing to do about it")
    return alert


async def _noted(
    database: Database,
    caller: Caller,
    before: Alert,
    action: AuditAction,
    message: str,
) -> HandledAlert:
    """Writes the operation into the audit log; the alert as it is now."""
    after = await find_alert(database, before.id, caller.visible_tags)
    until = {} if after.snoozed_until is None else {"until": after.snoozed_until}
    detail = {"alert": before.id, "rule": before.rule, "state": after.state.value, **until}
    await record(database, caller, action, before.org_id, detail)
    return HandledAlert(after, changed=True, message=message)
