"""What an operator writes to add or change an alert rule, checked and applied to the rule.

Every wrong value is a `UsageError` that names the field and what to write. Commands, API and pages share it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields, replace
from datetime import time
from typing import TYPE_CHECKING, Final

from poller.core.alerts import METRICS, AlertRule, QuietHours, Severity
from poller.core.durations import DAY_SECONDS, EXAMPLES, parse_seconds
from poller.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from poller.core.secret import Secret

COMPARISONS: Final[Mapping[str, str]] = {"above": ">", "at_least": ">=", "below": "<", "at_most": "<="}
"""The signs by the words of the options."""
DEFAULT_CLEAR_SECONDS: Final = 1_800
_LONGEST_SECONDS: Final = 365 * DAY_SECONDS
_LARGEST: Final = 1e15
_NEW: Final = "new"
"""The page of new rules has this word in the place of a name."""
_COMPARE: Final = "give --above, --at-least, --below or --at-most; in the API, `comparison` and `threshold`"
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_QUIET: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])\s*[-–]\s*([01]?[0-9]|2[0-3]):([0-5][0-9])")
_NONE: Final = frozenset({"0", "none"})


@dataclass(frozen=True, slots=True)
class RuleChange:
    """The fields of a rule as they were written; None leaves a field as it is.

    `comparison`: a sign of `COMPARISONS`. `orgs` (their names), `tags` and `data_centers`: empty for every org.
    `quiet`: such as 22:00-07:00, or none; `zone`: such as Europe/Berlin. `urls`: the rule's own addresses; empty: its
    messages go to POLLER_NOTIFY_URLS.
    """

    metric: str | None = None
    comparison: str | None = None
    threshold: str | None = None
    hold_for: str | None = None
    clear_after: str | None = None
    severity: str | None = None
    orgs: Sequence[str] | None = None
    tags: Sequence[str] | None = None
    data_centers: Sequence[str] | None = None
    quiet: str | None = None
    zone: str | None = None
    enabled: bool | None = None
    urls: Sequence[Secret] | None = None

    def given(self) -> dict[str, object]:
        """The fields that are written."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


def new_rule(name: str, change: RuleChange) -> AlertRule:
    """The rule of this name; a `UsageError` where a value is missing or wrong."""
    if not _NAME.fullmatch(name):
        what = f"{name[:70]!a} cannot be the name of a rule"
        raise UsageError(what, "write lower-case letters, digits and _, a letter first, at most 63")
    if name == _NEW:
        raise UsageError(f"a rule cannot be named {_NEW}", "choose another name")
    if change.metric is None:
        raise UsageError("the metric is missing", _METRICS)
    base = AlertRule(0, name, "", None, None, 0, DEFAULT_CLEAR_SECONDS, Severity.WARNING)
    return changed_rule(base, change)


def changed_rule(rule: AlertRule, change: RuleChange) -> AlertRule:
    """The rule with these changes; a `UsageError` where a value is wrong, or does not suit the metric."""
    metric = rule.metric if change.metric is None else _metric(change.metric)
    compared = change.comparison, change.threshold
    same = metric == rule.metric
    comparison, threshold = _condition(metric, compared, (rule.comparison, rule.threshold) if same else (None, None))
    return replace(
        rule,
        metric=metric,
        comparison=comparison,
        threshold=threshold,
        for_seconds=rule.for_seconds if change.hold_for is None else _seconds("for", change.hold_for),
        clear_seconds=rule.clear_seconds if change.clear_after is None else _seconds("clear", change.clear_after),
        severity=rule.severity if change.severity is None else _severity(change.severity),
        tags=rule.tags if change.tags is None else tuple(change.tags),
        data_centers=rule.data_centers if change.data_centers is None else tuple(change.data_centers),
        quiet=_quiet(rule.quiet, change.quiet, change.zone),
        enabled=rule.enabled if change.enabled is None else change.enabled,
    )


def snooze_seconds(text: str, option: str = "for") -> int:
    """The seconds of a duration; 0 for `0` and `none`."""
    return _seconds(option, text)


def _metric(text: str) -> str:
    by_name = {name.lower(): name for name in METRICS}
    found = by_name.get(text.strip().lower())
    if found is None:
        raise UsageError(f"metric {text[:50]!a}: there is no such metric", _METRICS)
    return found


def _condition(
    metric: str, given: tuple[str | None, str | None], before: tuple[str | None, float | None]
) -> tuple[str | None, float | None]:
    """Comparison and threshold; None for a metric without numbers."""
    if METRICS[metric].unit is None:
        if given != (None, None):
            remedy = "leave out --above and its like; in the API, `comparison` and `threshold`"
            raise UsageError(f"{metric} holds or not: it has no threshold", remedy)
        return None, None
    comparison = before[0] if given[0] is None else given[0]
    threshold = before[1] if given[1] is None else _threshold(given[1])
    if threshold is None:
        raise UsageError(f"a rule on {metric} needs a threshold, in {METRICS[metric].unit}", _COMPARE)
    if comparison not in COMPARISONS.values():
        raise UsageError("the threshold is not compared", _COMPARE)
    return comparison, threshold


def _threshold(text: str) -> float:
    try:
        threshold = float(text)
    except ValueError:
        threshold = math.nan
    if not abs(threshold) <= _LARGEST:
        raise UsageError(f"the threshold {text[:30]!a} is not a number", "write one such as 95 or 0.5")
    return threshold


def _seconds(option: str, text: str) -> int:
    if text.strip().lower() in _NONE:
        return 0
    try:
        seconds = parse_seconds(text)
    except ValueError:
        raise UsageError(f"{option} {text[:30]!a} is not a duration", f"{EXAMPLES}, or 0") from None
    if seconds > _LONGEST_SECONDS:
        raise UsageError(f"{option} {text} is more than a year", "make it shorter")
    return seconds


def _severity(text: str) -> Severity:
    try:
        return Severity(text.strip().lower())
    except ValueError:
        raise UsageError(f"severity {text[:30]!a}: there is no such severity", f"use {_SEVERITIES}") from None


def _quiet(before: QuietHours | None, hours: str | None, zone: str | None) -> QuietHours | None:
    """The quiet hours; a zone without hours belongs to the hours that the rule has."""
    if hours is not None and hours.strip().lower() == "none":
        return None
    if hours is None:
        if zone is not None and before is None:
            raise UsageError("a time zone belongs to quiet hours", "give quiet hours too, such as 22:00-07:00")
        return before if before is None or zone is None else replace(before, zone=zone)
    found = _QUIET.fullmatch(hours.strip())
    if found is None:
        raise UsageError(f"{hours[:30]!a} are no quiet hours", "write 22:00-07:00, or none")
    start, end = time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))
    if start == end:
        raise UsageError("the quiet hours begin when they end", "write 22:00-07:00, or none")
    return QuietHours(start, end, zone or (before.zone if before else "UTC"))


_SEVERITIES: Final = ", ".join(Severity)
_METRICS: Final = f"use one of {', '.join(METRICS)}"
