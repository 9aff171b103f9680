"""What a rule does now, and would have done in the last 30 days: for `poller alerts rules test`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from poller.query.alert_preview import preview_rule
from poller.query.alert_rules import find_rule
from poller.store.capacity.alert_readings import read_metric

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from poller.core.alerts import AlertRule
    from poller.query.alert_preview import AlertPreview
    from poller.store.database import Database


@dataclass(frozen=True, slots=True)
class TriedSubject:
    """One org and user type, worker or day for which a rule holds now; `holds` None: that is unknown."""

    org: str | None
    user_type: str | None
    subject: str | None
    holds: bool | None
    value: float | None


@dataclass(frozen=True, slots=True)
class RuleTrial:
    """A rule, the subjects for which its condition holds now, those for which it is unknown, and the preview."""

    rule: AlertRule
    holding: Sequence[TriedSubject]
    unknown: Sequence[TriedSubject]
    preview: AlertPreview

    def fields(self) -> dict[str, Any]:
        """As one JSON object."""
        now = [asdict(one) for one in (*self.holding, *self.unknown)]
        return {"rule": self.rule.name, "enabled": self.rule.enabled, "now": now, "preview": self.preview.fields()}


async def try_rule(database: Database, name: str, now: datetime) -> RuleTrial:
    """Tries the rule of this name; a disabled rule holds for nobody now. Nothing is stored, and no message is sent.

    Subjects are unknown only where an alert is open: of others nothing is expected.
    """
    rule = await find_rule(database, name)
    async with database.connection() as connection:
        readings = [one for one in await read_metric(connection, rule.metric, now) if one.rule_id == rule.id]
    subjects = [
        TriedSubject(one.org, one.user_type or None, one.subject or None, one.holds, one.value) for one in readings
    ]
    holding = [one for one in subjects if one.holds]
    unknown = [one for one in subjects if one.holds is None]
    return RuleTrial(rule, holding, unknown, await preview_rule(database, rule, now))
