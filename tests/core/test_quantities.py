from __future__ import annotations

from datetime import timedelta

import pytest

from poller.core.quantities import age_of, count, size_of


def test_one_is_singular_and_other_numbers_are_plural_with_separated_thousands() -> None:
    assert [count(number, "org") for number in (0, 1, 2, 1_200)] == ["0 orgs", "1 org", "2 orgs", "1,200 orgs"]
    assert [count(number, "row is", "rows are") for number in (1, 2)] == ["1 row is", "2 rows are"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (7_199, "119m"), (7_200, "2h"), (172_800, "2d")],
)
def test_an_age_is_shown_in_the_largest_unit_with_at_least_two(seconds: int, text: str) -> None:
    assert age_of(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 kB"), (1_500, "2 kB"), (999_000, "999 kB"), (10**6, "1.0 MB"), (3_400_000_000, "3.4 GB")],
)
def test_a_size_has_a_unit_of_thousands(number: int, text: str) -> None:
    assert size_of(number) == text
