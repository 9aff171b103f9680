"""Parameters and replies about alerts and the rules by which they fire."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints

from poller.core.alerts import LARGEST_ALERT, AlertState, Severity
from poller.web.api.models.base import MOST_VALUES, WHOLE, Model, Search, Text
from poller.web.api.models.parameters import OrgsOfAList

RuleName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
_DURATION: Final = r"^(0|[0-9]{1,3}(s|m|h|d|w|mo|y))$"


def _duration(value: object) -> object:
    if isinstance(value, str) and not re.search(_DURATION, value):
        raise ValueError("write a duration such as 15m, 4h or 7d, or 0")
    return value


Duration = Annotated[str, StringConstraints(pattern=_DURATION), BeforeValidator(_duration)]
Address = Annotated[str, StringConstraints(min_length=1, max_length=2_000, pattern=r"^[!-~]+$")]


class AlertPath(Model):
    """The address of an alert."""

    id: Annotated[
        Annotated[int, Field(ge=1, le=LARGEST_ALERT), WHOLE],
        Field(description="The number of the alert: `id` in GET /alerts."),
    ]


class AlertsQuery(OrgsOfAList):
    """Parameters of GET /alerts."""

    q: Annotated[Search, Field(description="Only alerts whose org, rule or message contains this text.")] = ""
    state: Annotated[
        tuple[AlertState, ...],
        Field(
            max_length=MOST_VALUES,
            description="Only alerts in this state. Repeatable. Default: those that are open, and those resolved"
            " within a day.",
        ),
    ] = ()
    rule: Annotated[
        tuple[RuleName, ...], Field(max_length=MOST_VALUES, description="Only alerts of this rule. Repeatable.")
    ] = ()
    severity: Annotated[
        tuple[Severity, ...], Field(max_length=MOST_VALUES, description="Only alerts of this severity. Repeatable.")
    ] = ()


class Body(Model):
    """A body of a request: JSON has types, so that none is guessed from a text."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class AcknowledgeBody(Body):
    """What may be sent to acknowledge an alert; an empty body will do."""

    undo: Annotated[bool, Field(description="True: the alert fires again.")] = False


class SnoozeBody(Body):
    """Until when an alert is snoozed: `for`, `until` or `undo`, and only one of them."""

    for_: Annotated[
        Duration | None, Field(alias="for", description="How long, such as `7d`, at most a year; `0` ends it.")
    ] = None
    until: Annotated[Text | None, Field(description="An ISO 8601 time.")] = None
    undo: Annotated[bool, Field(description="True: the alert fires again.")] = False


class RulePath(Model):
    """The address of a rule."""

    name: Annotated[RuleName, Field(description="The name of the rule.")]


class RuleBody(Body):
    """The fields of a rule that are set; what is absent stays, or has its default in a new rule."""

    metric: Annotated[Text | None, Field(description="What is watched, such as `seats_used_percent`.")] = None
    comparison: Annotated[Literal[">", ">=", "<", "<="] | None, Field(description="With a threshold.")] = None
    threshold: Annotated[float | None, Field(ge=-1e15, le=1e15, description="None for a metric without a unit.")] = None
    for_: Annotated[
        Duration | None, Field(alias="for", description="How long it must hold before it fires: `1h`. Default: `0`.")
    ] = None
    clear: Annotated[
        Duration | None, Field(description="How long it must be over before it is resolved. Default: `30m`.")
    ] = None
    severity: Annotated[Literal["critical", "warning", "info"] | None, Field(description="Default: `warning`.")] = None
    orgs: Annotated[list[Text] | None, Field(max_length=1_000, description="Names; empty: every org.")] = None
    tags: Annotated[list[Text] | None, Field(max_length=MOST_VALUES, description="Empty: every org.")] = None
    data_centers: Annotated[list[Text] | None, Field(max_length=MOST_VALUES, description="Empty: every org.")] = None
    quiet: Annotated[Text | None, Field(description="Messages wait in these hours: `22:00-07:00`, or `none`.")] = None
    zone: Annotated[Text | None, Field(description="Whose hours: `Europe/Berlin`.")] = None
    to: Annotated[
        list[Address] | None,
        Field(max_length=MOST_VALUES, description="Its own addresses; empty: POLLER_NOTIFY_URLS. Never shown again."),
    ] = None
    enabled: bool | None = None


class RemoveBody(Body):
    """What may be sent to remove a rule; an empty body will do."""

    undo: Annotated[bool, Field(description="True: the removed rule is brought back.")] = False


class AlertItem(Model):
    """One alert. `org` null: it is about no org."""

    id: Annotated[int, Field(description="The same in every message about the alert.")]
    rule: str
    org: str | None
    user_type: str | None
    state: AlertState
    severity: Severity
    since: Annotated[datetime, Field(description="Since when the condition holds.")]
    value: float | None
    threshold: float | None
    message: str
    remedy: str
    delivered_at: Annotated[datetime | None, Field(description="When the first message about it arrived.")]
    org_id: int | None
    subject: Annotated[str | None, Field(description="The worker, or the day of an anomaly.")]
    fired_at: datetime | None
    resolved_at: datetime | None
    snoozed_until: datetime | None
    unknown_since: Annotated[datetime | None, Field(description="Since when nothing is known; null: it is known.")]
    resolved_reason: str | None


class AlertList(Model):
    """Alerts: those that fire first, then by severity, the newest first."""

    items: list[AlertItem]
    next_cursor: str | None


class AlertChangeItem(Model):
    """One change of state of an alert."""

    at: datetime
    from_state: AlertState | None
    to_state: AlertState
    by: Annotated[str, Field(description="The name of an access key, `command line`, or `poller`.")]
    detail: str


class AlertReply(AlertItem):
    """One alert with its history, the newest change first."""

    history: list[AlertChangeItem]


class AlertOperationReply(Model):
    """What an operation did to an alert."""

    alert: AlertItem
    changed: Annotated[bool, Field(description="False: it was so before.")]
    message: str


class QuietHoursReply(Model):
    """Local times between which messages wait."""

    start: str
    end: str
    zone: str


class AlertRuleItem(Model):
    """One rule. Empty `orgs`, `tags` and `data_centers`: every org."""

    name: str
    metric: str
    comparison: str | None
    threshold: float | None
    unit: str | None
    for_seconds: int
    clear_seconds: int
    severity: Severity
    orgs: list[str]
    tags: list[str]
    data_centers: list[str]
    quiet: QuietHoursReply | None
    to: Annotated[list[str], Field(description="Where messages go, without what is secret; empty: the default.")]
    enabled: bool


class AlertRuleList(Model):
    """The rules by name."""

    items: list[AlertRuleItem]


class RuleOperationReply(Model):
    """A rule after an operation; `rule` null: it is removed."""

    rule: AlertRuleItem | None
    message: str
