"""What alert rules may watch, and the values of rules and alerts that the rest of the poller passes on.

A metric is a user type, a figure of an org, a kind of anomaly, or the clock of a worker. Metrics without a unit are
conditions: they hold or not, and a rule on them has no threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from poller.core.model import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, time


LARGEST_ALERT: Final = 999_999_999_999
"""No alert has a larger ID."""


class AlertState(StrEnum):
    """The state of an alert. All but `resolved` are open: a subject has at most one open alert of a rule."""

    PENDING = "pending"
    """The condition holds, not yet for as long as the rule demands."""
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    """It fires, and a person has it in hand: no more messages until it is over."""
    SNOOZED = "snoozed"
    """No messages until a time; then it fires again if the condition still holds."""
    RESOLVED = "resolved"


class Severity(StrEnum):
    """How urgent an alert is."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Metric(NamedTuple):
    """What a rule watches. `unit` None: a condition without a number."""

    name: str
    unit: str | None
    meaning: str


ANOMALY_KINDS: Final = (
    "step",
    "freeze",
    "zero",
    "admins_up",
    "deactivated_surge",
    "sums_disagree",
    "current_user",
    "quiet",
)
METRICS: Final[Mapping[str, Metric]] = {
    metric.name: metric
    for metric in (
        *(Metric(user_type, "users", f"the last known count of {user_type}") for user_type in COLUMNS),
        Metric("seats_used_percent", "%", "seats in use, of those bought"),
        Metric("days_to_exhaustion", "days", "days until the forecast says that the seats run out"),
        Metric("idle_cost", "a month", "what unused seats cost a month, in the contract's currency"),
        Metric("gap_hours", "hours", "hours since the counts were last known; paused orgs are left out"),
        Metric("credits_percent", "%", "credits spent in 24 hours, of the share the poller may spend"),
        Metric("parked", None, "a person must repair the org: credentials, consent or rights"),
        Metric("worker_clock", None, "the clock of a worker's machine is wrong"),
        *(Metric(kind, None, f"an anomaly of the kind {kind} was found") for kind in ANOMALY_KINDS),
    )
}


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Local times between which messages wait, and the time zone they are in; they may pass midnight."""

    start: time
    end: time
    zone: str


@dataclass(frozen=True, slots=True)
class AlertRule:
    """One rule. Empty `org_ids`, `tags`, `data_centers`: every org; several that are not empty must all match."""

    id: int
    name: str
    metric: str
    comparison: str | None
    threshold: float | None
    for_seconds: int
    clear_seconds: int
    severity: Severity
    org_ids: Sequence[int] = ()
    tags: Sequence[str] = ()
    data_centers: Sequence[str] = ()
    quiet: QuietHours | None = None
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert, as commands, pages, API and messages show it; `delivered_at`: when its first message arrived."""

    id: int
    rule: str
    org_id: int | None
    org: str | None
    user_type: str | None
    subject: str | None
    state: AlertState
    severity: Severity
    since: datetime
    fired_at: datetime | None
    resolved_at: datetime | None
    snoozed_until: datetime | None
    unknown_since: datetime | None
    value: float | None
    threshold: float | None
    message: str
    remedy: str
    resolved_reason: str | None
    delivered_at: datetime | None

    def fields(self) -> dict[str, Any]:
        """As one JSON object: the same for commands, API and webhooks. Values without a number are None."""
        return {
            "id": self.id,
            "rule": self.rule,
            "org": self.org,
            "user_type": self.user_type,
            "state": self.state.value,
            "severity": self.severity.value,
            "since": self.since,
            "value": self.value,
            "threshold": self.threshold,
            "message": self.message,
            "remedy": self.remedy,
            "delivered_at": self.delivered_at,
            "org_id": self.org_id,
            "subject": self.subject,
            "fired_at": self.fired_at,
            "resolved_at": self.resolved_at,
            "snoozed_until": self.snoozed_until,
            "unknown_since": self.unknown_since,
            "resolved_reason": self.resolved_reason,
        }


class AlertTransition(NamedTuple):
    """One change of state of an alert. `from_state` None: the alert is new. `announce`: whether messages are sent."""

    alert: Alert
    """As it is after the change."""
    rule: AlertRule
    from_state: AlertState | None
    to_state: AlertState
    at: datetime
    detail: str
    announce: bool


class AlertChange(NamedTuple):
    """One row of an alert's history. `by`: an access key, `command line` or `poller`."""

    id: int
    alert_id: int
    rule: str
    org: str | None
    at: datetime
    from_state: AlertState | None
    to_state: AlertState
    by: str
    detail: str


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Selects alerts. Empty: no condition; several conditions must all match.

    `visible_tags`: what the caller may see; None: every alert, else those of orgs with one of these tags. An org
    matches `tags` if it has all of them, `org_ids` (None: every org) and `orgs`, the names, if it is one of them.
    `resolved_since`: alerts that were resolved before are left out.
    """

    alert_ids: Sequence[int] = ()

    states: Sequence[AlertState] = ()
    rules: Sequence[str] = ()
    severities: Sequence[Severity] = ()
    org_ids: Sequence[int] | None = None
    orgs: Sequence[str] = ()
    tags: Sequence[str] = ()
    data_centers: Sequence[str] = ()
    visible_tags: Sequence[str] | None = None
    search: str = ""
    resolved_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A subject without alerts until a time; None: every rule, org or user type, and for ever.

    `rule` and `org` are the names, for lists; `id` 0: not stored yet.
    """

    id: int
    rule_id: int | None
    org_id: int | None
    user_type: str | None
    reason: str
    until: datetime | None
    created_by: str
    rule: str | None = None
    org: str | None = None
