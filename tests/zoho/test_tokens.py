from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from poller.core.errors import CredentialError
from poller.core.model import Outcome
from poller.core.reply import Failure, NoReply, Reply
from poller.core.secret import Secret
from poller.core.token import AccessToken, Credentials
from poller.zoho.tokens import LEASE_SECONDS
from tests.zoho.token_shelf import (
    CREDENTIALS,
    EU,
    ORG,
    THROTTLED,
    Endpoint,
    Shelf,
    granted,
    refusal_of,
    refused,
    token_of,
    tokens,
    utc_now,
)
from tests.zoho.turned_clock import now, run_turned

if TYPE_CHECKING:
    from collections.abc import Mapping

HTML = Reply(502, b"<html><body>Bad Gateway</body></html>")


# --- having one -----------------------------------------------------------------------------------------------------


def test_a_first_token_is_requested_with_the_credentials_in_the_body_and_stored() -> None:
    async def main() -> None:
        shelf, zoho = Shelf(), Endpoint([granted()])
        token = token_of(await tokens(shelf, zoho.post).get(ORG))
        assert zoho.asked == [
            (
                "https://accounts.zoho.eu",
                {
                    "grant_type": "refresh_token",
                    "refresh_token": "1000.refresh-XYZ",
                    "client_id": "1000.CLIENT",
                    "client_secret": "client-secret-XYZ",
                },
            )
        ]
        assert shelf.stored is not None
        assert token == AccessToken(
            Secret("1000.access-XYZ"), EU.api_domain, shelf.stored.issued_at, shelf.stored.expires_at, 1
        )
        assert token.expires_at - token.issued_at == timedelta(hours=1)
        assert shelf.lease is None

    run_turned(main())


def test_a_valid_token_is_used_without_a_token_request() -> None:
    async def main() -> None:
        shelf, zoho = Shelf(), Endpoint([granted()])
        shelf.keep(seconds_ago=1_800)
        assert token_of(await tokens(shelf, zoho.post).get(ORG)).generation == 1
        assert zoho.asked == []
        assert shelf.issues == []

    run_turned(main())


def test_a_token_passed_by_the_caller_is_not_read_from_the_store_again() -> None:
    async def main() -> None:
        shelf, zoho = Shelf(), Endpoint([granted()])
        shelf.keep(seconds_ago=1_800)
        assert token_of(await tokens(shelf, zoho.post).get(ORG, shelf.stored)).generation == 1
        assert shelf.reads == 0

    run_turned(main())


def test_the_lifetime_of_a_token_starts_before_its_request_and_defaults_to_an_hour() -> None:
    async def main() -> None:
        started = utc_now()
        token = token_of(await tokens(Shelf(), Endpoint([granted(expires_in=None)], seconds=3.0).post).get(ORG))
        assert token.expires_at == started + timedelta(hours=1)

    run_turned(main())


@pytest.mark.parametrize(("said", "seconds"), [(1_800, 1_800), ("900", 900), (60, 60)])
def test_the_lifetime_of_a_token_is_the_one_zoho_sends(said: object, seconds: int) -> None:
    async def main() -> None:
        token = token_of(await tokens(Shelf(), Endpoint([granted(expires_in=said)]).post).get(ORG))
        assert (token.expires_at - token.issued_at).total_seconds() == seconds

    run_turned(main())


def test_neither_the_repr_of_a_token_nor_the_log_contains_a_secret() -> None:
    async def main() -> None:
        with capture_logs() as events:
            token = token_of(await tokens(Shelf(), Endpoint([granted()]).post).get(ORG))
        text = repr(token) + repr(events) + repr(CREDENTIALS)
        assert "token.refreshed" in text
        assert "XYZ" not in text

    run_turned(main())


# --- renewing early -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("left_seconds", "asks"), [(601, 0), (299, 1), (-1, 1)])
def test_a_token_is_renewed_before_its_last_minutes_and_not_much_earlier(left_seconds: int, asks: int) -> None:
    async def main() -> None:
        shelf, zoho = Shelf(), Endpoint([granted()])
        shelf.keep(seconds_ago=3_600 - left_seconds)
        assert token_of(await tokens(shelf, zoho.post).get(ORG)).generation == 1 + asks
        assert len(zoho.asked) == asks

    run_turned(main())


def test_tokens_issued_at_the_same_time_are_renewed_at_different_times() -> None:
    async def main() -> int:
        renewed = 0
        for number in range(200):
            shelf, zoho = Shelf(), Endpoint([granted()], seconds=0.0)
            shelf.keep(seconds_ago=3_600 - 450)
            token_of(await tokens(shelf, zoho.post).get(replace(ORG, id=number)))
            renewed += len(zoho.asked)
        return renewed

    assert 70 <= run_turned(main()) <= 130


@pytest.mark.parametrize(
    "answer", [THROTTLED, HTML, NoReply(Failure.TIMEOUT), granted(api_domain="https://evil.example")]
)
def test_a_token_due_for_renewal_is_used_if_no_new_one_can_be_obtained(answer: Reply | NoReply) -> None:
    async def main() -> None:
        shelf, zoho = Shelf(), Endpoint([answer])
        shelf.keep(seconds_ago=3_500)
        assert token_of(await tokens(shelf, zoho.post).get(ORG)).secret == Secret("kept-1")
        assert len(zoho.asked) == 1

    run_turned(main())


def test_a_token_that_expired_during_a_failed_renewal_is_not_used() -> None:
    async def main() -> None:
        shelf = Shelf()
        shelf.keep(seconds_ago=3_595)
        found = refusal_of(await tokens(shelf, Endpoint([NoReply(Failure.TIMEOUT)], seconds=15.0).post).get(ORG))
        assert found.outcome is Outcome.UNAVAILABLE

    run_turned(main())


def test_a_token_due_for_renewal_is_used_while_another_worker_renews_it() -> None:
    async def main() -> None:
        shelf, zoho = Shelf(), Endpoint([granted()])
        shelf.keep(seconds_ago=3_500)
        async with asyncio.TaskGroup() as workers:
            found = [workers.create_task(tokens(shelf, zoho.post).get(ORG)) for _ in range(5)]
        assert sorted(token_of(task.result()).generation for task in found) == [1, 1, 1, 1, 2]

    run_turned(main())


def test_a_token_that_ends_earlier_than_expected_is_renewed_in_time_by_every_worker() -> None:
    async def main() -> None:
        shelf, zoho = Shelf(), Endpoint([granted()])
        shelf.keep(seconds_ago=600)
        token = token_of(await tokens(shelf, zoho.post).get(ORG))
        await tokens(shelf, zoho.post).set_expiry(ORG, token, utc_now() + timedelta(seconds=100))
        assert token_of(await tokens(shelf, zoho.post).get(ORG)).generation == 2

    run_turned(main())


def test_a_reported_expiry_that_is_later_or_almost_equal_changes_nothing() -> None:
    async def main() -> None:
        shelf, zoho = Shelf(), Endpoint([granted()])
        shelf.keep(seconds_ago=600)
        before, worker = shelf.stored, tokens(shelf, zoho.post)
        token = token_of(await worker.get(ORG))
        for seconds in (-59, 0, 3_600):
            await worker.set_expiry(ORG, token, token.expires_at + timedelta(seconds=seconds))
        assert shelf.stored is before

    run_turned(main())


# --- one at a time --------------------------------------------------------------------------------------------------


def test_fifty_workers_without_a_token_request_one_in_total() -> None:
    async def main() -> None:
        shelf, zoho = Shelf(), Endpoint([granted()], seconds=5.0)
        async with asyncio.TaskGroup() as workers:
            found = [workers.create_task(tokens(shelf, zoho.post).get(ORG)) for _ in range(50)]
        assert {token_of(task.result()).generation for task in found} == {1}
        assert len(zoho.asked) == len(shelf.issues) == 1

    run_turned(main())


def test_ten_workers_that_meet_the_same_invalid_token_cause_one_refresh() -> None:
    async def main() -> None:
        shelf, zoho = Shelf(), Endpoint([granted()])
        shelf.keep(seconds_ago=60)
        stale = token_of(await tokens(shelf, zoho.post).get(ORG))
        async with asyncio.TaskGroup() as workers:
            found = [workers.create_task(tokens(shelf, zoho.post).renew(ORG, stale)) for _ in range(10)]
        assert {token_of(task.result()).generation for task in found} == {2}
        assert len(zoho.asked) == 1

    run_turned(main())


def test_a_newer_token_of_another_worker_replaces_an_invalid_one_without_a_request() -> None:
    async def main() -> None:
        shelf, zoho = Shelf(), Endpoint([granted()])
        shelf.keep(seconds_ago=60)
        stale = token_of(await tokens(shelf, zoho.post).get(ORG))
        shelf.keep(seconds_ago=0)
        assert token_of(await tokens(shelf, zoho.post).renew(ORG, stale)).generation == 2
        assert zoho.asked == []

    run_turned(main())


def test_a_newer_token_that_has_expired_too_is_renewed() -> None:
    async def main() -> None:
        shelf, zoho = Shelf(), Endpoint([granted()])
        shelf.keep(seconds_ago=7_200)
        first = shelf.stored
        shelf.keep(seconds_ago=3_601)
        assert token_of(await tokens(shelf, zoho.post).get(ORG, first)).generation == 3

    run_turned(main())


def test_a_worker_waits_for_the_lease_of_a_dead_worker_until_it_expires() -> None:
    async def main() -> float:
        shelf, zoho = Shelf(), Endpoint([granted()])
        started = now()

        async def die(accounts_server: str, form: Mapping[str, str | Secret]) -> Reply | NoReply:
            return await Endpoint([granted()], seconds=10_000).post(accounts_server, form)

        async with asyncio.TaskGroup() as workers:
            dead = workers.create_task(tokens(shelf, die).get(ORG))
            await asyncio.sleep(1.0)
            lease = shelf.lease
            dead.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            shelf.lease = lease  # a killed process lets nothing go
            assert token_of(await tokens(shelf, zoho.post).get(ORG)).generation == 1
        return now() - started

    assert LEASE_SECONDS <= run_turned(main()) <= LEASE_SECONDS + 3


def test_a_cancelled_worker_releases_its_lease() -> None:
    async def main() -> None:
        shelf = Shelf()
        async with asyncio.TaskGroup() as workers:
            task = workers.create_task(tokens(shelf, Endpoint([granted()], seconds=100).post).get(ORG))
            await asyncio.sleep(1.0)
            assert shelf.lease is not None
            task.cancel()
        assert shelf.lease is None

    run_turned(main())


def test_waiting_for_a_lease_that_is_never_released_ends_after_a_limit() -> None:
    async def main() -> None:
        shelf, zoho = Shelf(), Endpoint([granted()])
        worker = tokens(shelf, zoho.post)
        await shelf.acquire_lease(ORG.id, uuid4(), 10_000, 0, utc_now())
        found = refusal_of(await worker.get(ORG))
        assert (found.outcome, found.code) == (Outcome.UNAVAILABLE, "token_held")
        assert zoho.asked == []

    run_turned(main())


def test_a_token_received_after_its_lease_was_lost_is_used_only_for_this_poll() -> None:
    async def main() -> None:
        shelf = Shelf()
        slow = Endpoint([granted("1000.slow")], seconds=LEASE_SECONDS + 5)
        quick = Endpoint([granted("1000.quick")])
        async with asyncio.TaskGroup() as workers:
            first = workers.create_task(tokens(shelf, slow.post).get(ORG))
            await asyncio.sleep(LEASE_SECONDS + 1)
            second = workers.create_task(tokens(shelf, quick.post).get(ORG))
        assert (token_of(first.result()).secret, token_of(first.result()).generation) == (Secret("1000.slow"), 0)
        assert shelf.stored is not None
        assert shelf.stored.secret == token_of(second.result()).secret == Secret("1000.quick")
        # Called invalid, the unsaved one gives way to the saved one.
        assert token_of(await tokens(shelf, quick.post).renew(ORG, token_of(first.result()))).generation == 1

    run_turned(main())


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["invalid_client", "invalid_client_secret", "invalid_code", "missing_org_info"])
@pytest.mark.parametrize("status", [200, 400])
def test_a_permanent_refusal_parks_the_org_with_a_remedy_after_one_request(code: str, status: int) -> None:
    async def main() -> None:
        shelf, zoho = Shelf(), Endpoint([refused(code, status)])
        found = refusal_of(await tokens(shelf, zoho.post).get(ORG))
        assert (found.outcome, found.code) == (Outcome.UNAUTHORIZED, code)
        assert shelf.parked == (code, found.remedy)
        assert len(zoho.asked) == 1
        assert shelf.lease is None

    run_turned(main())


def test_a_permanent_refusal_is_reported_even_while_the_old_token_is_valid() -> None:
    async def main() -> None:
        shelf = Shelf()
        shelf.keep(seconds_ago=3_500)
        assert refusal_of(await tokens(shelf, Endpoint([refused("invalid_code")]).post).get(ORG)).code == "invalid_code"
        assert shelf.parked is not None

    run_turned(main())


def test_a_throttled_token_endpoint_gets_no_request_during_cool_downs_that_grow() -> None:
    async def main() -> list[float]:
        shelf, zoho = Shelf(), Endpoint([THROTTLED])
        worker, waits = tokens(shelf, zoho.post), list[float]()
        for times in range(1, 6):
            found = refusal_of(await worker.get(ORG))
            assert (found.outcome, found.code) == (Outcome.THROTTLED, "throttled")
            assert found.until is not None
            waits.append((found.until - utc_now()).total_seconds())
            again = refusal_of(await worker.get(ORG))
            assert (again.outcome, again.until) == (Outcome.THROTTLED, found.until)
            assert len(zoho.asked) == times
            await asyncio.sleep(waits[-1] + 1)
        assert shelf.parked is None
        return waits

    assert run_turned(main()) == [600, 1_200, 2_400, 3_600, 3_600]


def test_a_token_after_a_cool_down_resets_the_length_of_the_next_one() -> None:
    async def main() -> None:
        shelf, zoho = Shelf(), Endpoint([THROTTLED, granted(), THROTTLED])
        worker = tokens(shelf, zoho.post)
        refusal_of(await worker.get(ORG))
        await asyncio.sleep(601)
        stale = token_of(await worker.get(ORG))
        until = refusal_of(await worker.renew(ORG, stale)).until
        assert until is not None
        assert (until - utc_now()).total_seconds() == 600

    run_turned(main())


def test_after_ten_tokens_in_ten_minutes_no_more_are_requested_until_the_oldest_leaves_the_window() -> None:
    async def main() -> None:
        shelf, zoho = Shelf(), Endpoint([granted()], seconds=0.0)
        worker, started = tokens(shelf, zoho.post), utc_now()
        token = token_of(await worker.get(ORG))
        for _ in range(9):
            await asyncio.sleep(1)
            token = token_of(await worker.renew(ORG, token))
        found = refusal_of(await worker.renew(ORG, token))
        assert (found.outcome, found.code) == (Outcome.THROTTLED, "token_budget")
        assert found.until == started + timedelta(minutes=10)
        assert len(zoho.asked) == 10

    run_turned(main())


def test_a_token_request_that_fails_in_the_network_is_repeated_once_and_counted_again() -> None:
    async def main() -> None:
        for trouble in (NoReply(Failure.RESET), HTML, Reply(500, b"")):
            shelf, zoho = Shelf(), Endpoint([trouble, granted()])
            assert token_of(await tokens(shelf, zoho.post).get(ORG)).generation == 1
            assert len(zoho.asked) == len(shelf.issues) == 2

    run_turned(main())


def test_a_token_failure_that_persists_is_reported_after_two_requests_and_parks_no_org() -> None:
    async def main() -> None:
        shelf, zoho = Shelf(), Endpoint([NoReply(Failure.REFUSED)])
        found = refusal_of(await tokens(shelf, zoho.post).get(ORG))
        assert (found.outcome, found.code) == (Outcome.UNAVAILABLE, "refused")
        assert len(zoho.asked) == 2
        assert shelf.parked is None
        assert shelf.lease is None

    run_turned(main())


@pytest.mark.parametrize(
    "answer", [NoReply(Failure.TLS), NoReply(Failure.TIMEOUT), Reply(503, b"", {"retry-after": "120"})]
)
def test_a_token_failure_that_a_retry_cannot_fix_is_not_retried(answer: Reply | NoReply) -> None:
    async def main() -> None:
        zoho = Endpoint([answer])
        assert refusal_of(await tokens(Shelf(), zoho.post).get(ORG)).outcome is Outcome.UNAVAILABLE
        assert len(zoho.asked) == 1

    run_turned(main())


# --- whom to believe ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "api_domain",
    [
        "https://zohoapis.eu.evil.example",
        "https://evil-zohoapis.eu",
        "http://www.zohoapis.eu",
        "https://www.zohoapis.eu@evil.example",
        "https://www.zohoapis.eu:444",
        "https://xn--zohoapis-x.eu",
    ],
)
def test_a_token_reply_with_a_foreign_api_domain_is_refused_completely(api_domain: str) -> None:
    async def main() -> None:
        shelf, zoho = Shelf(), Endpoint([granted(api_domain=api_domain, refresh_token="1000.forged")])
        found = refusal_of(await tokens(shelf, zoho.post).get(ORG))
        assert (found.outcome, found.code) == (Outcome.MALFORMED, "forged_api_domain")
        assert shelf.stored is None
        assert shelf.credentials == CREDENTIALS
        assert shelf.lease is None

    run_turned(main())


@pytest.mark.parametrize(
    ("said", "used"),
    [
        (None, "https://www.zohoapis.eu"),
        ("https://api.zoho.eu", "https://api.zoho.eu"),
        ("https://sandbox.zohoapis.eu/", "https://sandbox.zohoapis.eu"),
    ],
)
def test_a_token_reply_can_name_any_domain_of_zoho_or_none(said: str | None, used: str) -> None:
    async def main() -> None:
        token = token_of(await tokens(Shelf(), Endpoint([granted(api_domain=said)]).post).get(ORG))
        assert token.api_domain == used

    run_turned(main())


@pytest.mark.parametrize("api_domain", [None, "https://evil.example"])
def test_a_stored_token_for_a_foreign_domain_is_ignored(api_domain: str | None) -> None:
    async def main() -> None:
        shelf, zoho = Shelf(), Endpoint([granted()])
        shelf.keep(seconds_ago=60, api_domain=api_domain)
        token = token_of(await tokens(shelf, zoho.post).get(ORG))
        assert (token.api_domain, token.generation) == (EU.api_domain, 2)

    run_turned(main())


# --- grants ---------------------------------------------------------------------------------------------------------


def test_a_soid_is_used_with_client_credentials_and_scopes_and_stores_no_refresh_token() -> None:
    async def main() -> None:
        shelf = Shelf(Credentials("1000.CLIENT", Secret("s"), soid="ZohoCRM.600"))
        zoho = Endpoint([granted()])
        token_of(await tokens(shelf, zoho.post).get(ORG))
        assert zoho.asked[0][1] == {
            "grant_type": "client_credentials",
            "client_id": "1000.CLIENT",
            "client_secret": "s",
            "scope": "ZohoCRM.users.READ,ZohoCRM.org.READ,ZohoCRM.features.READ",
            "soid": "ZohoCRM.600",
        }

    run_turned(main())


WITH_CODE = Credentials("1000.CLIENT", Secret("s"), grant_code=Secret("1000.code"))


def test_a_grant_code_is_exchanged_only_on_request_and_replaced_by_a_refresh_token() -> None:
    async def main() -> None:
        shelf, zoho = Shelf(WITH_CODE), Endpoint([granted(refresh_token="1000.fresh"), granted()])
        worker = tokens(shelf, zoho.post)
        assert refusal_of(await worker.get(ORG)).code == "grant_code_waiting"
        assert zoho.asked == []
        token = token_of(await worker.exchange(ORG))
        assert zoho.asked[0][1]["grant_type"] == "authorization_code"
        assert zoho.asked[0][1]["code"] == "1000.code"
        assert "redirect_uri" not in zoho.asked[0][1]
        assert shelf.credentials == Credentials("1000.CLIENT", Secret("s"), refresh_token=Secret("1000.fresh"))
        token_of(await worker.renew(ORG, token))
        assert zoho.asked[1][1]["refresh_token"] == "1000.fresh"

    run_turned(main())


@pytest.mark.parametrize(
    ("answer", "code"), [(refused("invalid_code"), "grant_code_expired"), (granted(), "no_refresh_token")]
)
def test_a_grant_code_without_a_refresh_token_in_the_reply_parks_the_org_with_the_reason(
    answer: Reply, code: str
) -> None:
    async def main() -> None:
        shelf = Shelf(WITH_CODE)
        found = refusal_of(await tokens(shelf, Endpoint([answer]).post).exchange(ORG))
        assert found.code == code
        assert shelf.parked == (code, found.remedy)
        assert "API console" in found.remedy

    run_turned(main())


def test_a_grant_code_is_never_sent_twice_in_one_exchange() -> None:
    async def main() -> None:
        shelf, zoho = Shelf(WITH_CODE), Endpoint([NoReply(Failure.RESET), granted(refresh_token="1000.fresh")])
        found = refusal_of(await tokens(shelf, zoho.post).exchange(ORG))
        assert (found.outcome, found.code) == (Outcome.UNAVAILABLE, "reset")
        assert len(zoho.asked) == 1
        assert shelf.parked is None

    run_turned(main())


def test_a_refresh_token_in_the_reply_to_a_refresh_is_ignored() -> None:
    async def main() -> None:
        shelf = Shelf()
        token_of(await tokens(shelf, Endpoint([granted(refresh_token="1000.other")]).post).get(ORG))
        assert shelf.credentials == CREDENTIALS

    run_turned(main())


# --- failures of one org --------------------------------------------------------------------------------------------


def test_an_org_without_a_known_data_centre_or_without_credentials_gets_no_token_but_a_remedy() -> None:
    async def main() -> None:
        zoho = Endpoint([granted()])
        elsewhere = refusal_of(await tokens(Shelf(), zoho.post).get(replace(ORG, data_center="moon")))
        assert (elsewhere.outcome, elsewhere.code) == (Outcome.UNAUTHORIZED, "unknown_data_center")
        for credentials in (None, Credentials("1000.CLIENT", Secret("s"))):
            assert refusal_of(await tokens(Shelf(credentials), zoho.post).get(ORG)).code == "no_credentials"
        assert zoho.asked == []

    run_turned(main())


def test_an_undecryptable_secret_affects_only_its_own_org() -> None:
    class Sealed(Shelf):
        async def read_credentials(self, org_id: int) -> Credentials | None:
            raise CredentialError("the client secret cannot be read", "add its key to POLLER_SECRET_KEYS")

    async def main() -> None:
        found = refusal_of(await tokens(Sealed(), Endpoint([granted()]).post).get(ORG))
        assert (found.outcome, found.code) == (Outcome.MISSED, "unreadable_credentials")
        assert found.remedy == "add its key to POLLER_SECRET_KEYS"

    run_turned(main())
