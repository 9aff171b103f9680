"""Alert rules with the names of their orgs and where their messages go, and what is excluded from them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from poller.core.alerts import METRICS
from poller.core.errors import UnknownRuleError
from poller.store.capacity.alert_rules import list_exclusions, list_rules
from poller.store.orgs.selection import find_selected
from poller.store.queue.addresses import list_addresses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.core.alerts import AlertRule, Exclusion
    from poller.store.queries import Queries


@dataclass(frozen=True, slots=True)
class DescribedRule:
    """A rule as people read it. `to`: its own addresses by scheme, with their secrets masked; empty: the default."""

    rule: AlertRule
    orgs: Sequence[str]
    to: Sequence[str]

    def whose(self) -> str:
        """Which orgs the rule watches: `all`, or names, tags and data centres."""
        parts = [", ".join(self.orgs)] if self.orgs else []
        parts += [f"tagged {' or '.join(self.rule.tags)}"] if self.rule.tags else []
        parts += [f"in {', '.join(self.rule.data_centers)}"] if self.rule.data_centers else []
        return "; ".join(parts) or "all"

    def fields(self) -> dict[str, Any]:
        """As one JSON object."""
        rule, quiet = self.rule, self.rule.quiet
        hours = quiet and {"start": f"{quiet.start:%H:%M}", "end": f"{quiet.end:%H:%M}", "zone": quiet.zone}
        return {
            "name": rule.name,
            "metric": rule.metric,
            "comparison": rule.comparison,
            "threshold": rule.threshold,
            "unit": METRICS[rule.metric].unit,
            "for_seconds": rule.for_seconds,
            "clear_seconds": rule.clear_seconds,
            "severity": rule.severity.value,
            "orgs": list(self.orgs),
            "tags": list(rule.tags),
            "data_centers": list(rule.data_centers),
            "quiet": hours,
            "to": list(self.to),
            "enabled": rule.enabled,
        }


async def described_rules(database: Queries) -> list[DescribedRule]:
    """Every rule that is in use, by name."""
    rules = await list_rules(database)
    org_ids = sorted({org_id for rule in rules for org_id in rule.org_ids})
    names = await _names(database, org_ids) if org_ids else {}
    addresses = await list_addresses(database)
    return [
        DescribedRule(
            rule,
            [names[org_id] for org_id in rule.org_ids if org_id in names],
            [one.masked for one in addresses if one.rule_id == rule.id],
        )
        for rule in rules
    ]


async def described_rule(database: Queries, name: str) -> DescribedRule:
    """The rule of this name with its orgs and addresses."""
    await find_rule(database, name)
    return next(one for one in await described_rules(database) if one.rule.name == name)


async def all_rules(database: Queries) -> list[AlertRule]:
    """Every rule, those that were removed too."""
    return await list_rules(database, removed=True)


async def find_rule(
    database: Queries, name: str, *, removed: bool = False, visible_tags: Sequence[str] | None = None
) -> AlertRule:
    """The rule of this name; an `UnknownRuleError` suggests a similar name. `removed`: removed rules are found too.

    `visible_tags`: a rule without alerts or exclusions about orgs with one of these tags is unknown.
    """
    rules = await list_rules(database, removed=removed, visible_tags=visible_tags)
    found = [rule for rule in rules if rule.name == name]
    if found:
        return found[-1]
    close = difflib.get_close_matches(name, [rule.name for rule in rules], n=1)
    remedy = f"did you mean {close[0]}?" if close else "see `poller alerts rules list`"
    raise UnknownRuleError(f"there is no rule {name[:70]!a}", remedy)


async def all_exclusions(database: Queries, *, org_ids: Sequence[int] | None = None) -> list[Exclusion]:
    """Every exclusion, or those of `org_ids`, with those whose time is over."""
    return await list_exclusions(database, org_ids=org_ids)


def exclusion_fields(one: Exclusion) -> dict[str, Any]:
    """An exclusion as one JSON object; null: every rule, org or user type, or without an end."""
    return {
        "rule": one.rule,
        "org": one.org,
        "org_id": one.org_id,
        "user_type": one.user_type,
        "reason": one.reason,
        "until": one.until,
        "by": one.created_by,
    }


async def _names(database: Queries, org_ids: Sequence[int]) -> dict[int, str]:
    return await find_selected(database, org_ids=org_ids, tags=(), states=(), data_centers=(), removed=True)
