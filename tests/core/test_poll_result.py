from __future__ import annotations

from hypothesis import given, strategies as st

from poller.core.model import USER_TYPES, Outcome, UserType
from poller.core.poll_result import CountRefusal, combine

THROTTLED = CountRefusal(Outcome.THROTTLED, "TOO_MANY_REQUESTS")
FORBIDDEN = CountRefusal(Outcome.FORBIDDEN, "NO_PERMISSION")
DOWN = CountRefusal(Outcome.UNAVAILABLE, "timeout")

answers = st.dictionaries(
    st.sampled_from(USER_TYPES), st.one_of(st.integers(0, 2**31 - 1), st.sampled_from([THROTTLED, FORBIDDEN, DOWN]))
)


def test_ten_known_counts_are_ok_without_an_error() -> None:
    settled = combine(dict.fromkeys(USER_TYPES, 1))
    assert (settled.outcome, settled.error, settled.errors) == (Outcome.OK, None, {})


def test_some_known_counts_are_partial_with_the_errors_of_the_others() -> None:
    settled = combine(dict.fromkeys(USER_TYPES, 7) | {UserType.ADMIN: DOWN, UserType.CURRENT: 1})
    assert settled.outcome is Outcome.PARTIAL
    assert settled.error == "timeout"
    assert settled.errors == {UserType.ADMIN: "timeout"}
    assert UserType.ADMIN not in settled.counts


def test_an_error_that_a_person_must_fix_outweighs_a_transient_one() -> None:
    settled = combine(dict.fromkeys(USER_TYPES, DOWN) | {UserType.ADMIN: FORBIDDEN, UserType.ALL: THROTTLED})
    assert (settled.outcome, settled.error) == (Outcome.FORBIDDEN, "NO_PERMISSION")


def test_a_current_user_count_other_than_1_is_kept_and_flagged() -> None:
    settled = combine(dict.fromkeys(USER_TYPES, 3))
    assert settled.outcome is Outcome.OK
    assert settled.counts[UserType.CURRENT] == 3
    assert settled.errors == {UserType.CURRENT: "current_user_not_one"}


@given(answers)
def test_every_user_type_has_a_received_count_or_an_error(given: dict[UserType, int | CountRefusal]) -> None:
    settled = combine(given)
    assert set(settled.counts) | set(settled.errors) == set(USER_TYPES) or settled.outcome is Outcome.OK
    assert all(given[user_type] == count for user_type, count in settled.counts.items())
    assert (settled.outcome is Outcome.OK) == (len(settled.counts) == len(USER_TYPES))
