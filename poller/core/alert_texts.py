"""What an alert says is wrong, and what to do about it, by the metric of its rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.core.alerts import ANOMALY_KINDS
from poller.core.model import COLUMNS
from poller.core.quantities import count
from poller.core.remedies import remedy_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from poller.core.alerts import AlertRule

_UNKNOWN: Final = "; nothing is known since "
_COMPARED: Final[Mapping[str, str]] = {">": "more than", ">=": "at least", "<": "less than", "<=": "at most"}
_TEMPLATES: Final[Mapping[str, str]] = {
    "seats_used_percent": "{value:,.1f} % of the seats are used: {note}",
    "idle_cost": "unused seats cost {value:,.2f} {note} a month",
    "gap_hours": "the counts have been unknown for {value:,.1f} hours",
    "credits_percent": "{value:,.1f} % of the credits of 24 hours that the poller may spend are spent",
    "parked": "polls have stopped until a person repairs the org: {note}",
    "worker_clock": "the clock of the worker's machine is {value:,.0f} s {note} PostgreSQL's: the worker does not poll",
}
_REMEDIES: Final[Mapping[str, str]] = {
    "seats_used_percent": "buy seats, or deactivate users who need none",
    "days_to_exhaustion": "buy seats before that day, or deactivate users who need none",
    "idle_cost": "reduce the seats at the next renewal",
    "gap_hours": "`poller orgs check` names the cause",
    "credits_percent": "lengthen the poll_interval of the org, or raise POLLER_CREDIT_SHARE",
    "worker_clock": "set both clocks by NTP (`timedatectl` shows the state)",
    "admins_up": "ask the customer whether the new administrator is meant to be one",
    "current_user": "check the user of the token: `poller orgs check`",
}
_LOOK: Final = "see the counts of the org, and ask the customer"


def message_of(rule: AlertRule, value: float | None, note: str) -> str:
    """A clause such as `ActiveUsers is 120, more than 100`; `note`: what the reading says beside its value."""
    if rule.metric in ANOMALY_KINDS:
        return note
    number = value or 0.0
    if rule.metric == "days_to_exhaustion":
        text = f"{_when_seats_run_out(value)}, by the forecast"
    elif rule.metric in set(COLUMNS):
        text = f"{rule.metric} is {number:,.0f}"
    else:
        text = _TEMPLATES[rule.metric].format(value=number, note=note)
    if rule.comparison is None or rule.threshold is None:
        return text
    return f"{text} (alert: {_COMPARED[rule.comparison]} {rule.threshold:,.10g})"


def _when_seats_run_out(days: float | None) -> str:
    if days is None:
        return "the seats do not run out within a year"
    return f"the seats run out in {count(round(days), 'day')}" if days >= 1 else "no seat is left"


def remedy_of(rule: AlertRule, code: str | None, stored: str | None) -> str:
    """What to do; `code` and `stored`: why the org is parked, and the remedy stored with it."""
    if rule.metric == "parked":
        return stored or remedy_for(code or "")
    return _REMEDIES.get(rule.metric, _LOOK)


def as_unknown(message: str, since: datetime) -> str:
    """The message of an alert about which nothing is known at the moment."""
    return f"{as_known(message)}{_UNKNOWN}{since:%Y-%m-%d %H:%M} UTC"


def as_known(message: str) -> str:
    """The message without the words of `as_unknown`."""
    return message.partition(_UNKNOWN)[0]
