from __future__ import annotations

from hypothesis import given, strategies as st

from poller.simulator import SimulatorOptions, accounts, rules
from poller.simulator.state import SimulatedZoho
from tests.simulator.caller import NOON, Clock

DAY = 86_400
waits = st.floats(0, 4_000).map(round)


def _world(clock: Clock, **options: int) -> SimulatedZoho:
    return SimulatedZoho(SimulatorOptions(orgs=3, seed=7, now=clock, **options))  # type: ignore[arg-type]


@given(spent=st.lists(st.tuples(st.integers(0, 30_000), st.integers(1, 500)), max_size=40))
def test_credits_are_remembered_for_a_day_and_at_most_a_quarter_of_an_hour_longer(spent: list[tuple[int, int]]) -> None:
    clock = Clock()
    zoho = _world(clock)
    state = zoho.org_state(0)
    history: list[tuple[float, int]] = []
    for wait, amount in spent:
        clock.at += wait
        zoho.spend(state, amount)
        history.append((clock.at, amount))
        counted = zoho.credit_limit(state) - zoho.credits_left(state)
        at_least = sum(amount for at, amount in history if at > clock.at - DAY)
        at_most = sum(amount for at, amount in history if at > clock.at - DAY - 900)
        assert at_least <= counted <= at_most
    assert len(state.credit_spans) <= DAY / 900 + 2


@given(asked_after=st.lists(waits, max_size=60), token_seconds=st.integers(60, 20_000))
def test_at_most_ten_tokens_are_issued_in_any_ten_minutes_and_at_most_fifteen_are_valid(
    asked_after: list[int], token_seconds: int
) -> None:
    clock = Clock()
    zoho = _world(clock, token_seconds=token_seconds)
    org = zoho.simulated_org(0)
    form = {
        "grant_type": "refresh_token",
        "client_id": org.client_id,
        "client_secret": org.client_secret,
        "refresh_token": org.refresh_token,
    }
    issued: list[float] = []
    for wait in asked_after:
        clock.at += wait
        reply = accounts.answer(zoho, org.data_center, form, "http://127.0.0.1").reply
        if b"access_token" in reply.body:
            issued.append(clock.at)
        assert len([at for at in issued if at > clock.at - 600]) <= rules.ISSUES_PER_WINDOW
        assert len(zoho.tokens) == len(zoho.org_state(0).live) <= rules.LIVE_TOKENS
    assert len(set(issued)) <= len(issued) == zoho.org_state(0).audit.token_issues


@given(asked_after=st.lists(st.integers(60, 4_000), max_size=30))
def test_a_client_with_at_most_one_token_request_a_minute_is_never_refused(asked_after: list[int]) -> None:
    clock = Clock()
    zoho = _world(clock)
    state = zoho.org_state(0)
    org = zoho.simulated_org(0)
    form = {
        "grant_type": "client_credentials",
        "client_id": org.client_id,
        "client_secret": org.client_secret,
        "soid": org.soid,
        "scope": "ZohoCRM.users.READ",
    }
    for wait in asked_after:
        clock.at += wait
        assert b"access_token" in accounts.answer(zoho, org.data_center, form, "http://127.0.0.1").reply.body
    assert list(state.audit.breaches()) == []


@given(after=st.integers(0, 10**7), speed=st.integers(1, 10_000), before=st.integers(0, 10**8))
def test_the_speed_option_applies_to_head_counts_after_the_start_and_not_before(
    after: int, speed: int, before: int
) -> None:
    zoho = SimulatedZoho(SimulatorOptions(orgs=1, now=Clock(), speed=speed))
    assert zoho.population_seconds(NOON - before) == NOON - before
    assert zoho.population_seconds(NOON + after) == NOON + after * speed
