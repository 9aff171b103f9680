from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from poller.core.claims import Circumstances, Drop, Later, Miss, Poll, decide
from poller.core.schedule import Due

DUE = Due(1, datetime(2026, 11, 23, 12, tzinfo=UTC), 900)
WELL = Circumstances(active=True)
SECOND = timedelta(seconds=1)


def test_a_slot_is_polled_from_the_moment_it_is_due_until_the_next_one_is() -> None:
    assert decide(DUE, WELL, DUE.at) == Poll()
    assert decide(DUE, WELL, DUE.until - SECOND) == Poll()
    assert decide(DUE, WELL, DUE.until) == Miss("too_late")


@pytest.mark.parametrize(
    "known",
    [
        Circumstances(active=False),
        replace(WELL, ok=True, polled_at=DUE.at - SECOND),
        replace(WELL, polled_at=DUE.at),
    ],
    ids=["paused or removed", "polled by hand, all known", "polled by a worker that died"],
)
def test_what_is_known_or_wanted_no_more_is_dropped_however_late(known: Circumstances) -> None:
    for now in (DUE.at, DUE.until, DUE.until + SECOND):
        assert decide(DUE, known, now) == Drop()


def test_a_poll_by_hand_that_learnt_nothing_does_not_take_the_slots_turn() -> None:
    assert decide(DUE, replace(WELL, polled_at=DUE.at - SECOND), DUE.at) == Poll()


def test_an_org_that_is_being_polled_has_one_slot_in_hand_at_a_time() -> None:
    for now in (DUE.at, DUE.until):
        assert isinstance(decide(DUE, replace(WELL, busy=True), now), Later)


def test_a_hold_is_waited_for_in_the_queue_as_long_as_the_slot_lasts() -> None:
    held = replace(WELL, wait_until=DUE.at + 60 * SECOND, wait_for="hold")
    assert decide(DUE, held, DUE.at) == Later(60.0, "hold")
    assert decide(DUE, held, DUE.at + 60 * SECOND) == Poll()
    # It would outlast the slot: the poll says why nothing is known.
    assert decide(DUE, replace(held, wait_until=DUE.until), DUE.at) == Poll()
