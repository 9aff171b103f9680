from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st

from poller.core.health import HealthChange, Refusals, judge_health, outcome_of_parked_code
from poller.core.model import USER_TYPES, Outcome, Snapshot

SLOT = datetime(2026, 11, 23, 12, tzinfo=UTC)
ALONE, MANY = Refusals(refused=1, answered=9), Refusals(refused=3, answered=2)


def polled(outcome: Outcome, error: str | None = None, *, requests: int = 10) -> Snapshot:
    counts = dict.fromkeys(USER_TYPES, 1) if outcome is Outcome.OK else {}
    return Snapshot(1, SLOT, SLOT, outcome, error, {}, requests=requests, counts=counts)


REFUSED = polled(Outcome.UNAUTHORIZED, "INVALID_TOKEN")


@pytest.mark.parametrize(
    ("snapshot", "parked", "before", "around", "change"),
    [
        (REFUSED, False, None, None, HealthChange.PARK),
        (REFUSED, False, Outcome.OK, ALONE, HealthChange.SUSPECT),
        (REFUSED, False, Outcome.PARTIAL, ALONE, HealthChange.SUSPECT),
        (REFUSED, False, Outcome.UNAUTHORIZED, ALONE, HealthChange.PARK),
        (REFUSED, False, Outcome.FORBIDDEN, ALONE, HealthChange.PARK),
        (REFUSED, False, Outcome.OK, MANY, HealthChange.DATA_CENTER),
        (REFUSED, False, Outcome.UNAUTHORIZED, MANY, HealthChange.DATA_CENTER),
        (REFUSED, False, None, MANY, HealthChange.PARK),
        (REFUSED, True, None, None, HealthChange.PARK),
        (polled(Outcome.FORBIDDEN, "NO_PERMISSION"), False, Outcome.OK, MANY, HealthChange.SUSPECT),
        (polled(Outcome.FORBIDDEN, "NO_PERMISSION"), False, Outcome.FORBIDDEN, MANY, HealthChange.PARK),
        (polled(Outcome.UNAUTHORIZED, "invalid_code", requests=0), False, Outcome.OK, ALONE, HealthChange.NOTHING),
        (polled(Outcome.OK), True, None, None, HealthChange.UNPARK),
        (polled(Outcome.OK), False, None, None, HealthChange.NOTHING),
        (polled(Outcome.UNAVAILABLE, "http_502"), True, None, None, HealthChange.PROBE_LATER),
        (polled(Outcome.UNAVAILABLE, "http_502"), False, None, None, HealthChange.NOTHING),
    ],
)
def test_the_result_of_a_poll_decides_whether_its_org_is_parked_unparked_or_unchanged(
    snapshot: Snapshot, parked: bool, before: Outcome | None, around: Refusals | None, change: HealthChange
) -> None:
    assert judge_health(snapshot, parked=parked, probed=True, before=before, around=around) is change


@given(refused=st.integers(0, 300), answered=st.integers(0, 300))
def test_a_few_refusals_among_many_replies_are_not_attributed_to_the_data_centre(refused: int, answered: int) -> None:
    assert Refusals(refused, answered).widespread == (refused >= 3 and refused >= answered)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("INVALID_TOKEN", Outcome.UNAUTHORIZED),
        ("NO_PERMISSION", Outcome.FORBIDDEN),
        ("http_403", Outcome.FORBIDDEN),
        ("FEATURE_OF_TOMORROW", Outcome.FORBIDDEN),
        ("invalid_client", Outcome.UNAUTHORIZED),
    ],
)
def test_an_org_parked_by_an_earlier_release_has_the_outcome_its_code_suggests(code: str, outcome: Outcome) -> None:
    assert outcome_of_parked_code(code) is outcome
