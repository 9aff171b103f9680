from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from poller.core.model import Org, Outcome
from poller.core.secret import Secret
from poller.core.token import AccessToken
from poller.onboarding.grant_exchange import CodePacer, CodeProgress, WaitingCode, exchange_codes
from poller.zoho.token_request import NoToken, no_token
from tests.zoho.token_shelf import utc_now
from tests.zoho.turned_clock import START, now, run_turned


def code(number: int, client_id: str = "1000.A") -> WaitingCode:
    return WaitingCode(Org(number, f"org {number}", "eu", "v7", 900), client_id)


@dataclass
class Accounts:
    """Exchanges codes issued at the start, which are valid for `life_seconds`; records all requests."""

    life_seconds: float = 10_000.0
    throttle_from: int = 10_000
    asked: list[tuple[int, float]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def exchange(self, org: Org) -> AccessToken | NoToken:
        self.asked.append((org.id, now() - START))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.5)
        self.at_once -= 1
        if len(self.asked) == self.throttle_from:
            return no_token(Outcome.THROTTLED, "throttled", utc_now() + timedelta(seconds=900))
        if now() - START > self.life_seconds:
            return no_token(Outcome.UNAUTHORIZED, "grant_code_expired")
        return AccessToken(Secret("t"), "https://www.zohoapis.eu", utc_now(), utc_now() + timedelta(hours=1), 1)


async def exchange_all(
    codes: list[WaitingCode], accounts: Accounts, seen: list[CodeProgress] | None = None
) -> list[str | None]:
    """Exchanges the codes; returns the error codes of refusals in the order of the orgs."""
    done = await exchange_codes(
        codes, accounts.exchange, now=utc_now, on_progress=(seen.append if seen is not None else None)
    )
    by_org = {one.org.id: one.refusal.code if one.refusal else None for one in done}
    return [by_org[number] for number in sorted(by_org)]


def test_the_first_ten_grant_codes_of_a_client_are_exchanged_without_waiting() -> None:
    async def main() -> None:
        accounts = Accounts()
        assert await exchange_all([code(number) for number in range(10)], accounts) == [None] * 10
        assert now() - START == pytest.approx(5.0)

    run_turned(main())


def test_at_most_ten_grant_codes_of_a_client_are_exchanged_in_any_ten_minutes() -> None:
    async def main() -> list[float]:
        accounts = Accounts()
        await exchange_all([code(number) for number in range(35)], accounts)
        return [at for _, at in accounts.asked]

    asked = run_turned(main())
    assert len(asked) == 35
    for place in range(len(asked) - 10):
        assert asked[place + 10] - asked[place] >= 600.0


def test_a_grant_code_that_expired_while_waiting_is_reported_as_expired() -> None:
    async def main() -> list[str | None]:
        return await exchange_all([code(number) for number in range(12)], Accounts(life_seconds=590))

    assert run_turned(main()) == [None] * 10 + ["grant_code_expired"] * 2


def test_the_queue_of_one_client_does_not_delay_other_clients() -> None:
    async def main() -> dict[int, float]:
        accounts = Accounts()
        crowd = [code(number) for number in range(25)]
        await exchange_all([*crowd, *(code(number, f"1000.{number}") for number in range(100, 104))], accounts)
        return dict(accounts.asked)

    asked = run_turned(main())
    assert max(asked[number] for number in range(100, 104)) < 1.0
    assert asked[24] > 1_200


def test_only_a_few_grant_code_exchanges_run_at_the_same_time() -> None:
    async def main() -> int:
        accounts = Accounts()
        await exchange_all([code(number, f"1000.{number}") for number in range(50)], accounts)
        return accounts.most_at_once

    assert run_turned(main()) == 8


def test_no_grant_code_of_a_throttled_client_is_sent_before_its_cool_down_ends() -> None:
    async def main() -> tuple[list[str | None], list[float]]:
        accounts = Accounts(throttle_from=3)
        found = await exchange_all([code(number) for number in range(4)], accounts)
        return found, [at for _, at in accounts.asked]

    found, asked = run_turned(main())
    assert found == [None, None, "throttled", None]
    assert asked[3] - asked[2] >= 900


def test_progress_of_the_grant_code_queue_is_reported_from_start_to_end_with_its_pauses() -> None:
    async def main() -> list[CodeProgress]:
        seen: list[CodeProgress] = []
        await exchange_all([code(number) for number in range(12)], Accounts(life_seconds=590), seen)
        return seen

    seen = run_turned(main())
    assert seen[0] == CodeProgress(waiting=12)
    assert seen[-1] == CodeProgress(waiting=0, exchanged=10, refused=2)
    assert all(progress.waiting + progress.exchanged + progress.refused == 12 for progress in seen)
    longest = max(seen, key=lambda progress: progress.pause_seconds)
    assert (longest.waiting, longest.exchanged, longest.refused) == (2, 10, 0)
    assert longest.pause_seconds == pytest.approx(655.0)


def test_an_org_named_twice_has_its_code_exchanged_once() -> None:
    async def main() -> int:
        accounts = Accounts()
        await exchange_all([code(1), code(1)], accounts)
        return len(accounts.asked)

    assert run_turned(main()) == 1


def test_without_grant_codes_the_progress_is_reported_once_as_empty() -> None:
    async def main() -> list[CodeProgress]:
        seen: list[CodeProgress] = []
        assert await exchange_all([], Accounts(), seen) == []
        return seen

    assert run_turned(main()) == [CodeProgress(waiting=0)]


def test_a_second_queue_of_grant_codes_continues_the_pace_of_the_first() -> None:
    async def main() -> tuple[float, float]:
        pacer, accounts = CodePacer(), Accounts()
        for first in (0, 6):
            codes = [code(number) for number in range(first, first + 6)]
            await exchange_codes(codes, accounts.exchange, now=utc_now, reserve=pacer.reserve)
        return accounts.asked[9][1], accounts.asked[10][1]

    tenth, eleventh = run_turned(main())
    assert tenth < 5.0
    assert eleventh >= 600.0
