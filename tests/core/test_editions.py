from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from poller.core.editions import EDITIONS, FREE, daily_credits, edition_of, is_known_edition, limits_of


@pytest.mark.parametrize(
    ("paid_type", "licences", "credits_a_day", "in_flight"),
    [
        ("free", 3, 5_000, 5),
        ("standard", 10, 52_500, 10),
        ("starter", 1_000, 100_000, 10),
        ("professional", 10, 55_000, 15),
        ("professional", 10_000, 3_000_000, 15),
        ("enterprise", 100, 150_000, 20),
        ("zohooneenterprise", 1_000_000, 5_000_000, 20),
        ("ultimate", 100_000, 200_050_000, 25),
        ("crmplus", 10, 70_000, 25),
    ],
)
def test_the_limits_of_every_edition_are_those_that_zoho_documents(
    paid_type: str, licences: int, credits_a_day: int, in_flight: int
) -> None:
    assert daily_credits(paid_type, licences) == credits_a_day
    assert edition_of(paid_type).in_flight == in_flight
    assert is_known_edition(paid_type)


def test_an_edition_is_recognised_in_any_letter_case() -> None:
    assert edition_of("CRM Plus") is EDITIONS["crmplus"]
    assert edition_of("Zoho One-Enterprise") is EDITIONS["zohooneenterprise"]
    assert edition_of(" ENTERPRISE ") is EDITIONS["enterprise"]


@pytest.mark.parametrize("paid_type", [None, "", "trial", "platinum"])
def test_an_unknown_edition_gets_the_strictest_limits_and_is_marked_as_unknown(paid_type: str | None) -> None:
    assert edition_of(paid_type) is FREE
    assert not is_known_edition(paid_type)
    for edition in EDITIONS.values():
        assert daily_credits(paid_type, 100) <= edition.credits(None)
        assert edition_of(paid_type).in_flight <= edition.in_flight


def test_an_unknown_number_of_licences_is_treated_as_zero() -> None:
    assert daily_credits("enterprise", None) == daily_credits("enterprise", -5) == 50_000


def test_editions_have_different_paid_types_and_increasing_limits() -> None:
    in_order = list(dict.fromkeys(EDITIONS.values()))
    assert sum(len(edition.paid_types) for edition in in_order) == len(EDITIONS)
    assert all(a.in_flight < b.in_flight for a, b in pairwise(in_order))


def test_half_of_the_requests_in_flight_are_left_to_other_apps_of_the_customer() -> None:
    assert [limits_of(name).in_flight for name in ("free", "standard", "professional", "ultimate")] == [2, 5, 7, 12]


@given(st.sampled_from([None, *EDITIONS]), st.floats(0.0, 1.0))
def test_at_least_one_request_and_at_most_the_limit_of_the_edition_can_be_in_flight(
    paid_type: str | None, share: float
) -> None:
    limits = limits_of(paid_type, share)
    assert 1 <= limits.in_flight <= edition_of(paid_type).in_flight
    assert limits.rate > 0


def test_a_share_of_1_allows_all_requests_in_flight() -> None:
    assert limits_of("ultimate", 1.0).in_flight == 25
