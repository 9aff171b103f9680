"""Decides for each alert what an evaluation changes, from its reading and from what is stored of it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from poller.analysis.alert_rules import RESOLVED, AlertRecord, Delays, advance, close
from poller.core.alert_texts import as_known, as_unknown, message_of, remedy_of
from poller.core.alerts import ANOMALY_KINDS, Alert, AlertState, AlertTransition, Severity
from poller.store.capacity.alert_readings import ANOMALY_DAYS, WORKER_CLOCK
from poller.store.capacity.alert_states import StateChange, StoredAlert

if TYPE_CHECKING:
    from datetime import datetime

    from poller.analysis.alert_rules import AlertStep, Evaluation
    from poller.core.alerts import AlertRule
    from poller.store.capacity.alert_readings import AlertReading
    from poller.store.capacity.alert_states import SubjectFacts

WITHDRAWN: Final = "later counts corrected it"
AGED: Final = f"{ANOMALY_DAYS} days have passed"
_RECORD: Final = tuple(AlertRecord.__dataclass_fields__)
_DECIMALS: Final = {"gap_hours": 1, "seats_used_percent": 1, "credits_percent": 1}
"""Decimals that are stored of a value; a finer change is not worth a row."""


class AlertUpdate(NamedTuple):
    """What an evaluation changes: the row to write, and whether its state changed or is announced again."""

    row: StoredAlert
    from_state: str | None
    announce: bool
    detail: str

    @property
    def is_transition(self) -> bool:
        """Whether the history gets a row."""
        return self.announce or self.from_state != self.row.state

    def change(self, alert_id: int) -> StateChange:
        """The row of the history."""
        return StateChange(alert_id, self.from_state, self.row.state, self.detail)

    def transition(self, alert_id: int, rule: AlertRule, now: datetime) -> AlertTransition:
        """What the fan-out of messages gets."""
        row = self.row
        alert = Alert(
            id=alert_id,
            rule=rule.name,
            org_id=row.org_id,
            org=row.org,
            user_type=row.user_type or None,
            subject=row.subject or None,
            state=AlertState(row.state),
            severity=Severity(row.severity),
            since=row.since,
            fired_at=row.fired_at,
            resolved_at=row.resolved_at,
            snoozed_until=row.snoozed_until,
            unknown_since=row.unknown_since,
            value=row.value,
            threshold=row.threshold,
            message=row.message,
            remedy=row.remedy,
            resolved_reason=row.resolved_reason,
            delivered_at=row.delivered_at,
        )
        from_state = None if self.from_state is None else AlertState(self.from_state)
        return AlertTransition(alert, rule, from_state, alert.state, now, self.detail, self.announce)


def after_reading(
    rule: AlertRule, stored: StoredAlert | None, reading: AlertReading, evaluation: Evaluation
) -> AlertUpdate | None:
    """Returns the change after a reading; None: nothing changes."""
    record = None if stored is None else record_of(stored)
    delays = Delays(rule.for_seconds, rule.clear_seconds)
    step = advance(record, reading.holds, delays, evaluation)
    if step is None:
        return None
    if record is not None and record.state == RESOLVED and not record.can_reopen(evaluation.now):
        stored = None
    return _update(rule, stored, reading, step)


def without_reading(
    rule: AlertRule, stored: StoredAlert, facts: SubjectFacts | None, now: datetime
) -> AlertUpdate | None:
    """Resolves an open alert whose subject is no longer read, if it is known why."""
    reason = _reason(rule, stored, facts, now.date())
    if reason is None:
        return None
    corrected = reason == WITHDRAWN
    step = close(record_of(stored), reason, now, announce=corrected or reason == AGED, reopen=corrected)
    row = _row(stored, step.record)._replace(message=as_known(stored.message))
    return AlertUpdate(row, stored.state, step.announce, step.detail)


def record_of(stored: StoredAlert) -> AlertRecord:
    """The part of a row that decides its state."""
    return AlertRecord(*(getattr(stored, name) for name in _RECORD))


def _reason(rule: AlertRule, stored: StoredAlert, facts: SubjectFacts | None, today: date) -> str | None:
    if not rule.enabled:
        return "the rule is disabled"
    if facts is not None:
        for is_so, reason in (
            (facts.removed, "the org was removed"),
            (facts.paused, "the org is paused"),
            (facts.excluded, "it is excluded"),
            (not facts.covered, "the rule no longer covers the org"),
        ):
            if is_so:
                return reason
    if rule.metric == WORKER_CLOCK:
        return "the worker no longer runs"
    if rule.metric in ANOMALY_KINDS:
        is_old = date.fromisoformat(stored.subject) <= today - timedelta(days=ANOMALY_DAYS)
        return AGED if is_old else WITHDRAWN
    return None


def _update(rule: AlertRule, stored: StoredAlert | None, reading: AlertReading, step: AlertStep) -> AlertUpdate | None:
    value = None if reading.value is None else round(reading.value, _DECIMALS.get(rule.metric, 2))
    if reading.holds or stored is None:
        message = message_of(rule, reading.value, reading.note)
        remedy = remedy_of(rule, reading.note, reading.remedy)
    else:
        message, remedy = as_known(stored.message), stored.remedy
    if reading.holds is None and stored is not None:
        value = stored.value
        message = as_unknown(message, step.record.unknown_since or step.record.counted_from)
    row = _row(stored or _new(reading, step.record), step.record)._replace(
        severity=rule.severity.value, value=value, threshold=rule.threshold, message=message, remedy=remedy
    )
    if row == stored:
        return None
    from_state = None if stored is None else stored.state
    return AlertUpdate(row, from_state, step.announce, step.detail)


def _new(reading: AlertReading, record: AlertRecord) -> StoredAlert:
    return StoredAlert(
        0,
        *reading.about,
        severity="",
        value=None,
        threshold=None,
        message="",
        remedy="",
        **asdict(record),
        org=reading.org,
    )


def _row(stored: StoredAlert, record: AlertRecord) -> StoredAlert:
    return stored._replace(**{name: getattr(record, name) for name in _RECORD})
