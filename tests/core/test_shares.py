from __future__ import annotations

from hypothesis import given, strategies as st

from poller.core.shares import Shares, reserves

NAMES = ("us", "eu", "in")


def taken(shares: Shares, name: str, most: int = 1_000) -> int:
    """The number of places that this data centre gets if it takes as many as it can, up to `most`."""
    part, count = shares.part(name), 0
    while count < most and part.is_free:
        part.take()
        count += 1
    return count


def test_a_fleet_in_one_data_centre_can_use_every_place() -> None:
    shares = Shares(32)
    shares.share_out({"us": 5.0})
    assert taken(shares, "us") == 32


def test_a_data_centre_at_its_maximum_leaves_the_reserves_of_others_free() -> None:
    shares = Shares(32)
    shares.share_out({"us": 1.0, "eu": 1.0})
    assert taken(shares, "us") == 24
    assert taken(shares, "eu") == 8


def test_reserves_are_proportional_to_demand_and_at_least_one() -> None:
    assert reserves(32, {"us": 98.0, "eu": 1.0, "in": 1.0}) == {"us": 13, "eu": 1, "in": 1}


def test_a_small_data_centre_can_use_common_places() -> None:
    shares = Shares(32)
    shares.share_out({"us": 99.0, "eu": 1.0})
    assert taken(shares, "eu") == 18


def test_more_data_centres_than_half_the_places_share_all_places_without_reserves() -> None:
    assert reserves(4, {"us": 1.0, "eu": 1.0, "in": 1.0}) == {"us": 0, "eu": 0, "in": 0}
    shares = Shares(1)
    shares.share_out({"us": 1.0, "eu": 1.0})
    assert (taken(shares, "us"), taken(shares, "eu")) == (1, 0)


def test_a_released_place_becomes_a_common_one_first() -> None:
    shares = Shares(32)
    shares.share_out({"us": 1.0, "eu": 1.0})
    taken(shares, "us")
    assert taken(shares, "eu") == 8
    shares.part("us").give_back()
    assert taken(shares, "eu") == 1


def test_places_in_use_stay_in_use_when_shares_change_and_the_total_is_never_exceeded() -> None:
    shares = Shares(8)
    assert taken(shares, "us") == 8
    shares.share_out({"us": 1.0, "eu": 1.0})
    assert taken(shares, "in") == 0
    for _ in range(4):
        shares.part("us").give_back()
    assert shares.used <= 8
    assert taken(shares, "eu", 2) == 2


@given(
    st.integers(1, 40),
    st.lists(st.tuples(st.sampled_from(NAMES), st.booleans()), max_size=200),
    st.dictionaries(st.sampled_from(NAMES), st.floats(0.0, 1e6)),
)
def test_any_sequence_of_takes_and_releases_leaves_the_reserves_of_others_free(
    total: int, steps: list[tuple[str, bool]], demand: dict[str, float]
) -> None:
    shares = Shares(total)
    shares.share_out(demand)
    for name, takes in steps:
        part = shares.part(name)
        if takes and part.is_free:
            part.take()
        elif not takes and part.used:
            part.give_back()
        assert shares.used == sum(one.used for one in shares.parts.values()) <= total
        assert shares.common == total - sum(max(one.used, one.reserve) for one in shares.parts.values()) >= 0
        assert all(one.room >= one.reserve - one.used for one in shares.parts.values())
