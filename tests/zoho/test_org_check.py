from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from poller.core.checks import CheckStatus
from poller.core.editions import limits_of
from poller.core.model import Outcome
from poller.core.poll_result import CountRefusal
from poller.core.reply import Failure, NoReply, Reply
from poller.core.secret import Secret
from poller.core.token import Credentials
from poller.zoho.limiter import Limiter
from poller.zoho.org_check import Check, OrgCheck, check_org
from poller.zoho.org_info import OrgInfo, fetch_org_info, read_org_info
from poller.zoho.org_requests import CheckPorts
from poller.zoho.token_request import no_token
from tests.zoho.token_shelf import ORG, THROTTLED, Endpoint, Shelf, granted, refused, tokens, utc_now
from tests.zoho.turned_clock import now, run_turned

if TYPE_CHECKING:
    from poller.core.model import Org, UserType

OK, FAULT, UNKNOWN = CheckStatus.OK, CheckStatus.WRONG, CheckStatus.UNKNOWN
ONE = Reply(200, b'{"count": 1}')


def error(status: int, code: str, **details: Any) -> Reply:
    return Reply(status, json.dumps({"code": code, "details": details, "message": "…", "status": "error"}).encode())


def org_reply(**licence: Any) -> Reply:
    details = {"paid": True, "paid_type": "enterprise", "users_license_purchased": 50} | licence
    entry = {"zgid": "600123", "company_name": "Ärzte & Co", "license_details": details}
    return Reply(200, json.dumps({"org": [entry]}).encode())


LICENCES = Reply(200, b'{"__features": [{"details": {"limits": {"total": 50}}}]}')
INVALID = error(401, "INVALID_TOKEN")
NO_SCOPE = error(401, "OAUTH_SCOPE_MISMATCH")
NO_ACCESS = error(403, "NO_PERMISSION", permissions=["Crm_Implied_Api_Access"])


@dataclass
class Api:
    """The API of Zoho: one reply for each request, and the received requests."""

    count_reply: Reply | NoReply = ONE
    org_reply: Reply | NoReply = field(default_factory=org_reply)
    features_reply: Reply | NoReply = LICENCES
    invalid_tokens: tuple[str, ...] = ()
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def count(self, api_domain: str, version: str, user_type: UserType, token: Secret) -> Reply | NoReply:
        self.asked.append((api_domain, f"{version} {user_type}"))
        await asyncio.sleep(0.1)
        return INVALID if token.reveal() in self.invalid_tokens else self.count_reply

    async def get(self, api_domain: str, path: str, token: Secret) -> Reply | NoReply:
        self.asked.append((api_domain, path))
        await asyncio.sleep(0.1)
        return self.org_reply if path.endswith("/org") else self.features_reply


def check(
    api: Api, *, shelf: Shelf | None = None, endpoint: Endpoint | None = None, org: Org = ORG, hold: float = 0.0
) -> OrgCheck:
    async def main() -> OrgCheck:
        worker = tokens(shelf or Shelf(), (endpoint or Endpoint([granted()])).post)
        ports = CheckPorts(worker, api.count, api.get, utc_now)
        with Limiter(8, now=now).org(org.id, limits_of("free")) as limiter:
            if hold:
                limiter.throttle(hold)
            return await check_org(org, limiter, ports)

    return run_turned(main())


def standings(found: OrgCheck) -> dict[Check, CheckStatus]:
    return {Check(finding.check): finding.status for finding in found.results}


def test_every_check_of_a_working_org_is_ok_and_costs_three_credits() -> None:
    api = Api()
    found = check(api)
    assert found.ok
    assert [finding.check for finding in found.results] == list(Check)
    assert all(finding.remedy == "" for finding in found.results)
    assert api.asked == [
        ("https://www.zohoapis.eu", "v7 CurrentUser"),
        ("https://www.zohoapis.eu", "/crm/v7/org"),
        ("https://www.zohoapis.eu", "/crm/v7/__features/user_licenses"),
    ]


def test_the_check_of_an_org_returns_its_edition_licences_and_zgid() -> None:
    assert check(Api()).info == OrgInfo("600123", "enterprise", 50)


@pytest.mark.parametrize(
    ("api", "subject", "code"),
    [
        (Api(count_reply=NO_SCOPE), Check.USERS, "OAUTH_SCOPE_MISMATCH"),
        (Api(org_reply=NO_SCOPE), Check.ORG, "OAUTH_SCOPE_MISMATCH"),
        (Api(features_reply=NO_SCOPE), Check.FEATURES, "OAUTH_SCOPE_MISMATCH"),
        (Api(count_reply=NO_ACCESS), Check.API_ACCESS, "NO_PERMISSION"),
        (Api(count_reply=replace(NO_ACCESS, status=400)), Check.API_ACCESS, "NO_PERMISSION"),
        (Api(count_reply=error(404, "INVALID_URL_PATTERN")), Check.USERS, "INVALID_URL_PATTERN"),
        (Api(count_reply=INVALID), Check.DATA_CENTER, "INVALID_TOKEN"),
    ],
)
def test_each_fault_of_an_org_is_named_with_its_remedy(api: Api, subject: Check, code: str) -> None:
    found = check(api)
    faults = [finding for finding in found.results if finding.status is FAULT]
    assert [(fault.check, fault.what) for fault in faults] == [(subject, code)]
    assert faults[0].remedy
    assert not found.ok


def test_a_missing_org_scope_leaves_only_the_org_info_unknown() -> None:
    found = check(Api(org_reply=NO_SCOPE))
    assert found.info is None
    assert standings(found)[Check.USERS] is standings(found)[Check.FEATURES] is OK


def test_a_reply_to_one_call_proves_data_centre_and_api_access_even_if_another_call_fails() -> None:
    found = check(Api(count_reply=Reply(200, b'{"count": -1}')))
    assert standings(found) == dict.fromkeys(Check, OK) | {Check.USERS: UNKNOWN}
    assert found.status(Check.API_ACCESS) is OK
    denied = check(Api(count_reply=NO_ACCESS))
    assert denied.status(Check.API_ACCESS) is FAULT


def test_an_edition_without_licence_information_still_passes_the_scope_check() -> None:
    assert check(Api(features_reply=Reply(204, b""))).ok


@pytest.mark.parametrize(
    ("answer", "credentials", "data_center"),
    [
        (refused("invalid_client"), FAULT, UNKNOWN),
        (refused("invalid_client_secret"), FAULT, OK),
        (refused("invalid_code"), FAULT, OK),
        (THROTTLED, UNKNOWN, UNKNOWN),
        (NoReply(Failure.DNS), UNKNOWN, UNKNOWN),
        (granted(api_domain="https://evil.example"), UNKNOWN, UNKNOWN),
    ],
)
def test_without_a_token_no_api_request_is_sent_and_the_other_checks_are_unknown(
    answer: Reply | NoReply, credentials: CheckStatus, data_center: CheckStatus
) -> None:
    api = Api()
    found = check(api, endpoint=Endpoint([answer]))
    assert standings(found) == dict.fromkeys(Check, UNKNOWN) | {
        Check.CREDENTIALS: credentials,
        Check.DATA_CENTER: data_center,
    }
    assert next(finding.remedy for finding in found.results if finding.check is Check.CREDENTIALS)
    assert api.asked == []


def test_an_unknown_data_centre_is_a_failed_check_of_its_own() -> None:
    found = check(Api(), org=replace(ORG, data_center="moon"))
    assert standings(found)[Check.DATA_CENTER] is FAULT
    assert standings(found)[Check.CREDENTIALS] is UNKNOWN


def test_a_stored_token_that_zoho_ended_is_renewed_once_before_a_check_fails() -> None:
    async def main() -> None:
        shelf, endpoint, api = Shelf(), Endpoint([granted()]), Api(invalid_tokens=("kept-1",))
        shelf.keep(seconds_ago=60)
        ports = CheckPorts(tokens(shelf, endpoint.post), api.count, api.get, utc_now)
        with Limiter(8, now=now).org(ORG.id, limits_of("free")) as limiter:
            assert (await check_org(ORG, limiter, ports)).ok
        assert len(endpoint.asked) == 1

    run_turned(main())


def test_consent_withdrawn_since_the_token_was_stored_is_detected() -> None:
    async def main() -> OrgCheck:
        shelf, api = Shelf(), Api(invalid_tokens=("kept-1",))
        shelf.keep(seconds_ago=60)
        ports = CheckPorts(tokens(shelf, Endpoint([refused("invalid_code")]).post), api.count, api.get, utc_now)
        with Limiter(8, now=now).org(ORG.id, limits_of("free")) as limiter:
            return await check_org(ORG, limiter, ports)

    found = run_turned(main())
    assert standings(found)[Check.CREDENTIALS] is FAULT


def test_a_waiting_grant_code_is_reported_and_not_exchanged_by_the_check() -> None:
    shelf = Shelf(Credentials("1000.CLIENT", Secret("s"), grant_code=Secret("1000.code")))
    endpoint = Endpoint([granted()])
    found = check(Api(), shelf=shelf, endpoint=endpoint)
    (fault,) = [one for one in found.results if one.status is not UNKNOWN]
    assert (fault.check, fault.status, fault.what) == (Check.CREDENTIALS, FAULT, "grant_code_waiting")
    assert endpoint.asked == []


def test_a_failed_grant_code_exchange_is_reported_as_a_fault_of_the_credentials() -> None:
    async def main() -> OrgCheck:
        ports = CheckPorts(tokens(Shelf(), Endpoint([granted()]).post), Api().count, Api().get, utc_now)
        with Limiter(8, now=now).org(ORG.id, limits_of("free")) as limiter:
            refusal = no_token(Outcome.UNAUTHORIZED, "grant_code_expired")
            return await check_org(ORG, limiter, ports, refusal=refusal)

    found = run_turned(main())
    assert standings(found)[Check.CREDENTIALS] is found.status(Check.CREDENTIALS) is FAULT
    # Only the data centre the client belongs to looks at codes.
    assert found.status(Check.DATA_CENTER) is OK
    assert found.status(Check.USERS) is UNKNOWN


def test_an_org_on_hold_gets_no_request_and_its_checks_are_unknown() -> None:
    api = Api()
    found = check(api, hold=300.0)
    assert api.asked == []
    assert standings(found) == dict.fromkeys(Check, UNKNOWN) | {Check.CREDENTIALS: OK}


def test_a_429_during_a_check_stops_its_remaining_requests() -> None:
    api = Api(org_reply=error(429, "TOO_MANY_REQUESTS"))
    found = check(api)
    assert len(api.asked) == 2
    assert standings(found)[Check.USERS] is OK
    assert standings(found)[Check.ORG] is standings(found)[Check.FEATURES] is UNKNOWN


# --- the org info ---------------------------------------------------------------------------------------------------


def test_licences_given_as_a_string_in_old_replies_are_read() -> None:
    info = read_org_info(org_reply(users_license_purchased="50"))
    assert info is not None
    assert info.licences == 50


@pytest.mark.parametrize("licences", [None, -1, 1.5, True, "many", "", "\u0665", 10**12, [], {}])
def test_licences_that_are_not_a_number_are_unknown(licences: Any) -> None:
    info = read_org_info(org_reply(users_license_purchased=licences))
    assert info is not None
    assert info.licences is None


@pytest.mark.parametrize(
    "reply",
    [NoReply(Failure.RESET), Reply(200, b'{"org": []}'), Reply(200, b'{"org": [3]}'), Reply(200, b"<html>"), ONE],
)
def test_a_reply_without_an_org_gives_no_org_info(reply: Reply | NoReply) -> None:
    assert read_org_info(reply) is None


@given(st.integers(200, 204), st.binary(max_size=200), st.recursive(st.none() | st.integers() | st.text(), st.lists))
def test_parsing_any_reply_for_org_info_raises_nothing(status: int, raw: bytes, value: Any) -> None:
    read_org_info(Reply(status, raw))
    read_org_info(Reply(status, json.dumps({"org": [{"zgid": value, "license_details": value}]}).encode()))
    read_org_info(Reply(status, json.dumps({"org": value}).encode()))


def fetched(api: Api, *answers: Reply, hold: float = 0.0) -> tuple[OrgInfo | CountRefusal | None, int]:
    async def main() -> tuple[OrgInfo | CountRefusal | None, int]:
        worker = tokens(Shelf(), Endpoint(list(answers)).post)
        with Limiter(8, now=now).org(ORG.id, limits_of("free")) as limiter:
            if hold:
                limiter.throttle(hold)
            return await fetch_org_info(ORG, limiter, CheckPorts(worker, api.count, api.get, utc_now))

    return run_turned(main())


def test_org_info_is_read_with_a_single_request() -> None:
    api = Api()
    info, requests = fetched(api, granted())
    assert isinstance(info, OrgInfo)
    assert (info.edition, info.licences, requests) == ("enterprise", 50, 1)
    assert [path for _, path in api.asked] == ["/crm/v7/org"]


def test_without_the_scope_org_info_stays_unknown_after_one_request() -> None:
    assert fetched(Api(org_reply=NO_SCOPE), granted()) == (CountRefusal(Outcome.FORBIDDEN, "OAUTH_SCOPE_MISMATCH"), 1)


def test_no_org_info_is_requested_without_a_token_or_during_a_hold() -> None:
    api = Api()
    assert fetched(api, refused("invalid_code")) == (None, 0)
    assert fetched(api, granted(), hold=300.0) == (None, 0)
    assert api.asked == []
