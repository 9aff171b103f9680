"""The state machine of alerts, against a naive model of it on random sequences, and its rules one by one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given, settings, strategies as st

from poller.analysis.alert_rules import (
    ACKNOWLEDGED,
    FIRING,
    PENDING,
    RESOLVED,
    SNOOZED,
    AlertRecord,
    Delays,
    Evaluation,
    advance,
    close,
)
from tests.analysis.naive_alerts import NaiveAlert

START: Final = datetime(2026, 10, 1, tzinfo=UTC)
SEQUENCES: Final = 2_000
PAUSES: Final = (0, 30, 30, 30, 60, 300, 301, 1_800, 3_599, 7_200, -1, -7_200)
EVALUATIONS: Final = [("evaluate", pause, reading) for pause in PAUSES for reading in (True, True, False, None)]
ACTIONS: Final = [
    *EVALUATIONS,
    *[("rule", wait, clear) for wait in (0, 30, 90) for clear in (0, 30, 90)],
    ("acknowledge", 0, None),
    ("fire again", 0, None),
    ("snooze", 20, None),
    ("snooze", 4_000, None),
    ("stop", 0, None),
]


class Machine:
    """The machine as the store drives it: one subject, and the number of its alerts."""

    def __init__(self) -> None:
        self.record: AlertRecord | None = None
        self.number = 0
        self.delays = Delays(60, 60)
        self.now = START
        self.last: datetime | None = None

    def evaluate(self, pause: int, reading: bool | None) -> bool:
        self.now += timedelta(seconds=pause)
        before = self.record
        step = advance(before, reading, self.delays, Evaluation(self.now, self.last))
        self.last = self.now
        if step is None:
            return False
        if before is None or (before.state == RESOLVED and not before.can_reopen(self.now)):
            self.number += 1
        self.record = step.record
        return step.announce

    def act(self, action: str, seconds: int) -> None:
        record = self.record
        if record is None or record.state in {PENDING, RESOLVED}:
            if action == "stop" and record is not None and record.state == PENDING:
                self.record = close(record, "paused", self.now, announce=False, reopen=False).record
            return
        if action == "acknowledge":
            self.record = replace(record, state=ACKNOWLEDGED, snoozed_until=None)
        elif action == "fire again":
            self.record = replace(record, state=FIRING, snoozed_until=None)
        elif action == "snooze":
            until = self.now + timedelta(seconds=seconds)
            self.record = replace(record, state=SNOOZED, snoozed_until=until)
        else:
            self.record = close(record, "paused", self.now, announce=False, reopen=False).record


def naive_act(model: NaiveAlert, action: str, now: int, seconds: int) -> None:
    match action:
        case "acknowledge":
            model.acknowledge()
        case "fire again":
            model.fire_again()
        case "snooze":
            model.snooze(now + seconds)
        case _:
            model.stop(now)


def run(actions: list[tuple[str, int, bool | int | None]]) -> int:
    """Runs both side by side; returns the number of messages."""
    machine, model, messages = Machine(), NaiveAlert(), 0
    for place, (action, number, value) in enumerate(actions):
        if action == "rule":
            machine.delays = Delays(number, float(value or 0))
        elif action == "evaluate":
            reading = None if value is None else bool(value)
            sent = machine.evaluate(number, reading)
            now = int((machine.now - START).total_seconds())
            expected = model.evaluate(now, reading, int(machine.delays.for_seconds), int(machine.delays.clear_seconds))
            assert sent is expected, (place, action, number, value)
            messages += sent
        else:
            machine.act(action, number)
            naive_act(model, action, int((machine.now - START).total_seconds()), number)
        record = machine.record
        seen = ("none", 0, 0) if record is None else (record.state, machine.number, record.flaps)
        assert seen == (model.state, model.number, model.flaps), (place, action, number, value)
    return messages


def test_the_machine_does_on_random_sequences_what_a_naive_model_does() -> None:
    done = {"sequences": 0, "messages": 0}

    @settings(max_examples=SEQUENCES, database=None)
    @given(st.lists(st.sampled_from(ACTIONS), min_size=12, max_size=40))
    def compare(actions: list[tuple[str, int, bool | int | None]]) -> None:
        done["messages"] += run(actions)
        done["sequences"] += 1

    compare()
    print(f"{done['sequences']:,} random sequences of one alert, {done['messages']:,} messages")  # noqa: T201
    assert done["sequences"] >= SEQUENCES / 2
    assert done["messages"] > 0


@pytest.mark.parametrize(
    ("actions", "states"),
    [
        ([(30, True)] * 4, [PENDING, PENDING, FIRING, FIRING]),
        ([(30, True), (30, None), (3_600, None), (30, True), (30, True), (30, True)], [PENDING] * 5 + [FIRING]),
        ([(30, True), (30, False), (30, True)], [PENDING, RESOLVED, PENDING]),
        ([(30, True), (301, True), (30, True), (30, True)], [PENDING, PENDING, PENDING, FIRING]),
        ([(30, True), (300, True)], [PENDING, FIRING]),
        ([(30, True), (60, True), (30, False), (30, False), (30, False)], [PENDING, FIRING, FIRING, FIRING, RESOLVED]),
        ([(30, True), (60, True), (30, False), (30, True), (30, False)], [PENDING, *[FIRING] * 4]),
        ([(30, True), (60, True), (30, False), (60, None), (30, False)], [PENDING, *[FIRING] * 4]),
    ],
    ids=["for", "unknown", "over before", "long pause", "short pause", "clear", "holds again", "clear and unknown"],
)
def test_an_alert_fires_and_is_over_after_a_minute_that_is_known(
    actions: list[tuple[int, bool | None]], states: list[str]
) -> None:
    machine, seen = Machine(), []
    for pause, reading in actions:
        machine.evaluate(pause, reading)
        assert machine.record is not None
        seen.append(machine.record.state)
    assert seen == states
