"""Adds, changes, removes and restores alert rules.

Each change can be undone, and is noted in the audit log, but without addresses: they are secrets.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from poller.admin.audit import record
from poller.core.alert_rule_change import changed_rule, new_rule
from poller.core.audit import AuditAction
from poller.core.errors import ConflictError
from poller.notify.checks import check_addresses
from poller.query.alert_rules import find_rule
from poller.query.parameters import zone_of
from poller.query.selection import Selection
from poller.store.capacity import alert_rules as store
from poller.store.queue.addresses import set_addresses

if TYPE_CHECKING:
    from poller.admin.writer import Writer
    from poller.core.alert_rule_change import RuleChange
    from poller.core.alerts import AlertRule
    from poller.core.callers import Caller
    from poller.store.database import Database

_ADDRESSES: Final = "the address"


async def add_rule(writer: Writer, caller: Caller, name: str, change: RuleChange) -> AlertRule:
    """Adds a rule; a `ConflictError` where one has the name."""
    return await _save(writer, caller, AuditAction.RULE_ADDED, new_rule(name, change), change)


async def change_rule(writer: Writer, caller: Caller, name: str, change: RuleChange) -> AlertRule:
    """Changes the fields of a rule that are given."""
    rule = changed_rule(await find_rule(writer.database, name), change)
    return await _save(writer, caller, AuditAction.RULE_CHANGED, rule, change)


async def remove_rule(database: Database, caller: Caller, name: str) -> None:
    """Removes a rule and resolves its open alerts; `restore_rule` brings it back."""
    await find_rule(database, name)
    async with database.transaction() as connection:
        await store.remove_rule(connection, name, database.clock.now(), by=caller.name)
    await record(database, caller, AuditAction.RULE_REMOVED, detail={"rule": name})


async def restore_rule(database: Database, caller: Caller, name: str) -> None:
    """Brings back the rule of this name that was removed last."""
    if any(rule.name == name for rule in await store.list_rules(database)):
        raise ConflictError(f"the rule {name} is not removed", "see `poller alerts rules list`")
    rule = await find_rule(database, name, removed=True)
    async with database.transaction() as connection:
        await store.restore_rule(connection, rule.id, database.clock.now())
    await record(database, caller, AuditAction.RULE_RESTORED, detail={"rule": name})


async def _save(writer: Writer, caller: Caller, action: AuditAction, rule: AlertRule, change: RuleChange) -> AlertRule:
    database = writer.database
    if change.zone is not None:
        zone_of(change.zone)
    if change.orgs is not None:
        rule = replace(rule, org_ids=tuple(await Selection(names=tuple(change.orgs)).named_ids(database)))
    if change.urls:
        await check_addresses(change.urls, _ADDRESSES)
    async with database.transaction() as connection:
        rule = replace(rule, id=await store.save_rule(connection, rule, database.clock.now()))
        if change.urls is not None:
            await set_addresses(connection, rule.id, change.urls, writer.keyring)
    await record(database, caller, action, detail=_noted(rule, change))
    return rule


def _noted(rule: AlertRule, change: RuleChange) -> dict[str, object]:
    """What the audit log says: the rule, and the fields that were given."""
    given = {name: value for name, value in change.given().items() if name != "urls"}
    addresses = {} if change.urls is None else {"addresses": len(change.urls)}
    return {"rule": rule.name, **given, **addresses}
