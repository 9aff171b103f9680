"""Excludes orgs and user types from alert rules, and includes them again. Reports still show them.

A caller with tags excludes its own orgs, and names them; an org or a rule that it may not see is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from poller.admin.audit import record, record_each
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


@dataclass(frozen=True, slots=True)
class ExclusionResult:
    """The exclusions that were stored or ended; `changed` is False if everything was so before."""

    exclusions: Sequence[Exclusion]
    changed: bool


async def exclude(
    database: Database, caller: Caller, subjects: ExcludedSubjects, *, reason: str, until: datetime | None
) -> ExclusionResult:
    """Excludes these subjects until a time (None: for ever)."""
    keys, now = await _keys(database, caller, subjects), database.clock.now()
    if until is not None and until <= now:
        raise UsageError(f"{until:%Y-%m-%d %H:%M} UTC is not in the future", "give a later time, such as 30d")
    before = await _stored(database, keys)
    if len(before) == len(keys) and all((one.reason, one.until) == (reason, until) for one in before):
        return ExclusionResult(before, changed=False)
    async with database.transaction() as connection:
        for rule_id, org_id, user_type in keys:
            one = Exclusion(0, rule_id, org_id, user_type, reason, until, caller.name)
            await store.save_exclusion(connection, one, now)
    await _note(database, caller, AuditAction.EXCLUDED, subjects, keys, reason=reason, until=until)
    return ExclusionResult(await _stored(database, keys), changed=True)


async def include(database: Database, caller: Caller, subjects: ExcludedSubjects) -> ExclusionResult:
    """Ends the exclusions of exactly these subjects; nothing changes where there are none."""
    keys = await _keys(database, caller, subjects, removed=True)
    found = await _stored(database, keys)
    if not found:
        return ExclusionResult((), changed=False)
    async with database.transaction() as connection:
        for one in found:
            await store.delete_exclusion(connection, one.id)
    await _note(
        database, caller, AuditAction.INCLUDED, subjects, [(one.rule_id, one.org_id, one.user_type) for one in found]
    )
    return ExclusionResult(found, changed=True)


def no_such_exclusion() -> UsageError:
    """The error for an exclusion that a person wants to end and that does not exist."""
    return UsageError("there is no such exclusion", "see `poller alerts rules exclusions`")


Key = tuple[int | None, int | None, str | None]


async def _stored(database: Database, keys: Sequence[Key]) -> list[Exclusion]:
    """The exclusions with these keys."""
    wanted = set(keys)
    org_ids = None if keys[0][1] is None else [org_id for _, org_id, _ in keys if org_id is not None]
    found = await all_exclusions(database, org_ids=org_ids)
    return [one for one in found if (one.rule_id, one.org_id, one.user_type) in wanted]


async def _keys(database: Database, caller: Caller, subjects: ExcludedSubjects, *, removed: bool = False) -> list[Key]:
    """Rule, org and user type of each exclusion. `removed`: removed rules and orgs are found too."""
    tags, rule_id = caller.visible_tags, None
    if subjects.rule is not None:
        rule_id = (await find_rule(database, subjects.rule, removed=removed, visible_tags=tags)).id
    user_type = None if subjects.user_type is None else type_of(subjects.user_type).value
    if tags is None:
        org_ids = await subjects.orgs.ids(database, removed=removed)
    else:
        org_ids = await subjects.orgs.named_ids(database, removed=removed, visible_tags=tags)
        if not org_ids:
            raise UsageError("an exclusion without orgs is about every org", "name orgs that this key sees")
    if rule_id is None and org_ids is None and user_type is None:
        raise UsageError(
            "nothing is given to exclude", "name a rule, --org or --type; in the API, `rule`, `orgs` or `user_type`"
        )
    if org_ids is None:
        return [(rule_id, None, user_type)]
    return [(rule_id, org_id, user_type) for org_id in org_ids]


async def _note(
    database: Database,
    caller: Caller,
    action: AuditAction,
    subjects: ExcludedSubjects,
    keys: Sequence[Key],
    **more: object,
) -> None:
    """Writes an entry into the audit log, for each org if orgs are named."""
    detail = {"rule": subjects.rule, "user_type": subjects.user_type, **more}
    detail = {name: value for name, value in detail.items() if value}
    org_ids = [org_id for _, org_id, _ in keys if org_id is not None]
    if org_ids:
        await record_each(database, caller, action, org_ids, detail)
    else:
        await record(database, caller, action, None, detail)
