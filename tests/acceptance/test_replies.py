"""Every reply that can go wrong, in a complete installation: the row, the parking of the org, and the cost."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from poller.core.editions import limits_of
from poller.core.model import USER_TYPES
from poller.simulator import FAULTS, Fault
from poller.store import database as databases
from poller.store.orgs.encryption import KEY_BYTES, Keyring
from tests.acceptance.line import Line, line
from tests.postgres import cloned

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Told:
    """The expected result of polling an org with one fault.

    `requests` and `token_asks` are requests that reached Zoho. A 429 and an invalid token stop an org after the
    requests in flight, so these are given in units of this number (`in_flight`).
    """

    outcome: str
    error: str | None = None
    requests: int = 10
    token_asks: int = 1
    in_flight: int = 0
    parked: bool = False


def bad(error: str, requests: int = 10) -> Told:
    return Told("malformed", error, requests)


def away(error: str) -> Told:
    """The expected result of a fault with three attempts, each after a longer wait."""
    return Told("unavailable", error, 30)


def silent(error: str, passes: int = 3) -> Told:
    """The expected result without any reply: three attempts with at most the allowed requests in flight."""
    return Told("unavailable", error, 0, in_flight=passes)


def forbidden(error: str) -> Told:
    return Told("forbidden", error, parked=True)


def no_token(outcome: str, error: str, asks: int = 1, *, parked: bool = False) -> Told:
    return Told(outcome, error, 0, asks, parked=parked)


OK = Told("ok")
STALE = {"token_asks": 2, "in_flight": 2, "parked": True}
THROTTLED = Told("throttled", "TOO_MANY_REQUESTS", 0, in_flight=1)
LANGUAGES = ("en", "de", "fr", "es", "ja", "zh")

TOLD: dict[str, Told] = {
    "count_string": OK,
    "count_zero": OK,
    "wrong_content_type": OK,
    "no_content_type": OK,
    "token_no_expires_in": OK,
    "token_string_expires_in": OK,
    "token_no_api_domain": OK,
    # what says nothing we may believe
    "count_negative": bad("bad_count"),
    "count_fraction": bad("bad_count"),
    "count_whole_fraction": bad("bad_count"),
    "count_true": bad("bad_count"),
    "count_null": bad("bad_count"),
    "count_empty_string": bad("bad_count"),
    "count_padded_string": bad("bad_count"),
    "count_too_big": bad("bad_count"),
    "count_list": bad("bad_count"),
    "count_absent": bad("no_count"),
    "list": bad("not_an_object"),
    "no_content": bad("empty"),
    "huge": bad("too_large"),
    "redirect": bad("redirect"),
    "redirect_307": bad("redirect"),
    "not_utf8": bad("not_json", 30),
    "deep": bad("not_json", 30),
    "html": bad("not_json", 30),
    "truncated": bad("not_json", 30),
    "empty": bad("empty", 30),
    # what passes
    "error_with_200": away("INTERNAL_ERROR"),
    "internal_error": away("INTERNAL_ERROR"),
    "internal_server_error": away("INTERNAL_SERVER_ERROR"),
    "html_500": away("http_500"),
    "bad_gateway": away("http_502"),
    "unavailable": away("http_503"),
    "drip": silent("timeout"),
    "hang": silent("timeout"),
    "reset": silent("reset"),
    "reset_in_body": silent("reset"),
    # later
    "integer_429": THROTTLED,
    "too_many_requests": THROTTLED,
    "html_429": Told("throttled", "http_429", 0, in_flight=1),
    # what a person must fix
    "invalid_token": Told("unauthorized", "INVALID_TOKEN", 0, **STALE),  # type: ignore[arg-type]
    "invalid_oauthtoken": Told("unauthorized", "INVALID_OAUTHTOKEN", 0, **STALE),  # type: ignore[arg-type]
    "authentication_failure": Told("unauthorized", "AUTHENTICATION_FAILURE", 0, **STALE),  # type: ignore[arg-type]
    "oauth_scope_mismatch": forbidden("OAUTH_SCOPE_MISMATCH"),
    "no_permission": forbidden("NO_PERMISSION"),
    "no_permission_400": forbidden("NO_PERMISSION"),
    "feature_not_enabled": forbidden("FEATURE_NOT_ENABLED"),
    "api_not_supported": forbidden("API_NOT_SUPPORTED"),
    "authorization_failed": forbidden("AUTHORIZATION_FAILED"),
    # our request is wrong
    "invalid_request_method": Told("rejected", "INVALID_REQUEST_METHOD"),
    "invalid_data": Told("rejected", "INVALID_DATA"),
    "bad_request": Told("rejected", "BAD_REQUEST"),
    "invalid_url_pattern": Told("rejected", "INVALID_URL_PATTERN"),
    # the token endpoint
    "token_html": no_token("unavailable", "not_json"),
    "token_empty": no_token("unavailable", "empty"),
    "token_list": no_token("unavailable", "not_an_object"),
    "token_500": no_token("unavailable", "http_500", 2),
    "token_redirect": no_token("unavailable", "http_307"),
    "token_drip": no_token("unavailable", "timeout"),
    "token_hang": no_token("unavailable", "timeout"),
    "token_reset": no_token("unavailable", "reset", 2),
    **{
        f"token_throttled_{status}_{language}": no_token("throttled", "throttled")
        for status in (200, 400)
        for language in LANGUAGES
    },
    "token_no_access_token": no_token("throttled", "throttled"),
    "token_invalid_client": no_token("unauthorized", "invalid_client", parked=True),
    "token_invalid_client_secret": no_token("unauthorized", "invalid_client_secret", parked=True),
    "token_invalid_code": no_token("unauthorized", "invalid_code", parked=True),
    "token_missing_org_info": no_token("unauthorized", "missing_org_info", parked=True),
    "token_forged_api_domain": no_token("malformed", "forged_api_domain"),
}
NAMES = list(TOLD)


@dataclass(frozen=True)
class Seen:
    """The actual result of polling one org with its fault."""

    row: dict[str, Any]
    errors: dict[str, str]
    """By user type, as an analyst reads them."""
    org: dict[str, Any]
    audit: dict[str, Any]
    truth: dict[str, int]
    edition: str


@dataclass(frozen=True)
class Day:
    """Polls with every fault at once, each at its own org; and a day later without faults."""

    seen: dict[str, Seen]
    breaches: list[str]
    strangers: int
    afterwards: dict[str, dict[str, Any]]
    still_parked: list[str]


async def _live_through(dsn: str) -> Day:
    faults = tuple(Fault(name=name, org=index) for index, name in enumerate(NAMES))
    keyring = Keyring({"k1": bytes(range(KEY_BYTES))})
    async with (
        await databases.connect(dsn) as database,
        line(database, keyring, orgs=len(NAMES), faults=faults, settings={"request_timeout_seconds": 8}) as mine,
    ):
        await mine.poll()
        seen = {name: await _seen(mine, index) for index, name in enumerate(NAMES)}
        strangers = mine.sim.audit()["requests"].get("stranger", 0)
        mine.sim.clear_faults()
        mine.clock.turn(hours=24)
        await mine.poll()
        afterwards = {name: await mine.row(index) for index, name in enumerate(NAMES)}
        parked = [name for index, name in enumerate(NAMES) if (await mine.org(index))["parked_at"] is not None]
        return Day(seen, mine.breaches, strangers, afterwards, parked)


async def _seen(mine: Line, index: int) -> Seen:
    row = await mine.row(index)
    counted = await mine.app.database.fetch(
        "SELECT user_type, error FROM user_counts WHERE org = $1", mine.names[index]
    )
    return Seen(
        row=row,
        errors={one["user_type"]: one["error"] for one in counted if one["error"] is not None},
        org=await mine.org(index),
        audit=mine.audit(index),
        truth=mine.sim.expected_counts(index, row["polled_at"]),
        edition=mine.sim.org(index).edition,
    )


@pytest.fixture(scope="module")
def day(server_dsn: str, template: str) -> Iterator[Day]:
    with cloned(server_dsn, template) as dsn:
        yield asyncio.run(_live_through(dsn))


def test_every_fault_of_the_simulator_is_tested_here() -> None:
    assert set(TOLD) == set(FAULTS)


@pytest.mark.parametrize("name", NAMES)
def test_each_fault_is_recorded_in_the_snapshot_with_its_outcome_and_error(day: Day, name: str) -> None:
    told, seen = TOLD[name], day.seen[name]
    row = seen.row
    assert (row["outcome"], row["error"]) == (told.outcome, told.error)
    in_flight = limits_of(seen.edition).in_flight
    most = told.requests + told.in_flight * min(in_flight, 10)
    assert row["requests"] == seen.audit["requests"]
    # The first of those in flight may be answered before the last has left, and then it does not leave.
    assert most - told.in_flight * (in_flight - 1) <= row["requests"] <= most
    assert seen.audit["token_asks"] == told.token_asks
    if told.outcome == "ok":
        flagged = {"CurrentUser": "current_user_not_one"} if name == "count_zero" else {}
        assert row["counts"] == (dict.fromkeys(USER_TYPES, 0) if name == "count_zero" else seen.truth)
        assert seen.errors == flagged
    else:
        assert row["counts"] == {}
        assert set(seen.errors) == set(USER_TYPES)


@pytest.mark.parametrize("name", NAMES)
def test_only_faults_that_a_person_must_fix_park_the_org(day: Day, name: str) -> None:
    org = day.seen[name].org
    assert (org["parked_at"] is not None) == TOLD[name].parked
    if TOLD[name].parked:
        assert org["parked_code"] == TOLD[name].error
        assert len(org["parked_remedy"]) > 20
        assert (org["probe_at"] - org["parked_at"]).total_seconds() == 900


def test_no_fault_makes_the_poller_break_a_rule_of_zoho(day: Day) -> None:
    assert day.breaches == []


def test_no_redirect_and_no_forged_api_domain_makes_the_poller_send_a_request_to_a_foreign_server(day: Day) -> None:
    assert day.strangers == 0


def test_a_day_after_all_faults_end_every_org_is_polled_and_none_is_parked(day: Day) -> None:
    assert {name: row["outcome"] for name, row in day.afterwards.items()} == dict.fromkeys(NAMES, "ok")
    assert day.still_parked == []
