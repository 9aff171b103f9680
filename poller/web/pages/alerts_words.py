"""What pages say about alerts and rules: marks, conditions and quiet hours in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.core.alerts import METRICS, AlertState, Severity
from poller.core.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from poller.core.alerts import AlertRule

SEVERITY_MARKS: Final[Mapping[str, tuple[str, str]]] = {
    Severity.CRITICAL: ("■", "failing"),
    Severity.WARNING: ("◐", "late"),
    Severity.INFO: ("○", "never_polled"),
}
"""The mark of each severity, and the class that colours it."""
STATE_MARKS: Final[Mapping[str, tuple[str, str]]] = {
    AlertState.FIRING: ("▲", "failing"),
    AlertState.PENDING: ("◌", "never_polled"),
    AlertState.ACKNOWLEDGED: ("✓", "ok"),
    AlertState.SNOOZED: ("‖", "paused"),
    AlertState.RESOLVED: ("●", "ok"),
}
SIGNS: Final[Mapping[str, str]] = {">": ">", ">=": "≥", "<": "<", "<=": "≤"}
COMPARED: Final[Mapping[str, str]] = {">": "above", ">=": "at least", "<": "below", "<=": "at most"}
SNOOZES: Final = (("1h", "1 hour"), ("4h", "4 hours"), ("1d", "1 day"), ("7d", "1 week"), ("30d", "30 days"))


def fires_when(rule: AlertRule) -> str:
    """When a rule fires: `seats in use, of those bought ≥ 95 %, for 1h`."""
    metric = METRICS[rule.metric]
    text = metric.meaning.partition(";")[0]
    if rule.threshold is not None and rule.comparison is not None:
        text = f"{text} {SIGNS[rule.comparison]} {rule.threshold:,g} {metric.unit}"
    return f"{text}, for {format_duration(rule.for_seconds)}" if rule.for_seconds else text


def quiet_words(rule: AlertRule) -> str:
    """The quiet hours: `22:00–07:00 Europe/Berlin`; empty: none."""
    quiet = rule.quiet
    return "" if quiet is None else f"{quiet.start:%H:%M}–{quiet.end:%H:%M} {quiet.zone}"
