from __future__ import annotations

from hypothesis import given, strategies as st

from poller.core.descriptors import affordable, needed


@given(st.integers(0, 20_000), st.integers(1, 10_000), st.integers(0, 128))
def test_the_concurrency_for_a_descriptor_limit_stays_within_this_limit(limit: int, concurrency: int, web: int) -> None:
    found = affordable(limit, concurrency, web_connections=web)
    assert 0 <= found <= concurrency
    if found:
        assert needed(found, web_connections=web) <= limit
    if found < concurrency:
        assert needed(found + 2, web_connections=web) > limit
