from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given, strategies as st

from poller.core.schedule import Cursor, Due, Missed, advance, asked_slot
from poller.core.slots import slot_of

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
intervals = st.sampled_from((60, 300, 420, 900, 1_800, 3_600, 86_400))
org_ids = st.integers(1, 2**31 - 1)


def slots_of(missed: Missed) -> list[datetime]:
    step = timedelta(seconds=missed.interval_seconds)
    return [missed.first + step * index for index in range((missed.last - missed.first) // step + 1)]


def test_a_new_org_begins_with_the_next_slot_that_is_due() -> None:
    handout = advance(1, 900, None, NOON, timedelta(minutes=15))
    (due,) = handout.due
    assert NOON < due.at <= NOON + timedelta(minutes=15)
    assert not handout.missed
    assert handout.cursor.slot == due.slot + timedelta(minutes=15)


def test_a_slot_is_missed_only_once_the_next_one_is_due() -> None:
    cursor = Cursor(NOON, 3_600)
    due = Due(1, NOON, 3_600)
    still = advance(1, 3_600, cursor, due.until - timedelta(microseconds=1))
    assert still.due == (due,)
    assert not still.missed
    over = advance(1, 3_600, cursor, due.until)
    assert over.missed == (Missed(1, NOON, NOON, 3_600),)
    assert [one.slot for one in over.due] == [NOON + HOUR]


def test_after_a_long_stop_one_slot_is_polled_late_and_the_others_are_missed() -> None:
    handout = advance(1, 60, Cursor(NOON, 60), NOON + timedelta(days=3_650))
    assert len(handout.due) == 1
    assert len(handout.missed) == 1
    assert handout.missed[0].first == NOON
    assert handout.missed[0].last + timedelta(seconds=60) == handout.due[0].slot


def test_a_clock_set_back_returns_no_slot_again() -> None:
    cursor = advance(1, 60, Cursor(NOON, 60), NOON + HOUR).cursor
    assert advance(1, 60, cursor, NOON).due == ()
    assert advance(1, 60, cursor, NOON).cursor == cursor


def test_daylight_saving_changes_nothing() -> None:
    vienna = ZoneInfo("Europe/Vienna")
    before = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    cursor: Cursor | None = Cursor(slot_of(before, 900), 900)
    slots = []
    for minutes in range(0, 180, 5):
        handout = advance(7, 900, cursor, (before + timedelta(minutes=minutes)).astimezone(vienna))
        cursor = handout.cursor
        slots += [one.slot for one in handout.due]
    assert {later - earlier for earlier, later in pairwise(slots)} == {timedelta(minutes=15)}


@given(org_ids, intervals, st.lists(st.integers(0, 40_000), min_size=1, max_size=30), st.integers(0, 60))
def test_every_slot_is_returned_once_and_in_order_for_any_times_of_calls(
    org_id: int, interval: int, waits: list[int], ahead: int
) -> None:
    cursor: Cursor | None = None
    now, slots, before = NOON, [], NOON
    for wait in waits:
        now = max(now, before) + timedelta(seconds=wait)
        handout = advance(org_id, interval, cursor, now, timedelta(seconds=ahead))
        cursor = handout.cursor
        for missed in handout.missed:
            assert missed.last + timedelta(seconds=interval) <= now
            slots += slots_of(missed)
        for due in handout.due:
            assert due.at <= now + timedelta(seconds=ahead)
            assert due.until > now
            slots.append(due.slot)
        # Never two to catch up.
        assert sum(due.at <= now for due in handout.due) <= 1
    assert {later - earlier for earlier, later in pairwise(slots)} <= {timedelta(seconds=interval)}


@given(org_ids, st.lists(st.tuples(intervals, st.integers(0, 4_000)), min_size=1, max_size=20), st.integers(0, 60))
def test_a_changed_interval_loses_and_repeats_no_slot(
    org_id: int, steps: list[tuple[int, int]], ahead_seconds: int
) -> None:
    ahead = timedelta(seconds=ahead_seconds)
    cursor: Cursor | None = None
    now = NOON
    handed: list[Due] = []
    for interval, wait in steps:
        now += timedelta(seconds=wait)
        handout = advance(org_id, interval, cursor, now, ahead)
        cursor = handout.cursor
        for due in handout.due:
            # Later in every respect than all that was handed out before.
            assert not handed or (due.slot > handed[-1].slot and due.at > handed[-1].at)
            handed.append(due)
        # Nothing is lost: between the newest poll and the next there is at most a slot that another interval has had.
        following = Due(org_id, cursor.slot, cursor.interval_seconds)
        newest = max(now, cursor.newest_at or now)
        assert cursor.interval_seconds == interval
        assert following.at <= newest + 2 * timedelta(seconds=interval)


def test_repeated_changes_of_the_interval_return_no_slot_twice() -> None:
    ahead = timedelta(seconds=60)
    cursor: Cursor | None = None
    slots: list[datetime] = []
    for minute in range(600):
        handout = advance(3, (900, 3_600, 420)[minute % 3], cursor, NOON + timedelta(minutes=minute), ahead)
        cursor = handout.cursor
        slots += [due.slot for due in handout.due]
    assert len(slots) == len(set(slots))


def test_a_poll_that_a_person_asks_for_is_of_the_open_slot_and_due_at_once() -> None:
    for second in range(0, 900, 7):
        now = datetime(2026, 11, 23, 12, tzinfo=UTC) + timedelta(seconds=second)
        due = asked_slot(17, 900, now)
        assert due.at == due.asked_at == now
        assert timedelta(seconds=5) < due.until - now <= timedelta(seconds=905)
        assert Due(17, due.slot, 900).at <= now + timedelta(seconds=5)
