"""What a rule would have done in the last 30 days, from daily counts, seat readings and anomalies.

One value a day cannot tell how long a condition held within a day, and the past of some metrics is not kept at all: the
preview says so. It covers the orgs, contracts and exclusions of today.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

from poller.analysis.alert_spans import DayReading, find_gaps, find_spans
from poller.core.alerts import ANOMALY_KINDS
from poller.store.capacity.alert_days import METRICS_WITH_DAYS, daily_readings
from poller.store.capacity.alert_readings import ANOMALY_DAYS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from poller.core.alerts import AlertRule
    from poller.store.capacity.alert_days import DailyReadings
    from poller.store.database import Database

PREVIEW_DAYS: Final = 30
_NOT_KEPT: Final = {
    "parked": "when orgs were parked is not kept",
    "worker_clock": "the past clocks of workers are not kept",
    "credits_percent": "the credits of earlier days are not kept",
    "days_to_exhaustion": "earlier forecasts are not kept",
}
_COUNTS: Final = (
    "a day counts if the condition held at any time of it; a time shorter than a day cannot be told from daily counts"
)
_SEATS: Final = "seats are compared once a day, at the prices and contracts of today; shorter times cannot be told"
_GAPS: Final = "only whole days without any count are seen; shorter gaps are missing here"
_ANOMALIES: Final = "anomalies as the counts show them today, without those that later counts corrected"


@dataclass(frozen=True, slots=True)
class PreviewAlert:
    """One alert the rule would have had; `until` None: it would still be open. `peak`: the value farthest out."""

    org_id: int
    org: str
    user_type: str | None
    since: date
    until: date | None
    peak: float | None


@dataclass(frozen=True, slots=True)
class AlertPreview:
    """`known` False: the past of the metric is not kept, and `note` says why. Else `note` says what daily data hide."""

    days: int
    known: bool
    note: str
    alerts: Sequence[PreviewAlert]

    @property
    def orgs(self) -> int:
        """The number of orgs that would have had an alert."""
        return len({one.org_id for one in self.alerts})

    def fields(self) -> dict[str, Any]:
        """As one JSON object."""
        return {
            "days": self.days,
            "known": self.known,
            "note": self.note,
            "alerts": len(self.alerts),
            "orgs": self.orgs,
            "open": sum(one.until is None for one in self.alerts),
            "rows": [asdict(one) for one in self.alerts],
        }


async def preview_rule(
    database: Database, rule: AlertRule, now: datetime, *, visible_tags: Sequence[str] | None = None
) -> AlertPreview:
    """Returns the preview, the newest alerts first; `rule.id` is 0 for a rule that is not stored."""
    if rule.metric not in METRICS_WITH_DAYS:
        note = _NOT_KEPT.get(rule.metric, "the past of this metric is not kept")
        return AlertPreview(PREVIEW_DAYS, known=False, note=note, alerts=())
    today = now.date()
    since = today - timedelta(days=PREVIEW_DAYS - 1)
    rows = await daily_readings(database, rule, since, today, now=now, visible_tags=visible_tags)
    alerts = [alert for row in rows for alert in _alerts(rule, row, today)]
    alerts.sort(key=lambda one: (one.until is not None, -one.since.toordinal(), one.org))
    return AlertPreview(PREVIEW_DAYS, known=True, note=_note(rule), alerts=alerts)


def _note(rule: AlertRule) -> str:
    if rule.metric in ANOMALY_KINDS:
        return _ANOMALIES
    return {"gap_hours": _GAPS, "seats_used_percent": _SEATS, "idle_cost": _SEATS}.get(rule.metric, _COUNTS)


def _alerts(rule: AlertRule, row: DailyReadings, today: date) -> Iterator[PreviewAlert]:
    days = [DayReading(*one) for one in zip(row.days, row.holds, row.values, strict=True)]
    who = (row.org_id, row.org, row.user_type or None)
    if rule.metric in ANOMALY_KINDS:
        for one in days:
            last = date.fromordinal(one.day + ANOMALY_DAYS - 1)
            # The statement adds 1, so that an anomaly that ends at 0 has a value too.
            peak = None if one.value is None else one.value - 1
            yield PreviewAlert(*who, date.fromordinal(one.day), None if last >= today else last, peak)
        return
    if rule.metric == "gap_hours":
        spans = find_gaps(days, hours=rule.threshold or 0)
    else:
        is_low = rule.comparison in {"<", "<="}
        spans = find_spans(days, for_seconds=rule.for_seconds, clear_seconds=rule.clear_seconds, lowest=is_low)
    for span in spans:
        until = None if span.until is None else date.fromordinal(span.until)
        yield PreviewAlert(*who, date.fromordinal(span.since), until, span.peak)
