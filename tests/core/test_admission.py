from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from poller.core.admission import (
    BUSY_WAIT,
    MARGIN,
    PLACE_WAIT,
    TABLE,
    Decision,
    Discard,
    Poll,
    Record,
    Requeue,
    decide,
    decide_by_hand,
)
from poller.core.health import Parked
from poller.core.model import Org, Outcome
from poller.core.poll_state import INFO_LIFETIME, PollState
from poller.core.schedule import Due

DUE = Due(1, datetime(2026, 11, 23, 12, tzinfo=UTC), 900)
SECOND = timedelta(seconds=1)
NOW = DUE.at + SECOND
SOON, TOO_FAR = NOW + 60 * SECOND, DUE.until
ORG = Org(1, "acme", "us", "v7", 900)
WELL = PollState(NOW, ORG, DUE.slot, DUE)
PARKED = Parked(NOW - timedelta(days=1), "no_refresh_token", "", NOW + timedelta(hours=1), Outcome.UNAUTHORIZED)
HELD = Record(Outcome.THROTTLED, "held")
AWAY = Record(Outcome.UNAVAILABLE, "data_center_away")

# One line per rule, in order: what is known, what the service does, and what `poller poll` does.
ROWS: dict[str, tuple[dict[str, object], Decision, Decision | None]] = {
    "the org is paused or removed": ({"active": False}, Discard(), Discard()),
    "its ten counts are known": ({"known": True}, Discard(), Discard()),
    "it was polled since it was due": ({"polled_at": DUE.at}, Discard(), None),
    "it is not due yet": ({"now": DUE.at - 5 * SECOND}, Requeue(DUE.at, "early"), None),
    "another slot is being polled": ({"busy": True}, Requeue(NOW + BUSY_WAIT, "busy"), None),
    "its time is over, and its data centre was unreachable": (
        {"now": DUE.until, "was_unreachable": True},
        replace(AWAY, missed=True),
        None,
    ),
    "its time is over, and no key decrypts its credentials": (
        {"now": DUE.until, "unopened": "key_missing"},
        Record(Outcome.MISSED, "key_missing", missed=True),
        None,
    ),
    "its time is over": ({"now": DUE.until}, Record(Outcome.MISSED, "too_late", missed=True), None),
    "the org is parked": (
        {"parked": PARKED},
        Record(Outcome.UNAUTHORIZED, "no_refresh_token"),
        Record(Outcome.UNAUTHORIZED, "no_refresh_token"),
    ),
    "a 429 holds the org": ({"hold_until": SOON}, Requeue(SOON, "hold"), HELD),
    "its share of credits is spent": (
        {"credits_left": 9},
        Record(Outcome.THROTTLED, "credit_share_spent"),
        Record(Outcome.THROTTLED, "credit_share_spent"),
    ),
    "no key decrypts its credentials": (
        {"unopened": "key_missing"},
        Requeue(NOW + SECOND, "key_missing"),
        Record(Outcome.MISSED, "key_missing", missed=True),
    ),
    "its token endpoint cools down": ({"cool_until": SOON}, Requeue(SOON, "cool_down"), Poll()),
    "its data centre is unreachable": ({"retry_data_center_at": SOON}, Requeue(SOON, "data_center"), AWAY),
    "its data centre has no place": ({"has_place": False}, Requeue(NOW + PLACE_WAIT, "places"), None),
    "nothing is in the way": ({}, Poll(), Poll()),
}


def test_every_rule_of_the_admission_table_is_tested_here_in_the_same_order() -> None:
    assert [rule.condition for rule in TABLE] == list(ROWS)


@pytest.mark.parametrize("condition", ROWS)
def test_each_condition_alone_leads_to_its_decision(condition: str) -> None:
    known, decision, _ = ROWS[condition]
    assert decide(replace(WELL, **known)) == decision  # type: ignore[arg-type]


@pytest.mark.parametrize("condition", [name for name, (_, _, by_hand) in ROWS.items() if by_hand is not None])
def test_without_a_queue_a_slot_that_the_service_would_requeue_is_recorded_or_polled(condition: str) -> None:
    known, _, by_hand = ROWS[condition]
    assert decide(replace(WELL, **known, due=None)) == by_hand  # type: ignore[arg-type]


@pytest.mark.parametrize("first", range(len(ROWS)))
def test_the_first_of_several_conditions_decides(first: int) -> None:
    lines = list(ROWS.values())[first:]
    known: dict[str, object] = {}
    for more, _, _ in reversed(lines):
        known |= more
    # What an earlier rule asks about would make that one hold.
    earlier = {name for more, _, _ in list(ROWS.values())[:first] for name in more} - {"now", *lines[0][0]}
    known = {name: value for name, value in known.items() if name not in earlier}
    if "now" in known and "now" not in lines[0][0]:
        known["now"] = NOW
    assert decide(replace(WELL, **known)) == lines[0][1]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("known", "decision"),
    [({"hold_until": TOO_FAR}, HELD), ({"cool_until": TOO_FAR}, Poll()), ({"retry_data_center_at": TOO_FAR}, AWAY)],
    ids=["hold", "cool-down", "data centre"],
)
def test_a_hold_longer_than_the_slot_is_not_waited_for(known: dict[str, object], decision: Decision) -> None:
    assert decide(replace(WELL, **known)) == decision  # type: ignore[arg-type]
    in_time: dict[str, object] = dict.fromkeys(known, DUE.until - MARGIN - SECOND)
    assert isinstance(decide(replace(WELL, **in_time)), Requeue)  # type: ignore[arg-type]


def test_a_held_slot_is_put_back_until_the_hold_ends_and_polled_then() -> None:
    """Due at t, held until t + 30 s, open until t + 900 s."""
    held = replace(WELL, now=DUE.at, hold_until=DUE.at + 30 * SECOND)
    assert decide(held) == Requeue(DUE.at + 30 * SECOND, "hold")
    assert decide(replace(held, now=DUE.at + 30 * SECOND)) == Poll()


def test_a_slot_is_polled_from_the_moment_it_is_due_until_the_next_one_is() -> None:
    for now in (DUE.at, DUE.until - SECOND):
        assert decide(replace(WELL, now=now)) == Poll()
    assert isinstance(decide(replace(WELL, now=DUE.until)), Record)


def test_a_poll_by_hand_without_counts_does_not_replace_the_poll_of_the_service() -> None:
    assert decide(replace(WELL, polled_at=DUE.at - SECOND)) == Poll()


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("NO_PERMISSION", Outcome.FORBIDDEN),
        ("http_403", Outcome.FORBIDDEN),
        ("FEATURE_OF_TOMORROW", Outcome.UNAUTHORIZED),
        ("refusal_of_tomorrow", Outcome.FORBIDDEN),
        ("invalid_client", Outcome.UNAUTHORIZED),
    ],
)
def test_a_parked_org_keeps_the_outcome_that_it_was_parked_with(code: str, outcome: Outcome) -> None:
    """The outcome is stored, and not derived from the code."""
    assert decide(replace(WELL, parked=replace(PARKED, code=code, outcome=outcome))) == Record(outcome, code)


@pytest.mark.parametrize(
    ("known", "poll"),
    [
        ({"info_at": None, "credits_left": 12}, Poll(refresh_info=True)),
        ({"info_at": NOW - INFO_LIFETIME, "credits_left": 12}, Poll(refresh_info=True)),
        ({"info_at": NOW - INFO_LIFETIME + SECOND, "credits_left": 12}, Poll()),
        ({"info_at": None, "credits_left": 11}, Poll()),
        ({"info_at": None, "credits_left": 12, "is_unproven": True}, Poll(refresh_info=True, prove_first=True)),
    ],
)
def test_old_org_info_is_requested_with_the_counts_if_the_credits_pay_for_it(
    known: dict[str, object], poll: Poll
) -> None:
    assert decide(replace(WELL, **known)) == poll  # type: ignore[arg-type]
    assert poll.cost == (12 if poll.refresh_info else 10)


def test_new_credentials_are_not_polled_before_the_credits_pay_for_their_proof() -> None:
    assert decide(replace(WELL, credits_left=11, is_unproven=True)) == Record(Outcome.THROTTLED, "credit_share_spent")


def test_a_parked_org_is_polled_when_its_probe_is_due_or_a_person_asks_for_it() -> None:
    parked = replace(WELL, parked=PARKED)
    assert decide(replace(parked, parked=replace(PARKED, probe_at=NOW))) == Poll()
    assert decide_by_hand(replace(parked, due=None, probe=True)) == Poll()


def test_a_hold_that_a_poll_can_wait_for_does_not_put_the_slot_back() -> None:
    assert decide(replace(WELL, hold_until=NOW + 20 * SECOND)) == Poll()
    assert decide(replace(WELL, hold_until=NOW + 21 * SECOND)) == Requeue(NOW + 21 * SECOND, "hold")


@pytest.mark.parametrize("condition", [name for name, (_, _, by_hand) in ROWS.items() if by_hand is not None])
def test_a_poll_by_hand_is_recorded_or_made_and_never_waits(condition: str) -> None:
    known, _, by_hand = ROWS[condition]
    expected = by_hand if isinstance(by_hand, Record) else Poll()
    assert decide_by_hand(replace(WELL, **known, due=None)) == expected  # type: ignore[arg-type]


def test_the_delay_of_a_slot_that_is_put_back_has_jitter_of_at_most_a_second_and_at_most_the_wait() -> None:
    assert Requeue(NOW + 60 * SECOND, "hold").delay(NOW, 0.5) == 60.5 * SECOND
    assert Requeue(NOW + SECOND / 5, "places").delay(NOW, 0.5) == SECOND * 0.3
    assert Requeue(NOW - SECOND, "early").delay(NOW, 0.5) == 0 * SECOND
