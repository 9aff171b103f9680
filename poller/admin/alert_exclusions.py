"""Excludes orgs and user types from alert rules, and includes them again. Reports still show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from poller.admin.audit import record
from poller.core.alerts import Exclusion
from poller.core.audit import AuditAction
from poller.core.errors import UsageError
from poller.query.alert_rules import all_exclusions, find_rule
from poller.query.parameters import type_of
from poller.store.capacity import alert_rules as store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from poller.core.callers import Caller
    from poller.query.selection import Selection
    from poller.store.database import Database


@dataclass(frozen=True, slots=True)
class ExcludedSubjects:
    """Which alerts an exclusion is about. None: of every rule, or user type; an empty selection: of every org."""

    rule: str | None
    orgs: Selection
    user_type: str | None


async def exclude(
    database: Database, caller: Caller, subjects: ExcludedSubjects, *, reason: str, until: datetime | None
) -> int:
    """Excludes these subjects until a time (None: for ever); how many exclusions were stored."""
    keys, now = await _keys(database, subjects), database.clock.now()
    if until is not None and until <= now:
        raise UsageError(f"{until:%Y-%m-%d %H:%M} UTC is not in the future", "give a later time, such as 30d")
    async with database.transaction() as connection:
        for rule_id, org_id, user_type in keys:
            one = Exclusion(0, rule_id, org_id, user_type, reason, until, caller.name)
            await store.save_exclusion(connection, one, now)
    await record(database, caller, AuditAction.EXCLUDED, *_noted(subjects, keys, reason=reason, until=until))
    return len(keys)


async def include(database: Database, caller: Caller, subjects: ExcludedSubjects) -> int:
    """Ends the exclusions of exactly these subjects; a `UsageError` where there is none."""
    keys = await _keys(database, subjects)
    found = [one for one in await all_exclusions(database) if (one.rule_id, one.org_id, one.user_type) in set(keys)]
    if not found:
        raise UsageError("there is no such exclusion", "see `poller alerts rules exclusions`")
    async with database.transaction() as connection:
        for one in found:
            await store.delete_exclusion(connection, one.id)
    await record(database, caller, AuditAction.INCLUDED, *_noted(subjects, keys))
    return len(found)


Key = tuple[int | None, int | None, str | None]


async def _keys(database: Database, subjects: ExcludedSubjects) -> list[Key]:
    """Rule, org and user type of each exclusion."""
    rule_id = None if subjects.rule is None else (await find_rule(database, subjects.rule)).id
    user_type = None if subjects.user_type is None else type_of(subjects.user_type).value
    org_ids = await subjects.orgs.ids(database)
    if rule_id is None and org_ids is None and user_type is None:
        raise UsageError("nothing is given to exclude", "name a rule, --org or --type")
    if org_ids is None:
        return [(rule_id, None, user_type)]
    return [(rule_id, org_id, user_type) for org_id in org_ids]


def _noted(subjects: ExcludedSubjects, keys: Sequence[Key], **more: object) -> tuple[int | None, dict[str, object]]:
    """The org and the details for the audit log."""
    detail = {"rule": subjects.rule, "user_type": subjects.user_type, "exclusions": len(keys), **more}
    org_id = keys[0][1] if len(keys) == 1 else None
    return org_id, {name: value for name, value in detail.items() if value}
